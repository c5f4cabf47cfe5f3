"""`handful evaluate A --against B`: paired rollouts of two policies, until it is decided which is the better one.

Both meet the same scenes, batch by batch. After each pair the sequential test is asked, which may be looked at always,
and the verdict is that of the first pair at which it is decided, whatever the size of a batch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from handful import InputError
from pipelines.compare import verdict_text
from pipelines.configuration import resolve
from pipelines.metrics.sequential import SequentialTest
from pipelines.progress import Reporter
from pipelines.rollouts import Evaluator, plain_conditions
from pipelines.runner import Condition, RolloutConfig
from pipelines.tables import results_table
from scenes.outcome import Outcome


def run(
    run: str | Path,
    against: str | Path,
    task: str,
    domains: list[str],
    episodes: int,
    out: str | Path,
    seed: int,
    overrides: list[str],
    progress: Reporter,
    embodiment: str = "panda",
    alpha: float = 0.05,
) -> dict[str, Any]:
    """Evaluate two policies in the same scenes until it is decided which is better, in each domain.

    Args:
        run: run folder of the first policy, A.
        against: of the second, B.
        task: name of the task.
        domains: names of the domains.
        episodes: pairs per domain after which an undecided comparison ends.
        out: folder; `a` and `b` in it are evaluations like any other.
        seed: of the scenes.
        overrides: `a.b=c` for RolloutConfig.
        progress: where progress is shown.
        embodiment: the robot.
        alpha: chance of naming a better one where there is none, over all domains together.

    Returns:
        "results" and "against", those of A and of B, see `pipelines.episodes.summary`; "decisions", per domain
        `domain`, `verdict` ("a", "b" or "undecided"), `pairs`, `most`, `a_alone`, `b_alone`, `alpha` and `p_value`.

    Raises:
        InputError: both are the same policy, or one does not fit the task.
    """
    config = resolve(RolloutConfig, None, overrides)
    conditions = plain_conditions(task, domains, embodiment, config.sentences)
    # Bonferroni: each domain's test has its share of the error.
    share = alpha / len(conditions)
    tests = [SequentialTest(share, episodes) for _ in conditions]
    folder = Path(out)
    a, b = (
        Evaluator(each, task, folder / name, seed, config, progress, embodiment)
        for each, name in ((run, "a"), (against, "b"))
    )
    if a.settings["policy"] == b.settings["policy"]:
        raise InputError(f"'{run}' and '{against}' are the same policy; compare two")
    for evaluator in (a, b):
        evaluator.warn([condition.domain for condition in conditions], episodes)
    with a, b:
        for condition, test in zip(conditions, tests, strict=True):
            _decide(a, b, condition, test, config.batch)
        stopped = [condition.name for condition, test in zip(conditions, tests, strict=True) if test.pairs < episodes]
        first, second = (evaluator.finish(conditions, episodes, stopped=stopped) for evaluator in (a, b))
    return {
        "results": first,
        "against": second,
        "decisions": [
            {
                "domain": condition.name,
                "verdict": test.verdict,
                "pairs": test.pairs,
                "most": test.most,
                "a_alone": test.wins,
                "b_alone": test.losses,
                "alpha": share,
                "p_value": test.p_value,
            }
            for condition, test in zip(conditions, tests, strict=True)
        ],
    }


def _decide(a: Evaluator, b: Evaluator, condition: Condition, test: SequentialTest, batch: int) -> None:
    """Tell a test pairs, in the order of scenes, until it is over; rollouts are made a batch at a time."""
    told = 0
    while not test.over:
        until = min(told + batch, test.most)
        rows = [evaluator.extend(condition, until) for evaluator in (a, b)]
        for one, other in zip(rows[0][told:], rows[1][told:], strict=True):
            if test.add(*(row["outcome"] == Outcome.SUCCESS.label for row in (one, other))) != "undecided":
                break
        told = until


def decision_text(result: Mapping[str, Any]) -> RenderableType:
    """The decisions as a person reads them."""
    named = [
        Group(Text(f"{letter}:"), results_table(rows))
        for letter, rows in (("A", result["results"]), ("B", result["against"]))
    ]
    lines = []
    for row in result["decisions"]:
        alone = f"A alone succeeded in {row['a_alone']:,}, B alone in {row['b_alone']:,}; p {row['p_value']:.2g}"
        pairs = f"after {row['pairs']:,} of at most {row['most']:,} pairs"
        lines.append(Text(f"{row['domain']}: {verdict_text(row['verdict'], row['alpha'])} {pairs} ({alone})"))
    return Group(*named, *lines)
