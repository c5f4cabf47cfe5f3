"""Rollouts in the course of training: a learning curve in successes, and what the best checkpoint is chosen by.

Their scenes are numbered from a million on, so none of them is met again when the policy is evaluated; test twins are
refused. This is the one part of training that needs the simulator.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from handful import InputError, unknown_name
from pipelines.runner import Condition, Rollout, RolloutConfig
from policies.candidates import Evaluation, Rate
from policies.config import TrainConfig
from policies.policy import Policy
from scenes.domains import get_domain
from scenes.outcome import Outcome
from scenes.twins import SEALED
from scenes.workspace import build_workspace
from trajectories import Source, open_dataset

# Number of the first scene.
FIRST_SCENE = 1_000_000
# Of the scenes: the same for all runs, so that their curves can be compared.
SEED = 0


@dataclass(frozen=True)
class Measured:
    """One task in one domain, for one robot."""

    task: str
    domain: str
    episodes: int
    # Name of the robot; None: the one of the data.
    robot: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Measured":
        """Read "TASK:DOMAIN:EPISODES[:ROBOT]".

        Raises:
            InputError: it is not that, or a twin that is kept for the final evaluation.
        """
        parts = text.split(":")
        if len(parts) not in (3, 4) or not parts[2].isdecimal() or int(parts[2]) < 1:
            raise InputError(f"--evaluate takes TASK:DOMAIN:EPISODES[:ROBOT], as in lift:twin/dev-0:50, got '{text}'")
        if parts[1].startswith(SEALED):
            raise InputError(
                f"'{parts[1]}' is kept for evaluation alone: a policy that was chosen by it would be measured too "
                "well in it; take sim, or a twin/dev-<number>"
            )
        return cls(parts[0], parts[1], int(parts[2]), parts[3] if len(parts) == 4 else None)


def rollouts_in_training(
    texts: Sequence[str],
    sources: Sequence[Source],
    config: TrainConfig,
    rollout: Callable[[Condition, Policy, list[int]], list[dict[str, object]]] | None = None,
) -> Evaluation:
    """What `--evaluate` asks for, checked before any work is done.

    Args:
        texts: see `Measured.parse`.
        sources: the data; it says which robots the policy will know.
        config: of the training; it says which cameras it looks through.
        rollout: makes the rollouts of some scenes; None: the simulator.

    Raises:
        InputError: no such task, domain or robot, or the policy will not know the robot or lack a camera.
    """
    robots = sorted({name for s in sources for name in open_dataset(s.path).index().categories["embodiment"].values})
    conditions: dict[str, tuple[Condition, int]] = {}
    for measured in map(Measured.parse, texts):
        if measured.robot is None and len(robots) > 1:
            raise InputError(
                f"the data has robots {', '.join(robots)}; say which one to evaluate: "
                f"--evaluate {measured.task}:{measured.domain}:{measured.episodes}:{robots[0]}"
            )
        robot = measured.robot or robots[0]
        if robot not in robots:
            raise unknown_name("robot in the data", robot, robots)
        domain = get_domain(measured.domain)
        workspace = build_workspace(measured.task, robot)
        cameras = [workspace.model.camera(i).name for i in range(workspace.model.ncam)]
        for camera in config.cameras:
            if camera not in cameras:
                raise unknown_name(f"camera in '{measured.task}'", camera, cameras)
        name = f"{measured.task} {domain.name}" + (f" {robot}" if len(robots) > 1 else "")
        if name in conditions:
            raise InputError(f"'{name}' is evaluated twice; ask for it once, in as many episodes as it should be")
        conditions[name] = (Condition(workspace, domain, domain.name), measured.episodes)
    make = rollout or _rollout

    def run(policy: Policy, step: int) -> Mapping[str, Rate]:
        rates = {}
        for name, (condition, episodes) in conditions.items():
            rows = make(condition, policy, list(range(FIRST_SCENE, FIRST_SCENE + episodes)))
            successes = sum(row["outcome"] == Outcome.SUCCESS.label for row in rows)
            rates[name] = Rate(successes, episodes)
        return rates

    return Evaluation(run, tuple(f"{name} {episodes}" for name, (_, episodes) in conditions.items()))


def _rollout(condition: Condition, policy: Policy, scenes: list[int]) -> list[dict[str, object]]:
    config = RolloutConfig(videos=0)
    rows: list[dict[str, object]] = []
    for first in range(0, len(scenes), config.batch):
        rows += Rollout(condition, policy, scenes[first : first + config.batch], SEED, config).run()
    return rows
