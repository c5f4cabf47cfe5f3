"""`handful evaluate`: a policy in many scenes at once, judged as strictly as generation is.

Scene i of an evaluation is the same world for every policy: its streams (scene, appearance, sensor noise, policy
noise) are named by seed, task and scene index in a namespace that generation never draws from.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import mujoco

from handful import InputError
from pipelines.clips import save_videos
from pipelines.configuration import resolve, to_plain
from pipelines.episodes import HELD, TABLE, EpisodeTable, summary
from pipelines.leaks import scene_leaks, training_leaks
from pipelines.locks import alone
from pipelines.measures import stage_names
from pipelines.progress import Reporter
from pipelines.runner import Condition, Rollout, RolloutConfig
from policies.policy import Policy
from scenes.domains import Domain, get_domain
from scenes.task import Sentences
from scenes.workspace import Workspace, build_workspace
from trajectories.canonical import write_whole

# Of the table of episodes; rows of another one are not counted on.
_FORMAT = 3


def run(
    run: str | Path,
    task: str,
    domains: list[str],
    episodes: int,
    out: str | Path,
    seed: int,
    overrides: list[str],
    progress: Reporter,
    embodiment: str = "panda",
) -> dict[str, Any]:
    """Evaluate a policy in each domain.

    Args:
        run: the training run's folder.
        task: name of the task.
        domains: names of the domains.
        episodes: rollouts per domain.
        out: folder for `results.json`, `episodes.jsonl`, `episodes.csv` and `videos/`.
        seed: of the evaluation's scenes.
        overrides: `a.b=c` for RolloutConfig.
        progress: where progress is shown.
        embodiment: the robot; one that the policy was trained on.

    Returns:
        {"results": one dict per domain, see `pipelines.episodes.summary`}
    """
    config = resolve(RolloutConfig, None, overrides)
    conditions = plain_conditions(task, domains, embodiment, config.sentences)
    evaluator = Evaluator(run, task, out, seed, config, progress, embodiment)
    evaluator.warn([condition.domain for condition in conditions], episodes)
    with evaluator:
        for condition in conditions:
            evaluator.extend(condition, episodes)
        return {"results": evaluator.finish(conditions, episodes)}


def plain_conditions(
    task: str, domains: list[str], embodiment: str, sentences: Sentences = "sentences"
) -> list[Condition]:
    """A task in named domains, each told to the policy by its name, asked for in some of its sentences.

    Raises:
        InputError: no such task, robot or domain.
    """
    wanted = [get_domain(name) for name in dict.fromkeys(domains)]
    workspace = build_workspace(task, embodiment)
    return [Condition(workspace, domain, domain.name, sentences) for domain in wanted]


class Evaluator:
    """A policy's rollouts of one task into one folder, made where they are missing. Enter it before making any.

    Args:
        run: the training run's folder.
        task: name of the task.
        out: folder for results, table and videos.
        seed: of the evaluation's scenes.
        config: how rollouts are carried out.
        progress: where progress is shown.
        embodiment: the robot.

    Raises:
        InputError: there is no policy, it is for another robot or other cameras, or cannot be carried out like that.
    """

    def __init__(
        self,
        run: str | Path,
        task: str,
        out: str | Path,
        seed: int,
        config: RolloutConfig,
        progress: Reporter,
        embodiment: str,
    ) -> None:
        workspace = build_workspace(task, embodiment)
        self.policy = Policy.load(run, guidance=config.guidance)
        _check_policy(self.policy, workspace)
        config.pace(self.policy)
        self.task, self.seed, self.config, self.progress = task, seed, config, progress
        self.folder, self.stages = Path(out), stage_names(workspace.task)
        self.settings = _settings(self.policy, workspace, task, seed, config)
        self.notes: list[str] = []

    def __enter__(self) -> "Evaluator":
        """Read what an earlier sitting left, and keep others out.

        Raises:
            InputError: another evaluation writes to the folder.
            JobError: what is there is damaged.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # Both would add the same rollouts to the table.
        refusal = f"another evaluation into '{self.folder}' is under way; wait for it, or give another --out"
        self._lock = alone(self.folder, refusal)
        self._lock.__enter__()
        try:
            (self.folder / "videos").mkdir(exist_ok=True)
            self.table = EpisodeTable(self.folder / TABLE, self.settings)
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Let others in."""
        self._lock.__exit__(None, None, None)

    def warn(self, domains: list[Domain], episodes: int) -> None:
        """Say what weakens a result: an unknown task, training data that reaches into what is measured."""
        sources = self.policy.record["sources"]
        taught = sorted({name for source in sources for name in source["tasks"]})
        if self.task not in taught:
            self.progress.say(f"note: this policy was trained on {', '.join(taught)}; it has never seen '{self.task}'")
        self.notes = [*training_leaks(sources, domains), *scene_leaks(sources, self.task, self.seed, episodes)]
        for note in self.notes:
            self.progress.say(f"note: {note}")

    def extend(self, condition: Condition, episodes: int) -> list[dict[str, Any]]:
        """Make the rollouts in a condition's first scenes that are missing.

        Returns:
            The rows of these scenes, in their order.
        """
        if others := self.table.drop_others(condition.name, condition.domain.world):
            self.progress.say(
                f"note: {others:,} rollouts in {condition.name} were of what it meant in an earlier version; made again"
            )
        ends = self.table.of(condition.name, episodes)
        missing = sorted(set(range(episodes)) - {end["scene"] for end in ends})
        if not missing:
            return ends
        shown = Counter(end["outcome"] for end in ends)
        counts = Counter(shown)
        with self.progress(f"evaluate {condition.name}", episodes, len(ends)) as bar:
            for first in range(0, len(missing), self.config.batch):
                indices = missing[first : first + self.config.batch]
                batch = Rollout(condition, self.policy, indices, self.seed, self.config)
                rows = batch.run()
                save_videos(batch, self.folder / "videos", shown, self.config.videos)
                self.table.add(rows)
                counts.update(row["outcome"] for row in rows)
                bar.update(counts.total(), counts)
        return self.table.of(condition.name, episodes)

    def finish(self, conditions: list[Condition], episodes: int, **more: Any) -> list[dict[str, Any]]:
        """Write `results.json` and `episodes.csv`, and return the results, one per condition.

        Args:
            conditions: what was evaluated in.
            episodes: the first scenes of each count.
            more: further keys of `results.json`.
        """
        results = [
            summary(condition.name, self.task, self.stages, self.table.of(condition.name, episodes))
            for condition in conditions
        ]
        for result in results:
            stopped = {name.removeprefix("held_"): result["control"][name] for name in HELD if name != "held_waiting"}
            if any(stopped.values()):
                causes = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in stopped.items() if count)
                steps = f"{sum(stopped.values()):,} of {result['control']['steps']:,} control steps"
                self.notes.append(f"in {result['domain']} the arm was held in {steps}: {causes}")
                self.progress.say(f"note: {self.notes[-1]}")
        whole = {"results": results, "notes": self.notes, **more}
        write_whole(self.folder / "results.json", (json.dumps(whole, indent=1) + "\n").encode())
        self.table.write_csv()
        return results


def _settings(policy: Policy, workspace: Workspace, task: str, seed: int, config: RolloutConfig) -> dict[str, Any]:
    """What must be the same for rollouts of an earlier sitting to count."""
    plain = {name: value for name, value in to_plain(config).items() if name not in ("batch", "threads", "videos")}
    robot = workspace.embodiment.name
    other = {} if robot == "panda" else {"embodiment": robot}
    return {
        "format": _FORMAT,
        "policy": policy.record["digests"],
        "task": task,
        **other,
        "seed": seed,
        "config": plain,
        "interface": {
            "cameras": list(policy.cameras),
            "action_space": policy.action_space,
            "control_rate": policy.control_rate,
        },
        "versions": {"mujoco": mujoco.__version__},
    }


def _check_policy(policy: Policy, workspace: Workspace) -> None:
    taught = policy.preparer.normalisers
    if workspace.embodiment.name not in taught:
        raise InputError(
            f"the policy was trained on {', '.join(taught)}, not on '{workspace.embodiment.name}'; "
            f"give --embodiment {next(iter(taught))}"
        )
    known = [workspace.model.camera(i).name for i in range(workspace.model.ncam)]
    for camera in policy.cameras:
        if camera not in known:
            raise InputError(
                f"the policy looks through camera '{camera}'; '{workspace.task.name}' has: {', '.join(known)}"
            )
