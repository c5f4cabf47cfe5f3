"""What choices in making data do to the policy: same scenes, policy, budget and seeds, one choice changed each time.

    python benchmarks/choices.py [--long] [--out FOLDER] [--task lift] [--choices default,executed,...]

Prints one JSON object: `value` the success of the policy that learnt from data made by the defaults, in `sim` and in
`twin/dev-0` (surrogate reality) taken together, `limit` that of the best choice, in the same run, `ratio` of the two;
then each choice's rates, n and intervals, and what it gains over the one it is compared with on the same scenes
(Tango's interval, McNemar's exact p-value). A choice that is done in the folder is not done again.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._data import generated
from handful import unknown_name
from pipelines import rollouts, training
from pipelines.evaluations import Evaluation, read_evaluation
from pipelines.metrics.pairs import mcnemar, outcomes_of_pairs, paired_difference
from pipelines.progress import Reporter
from pipelines.statistics import wilson_interval
from trajectories import Store

DOMAINS = ("sim", "twin/dev-0")
_SEEN = ("engine.perception.position=0.01", "engine.perception.angle=0.1")


@dataclass(frozen=True)
class Choice:
    """One way to make data, and to learn from it."""

    # Overrides of GenerationConfig.
    data: tuple[str, ...] = ()
    # Overrides of TrainConfig.
    policy: tuple[str, ...] = ()
    # The choice that it is compared with.
    beside: str = "default"


CHOICES = {
    "default": Choice(),
    # The same data, other weights and draws: what two runs of the same differ by.
    "seed": Choice(policy=("seed=1",)),
    "executed": Choice(policy=("action=executed",)),
    "still": Choice(data=("engine.noise.std=0",)),
    "calmer": Choice(data=("engine.noise.std=0.01",)),
    # Noise that stays larger and later before the gripper closes or opens.
    "near": Choice(data=("engine.noise.at_event=0.25", "engine.noise.quiet=4")),
    "appearances": Choice(data=("engine.appearances=4",)),
    "hurried": Choice(data=("engine.plan.time_warp=2",)),
    # Where objects are seen to a centimetre and six degrees, so that there is something to recover from.
    "seen": Choice(data=_SEEN),
    "recover": Choice(data=(*_SEEN, "engine.plan.on_failure=recover"), beside="seen"),
    "restart": Choice(data=(*_SEEN, "engine.plan.on_failure=restart"), beside="seen"),
}


def measure(long: bool, out: Path | None = None, task: str = "lift", names: Sequence[str] = ()) -> dict[str, Any]:
    """Measure; `long` trains `small` for 1,400 steps on 512 episodes and takes 200 rollouts per domain.

    Args:
        long: at full size; otherwise a preset that learns nothing on a few episodes, to show that it runs.
        out: folder for data, policies and evaluations; what is done there is not done again. None: a temporary one.
        task: name of the task.
        names: of the choices; all of them, or where not `long` the first two, unless given.
    """
    for name in names:
        if name not in CHOICES:
            raise unknown_name("choice", name, CHOICES)
    names = list(names) or (list(CHOICES) if long else ["default", "executed"])
    names += [CHOICES[name].beside for name in names]
    with tempfile.TemporaryDirectory() as scratch:
        folder = out or Path(scratch)
        found = {name: _evaluated(CHOICES[name], name, folder, task, long) for name in dict.fromkeys(names)}
    rows = {name: _row(evaluation, found[CHOICES[name].beside]) for name, evaluation in found.items()}
    for name in rows:
        rows[name] |= {"beside": CHOICES[name].beside, **_made(folder, CHOICES[name])} if out else {}
    best = max(row["success"] for row in rows.values())
    value = rows["default"]["success"] if "default" in rows else best
    return {"benchmark": "choices", "value": value, "limit": best, "ratio": value / best if best else 1.0, **rows}


def _name_of(choice: Choice) -> str:
    """The data's folder: choices that make the same data share it."""
    first = next(name for name, other in CHOICES.items() if other.data == choice.data)
    return f"data_{first}"


def _evaluated(choice: Choice, name: str, folder: Path, task: str, long: bool) -> Evaluation:
    """Make data, learn from it, and meet the same scenes as the others."""
    data, run, met = folder / _name_of(choice), folder / f"policy_{name}", folder / f"evaluation_{name}"
    if not (met / "results.json").exists():
        copies = next((int(text.split("=")[1]) for text in choice.data if text.startswith("engine.appearances=")), 1)
        generated(data, task, (512 if long else 16) // copies, choice.data, workers=1)
        budget = ("minutes=null", "steps=1400", "batch_size=64") if long else ("steps=20",)
        preset = "small" if long else "tiny"
        training.run([str(data)], run, preset, None, [*budget, "threads=1", *choice.policy], Reporter(quiet=True))
        count = 200 if long else 4
        rollouts.run(run, task, list(DOMAINS), count, met, 0, ["videos=0"], Reporter(quiet=True))
    return read_evaluation(met)


def _made(folder: Path, choice: Choice) -> dict[str, Any]:
    """What the data of a choice holds."""
    store = Store.open(folder / _name_of(choice))
    return {"episodes": len(store), "steps": int(store.index().length.sum())}


def _row(evaluation: Evaluation, beside: Evaluation) -> dict[str, Any]:
    """Rates by domain and in all, and the gain over what it is compared with."""
    row: dict[str, Any] = {}
    together: dict[str, list[np.ndarray]] = {"own": [], "other": []}
    for domain in DOMAINS:
        own, other = evaluation.successes(domain), beside.successes(domain)
        a, b = (np.array([successes[scene] for scene in own]) for successes in (own, other))
        together["own"].append(a)
        together["other"].append(b)
        row[domain] = {"successes": int(a.sum()), "n": len(a), "ci": list(wilson_interval(int(a.sum()), len(a)))}
        row[domain] |= _gain(a, b)
    a, b = (np.concatenate(parts) for parts in together.values())
    return {"success": float(a.mean()), **row, **_gain(a, b)}


def _gain(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    wins, losses = outcomes_of_pairs(a, b)
    return {
        "gain": float(a.mean() - b.mean()),
        "gain_ci": list(paired_difference(wins, losses, len(a))),
        "p": mcnemar(wins, losses),
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="at full size: some 15 minutes a choice on one core")
    parser.add_argument("--out", type=Path, help="folder in which what is done is not done again")
    parser.add_argument("--task", default="lift")
    parser.add_argument("--choices", default="", help=f"some of: {','.join(CHOICES)}")
    options = parser.parse_args()
    names = [name for name in options.choices.split(",") if name]
    print(json.dumps(measure(options.long, options.out, options.task, names)))


if __name__ == "__main__":
    main()
