"""`handful evaluate`: a policy in many scenes at once, judged as strictly as generation is.

Scene i of an evaluation is the same world for every policy: its streams (scene, appearance, sensor noise, policy
noise) are named by seed, task and scene index in a namespace that generation never draws from.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from handful import InputError, random_stream
from pipelines.configuration import resolve, to_plain
from pipelines.leaks import training_leaks
from pipelines.pictures import captioned, side_by_side, write_video
from pipelines.progress import Reporter
from pipelines.runs import video_name
from pipelines.statistics import wilson_interval
from policies.policy import Policy
from scenes.domains import Domain, get_domain
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.sensing import measure_joints
from scenes.workspace import Workspace, build_workspace
from sim.batch import BatchSim
from sim.kinematics import solve_inverse
from sim.rendering import FrameRenderer
from trajectories.photometric import Photometric
from trajectories.poses import pose_features

# Example videos: every second control step, frames of this many pixels.
_VIDEO_STRIDE, _VIDEO_SIDE = 2, 240


@dataclass(frozen=True)
class RolloutConfig:
    """How a policy is evaluated."""

    # Scenes that advance together; results do not depend on it.
    batch: int = 32
    # Actions of a chunk to carry out before looking again; 0: as many as the policy was trained for.
    execute: int = 0
    # A chunk that leads less far than this from the last command, on average, is not carried out [m]: an arm at rest
    # stays at rest. The gripper obeys all the same.
    rest: float = 0.012
    # Whether the policy is told the domain it is in; a domain it never saw is never told.
    tell_domain: bool = True
    # Example videos per domain and outcome.
    videos: int = 1
    # Threads that step the physics.
    threads: int = 2

    def __post_init__(self) -> None:
        for name in ("batch", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")


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
        out: folder for `results.json`, `episodes.jsonl` and `videos/`.
        seed: of the evaluation's scenes.
        overrides: `a.b=c` for RolloutConfig.
        progress: where progress is shown.
        embodiment: the robot; one that the policy was trained on.

    Returns:
        {"results": one dict per domain: domain, task, successes, episodes, rate, ci, outcomes}
    """
    config = resolve(RolloutConfig, None, overrides)
    wanted = [get_domain(name) for name in domains]
    workspace = build_workspace(task, embodiment)
    policy = Policy.load(run)
    _check_policy(policy, workspace)
    taught = sorted({name for source in policy.record["sources"] for name in source["tasks"]})
    if task not in taught:
        progress.say(f"note: this policy was trained on {', '.join(taught)}; it has never seen '{task}'")
    for note in training_leaks(policy.record["sources"], wanted):
        progress.say(f"note: {note}")
    folder = Path(out)
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    table = EpisodeTable(folder / "episodes.jsonl", _settings(policy, workspace, task, seed, config))
    results = []
    for domain in wanted:
        ends = table.of(domain.name, episodes)
        with progress(f"evaluate {domain.name}", episodes, len(ends)) as bar:
            shown = Counter(end["outcome"] for end in ends)
            missing = sorted(set(range(episodes)) - {end["scene"] for end in ends})
            for first in range(0, len(missing), config.batch):
                indices = missing[first : first + config.batch]
                scenes = [draw_scene(workspace, domain, "evaluation", seed, i) for i in indices]
                batch = Rollout(workspace, domain, policy, scenes, seed, config)
                rows = batch.run()
                _save_videos(batch, folder / "videos", shown, config.videos)
                table.add(rows)
                ends += rows
                bar.update(len(ends), Counter(end["outcome"] for end in ends))
        results.append(_result(domain, task, ends))
    (folder / "results.json").write_text(json.dumps({"results": results}, indent=1) + "\n", encoding="utf-8")
    return {"results": results}


def _settings(policy: Policy, workspace: Workspace, task: str, seed: int, config: RolloutConfig) -> dict[str, Any]:
    """What must be the same for rollouts of an earlier sitting to count."""
    plain = {name: value for name, value in to_plain(config).items() if name not in ("batch", "threads", "videos")}
    robot = workspace.embodiment.name
    other = {} if robot == "panda" else {"embodiment": robot}
    return {
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


class EpisodeTable:
    """The rollouts done so far, one JSON object per line: the settings first, then a row per episode.

    Args:
        path: the file; one that was begun with other settings is begun anew.
        settings: what decides a rollout's result besides its domain and scene.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        # What follows the last line's end was cut short by a stop.
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        same = bool(lines) and json.loads(lines[0]) == settings
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines[1:]] if same else []
        path.write_text("".join(json.dumps(line) + "\n" for line in (settings, *self.rows)), encoding="utf-8")

    def of(self, domain: str, episodes: int) -> list[dict[str, Any]]:
        """The rows of a domain's first scenes."""
        return [row for row in self.rows if row["domain"] == domain and row["scene"] < episodes]

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Append rows; all of them are on the disk afterwards."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
        self.rows += rows


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


def _result(domain: Domain, task: str, ends: list[dict[str, Any]]) -> dict[str, Any]:
    outcomes = Counter(end["outcome"] for end in ends)
    successes = outcomes[Outcome.SUCCESS.label]
    return {
        "domain": domain.name,
        "task": task,
        "successes": successes,
        "episodes": len(ends),
        "rate": successes / len(ends),
        "ci": list(wilson_interval(successes, len(ends))),
        "outcomes": dict(outcomes),
    }


class Rollout:
    """A batch of scenes under a policy.

    Attributes:
        states: per scene, its state before each control step.
    """

    def __init__(
        self,
        workspace: Workspace,
        domain: Domain,
        policy: Policy,
        scenes: list[Scene],
        seed: int,
        config: RolloutConfig,
    ) -> None:
        self.workspace, self.policy, self.scenes, self.config = workspace, policy, scenes, config
        self.sim = BatchSim(workspace.model, workspace.embodiment, len(scenes), config.threads)
        self.monitor = Monitor(workspace, self.sim)
        self.lanes = np.arange(len(scenes))
        task = workspace.task.name
        self.noise = [random_stream("evaluation", seed, task, scene.index, "policy") for scene in scenes]
        self.sensor = [random_stream("evaluation", seed, task, scene.index, "sensor_noise") for scene in scenes]
        noise = domain.sensor
        self.camera = Photometric(**dataclasses.asdict(noise))
        self.drawn = [self.camera.draw(stream) for stream in self.sensor]
        self.has_noise = self.camera != Photometric()
        known = policy.preparer.domains
        self.domain = domain.name if config.tell_domain and domain.name in known else None
        self.states: list[list[np.ndarray]] = [[] for _ in scenes]

    def run(self) -> list[dict[str, Any]]:
        """Roll out to success, failure or the horizon; one record per scene."""
        load_scenes(self.sim, self.workspace, self.lanes, self.scenes)
        self.monitor.begin(self.lanes, self.scenes)
        self.command = self.sim.joint_position(self.lanes)
        execute = self.config.execute or self.policy.execute
        height, width = next(iter(self.policy.resolution.values()))
        models = [self.sim.batch.get_model(lane) for lane in self.lanes]
        with FrameRenderer(self.workspace.model, height, width) as renderer:
            for start in range(0, self.workspace.task.horizon, execute):
                ids = self._undecided()
                if len(ids) == 0:
                    break
                chunk = self._decide(ids, renderer, models)
                for t in range(min(execute, self.workspace.task.horizon - start)):
                    rows = [r for r, i in enumerate(ids) if self.monitor.outcome[i] is None]
                    if not rows:
                        break
                    now = ids[rows]
                    self.command[now] = chunk[rows, t, :-1]
                    for i in now:
                        self.states[i].append(self.sim.state[i].copy())
                    self.sim.step(now, chunk[rows, t])
                    self.monitor.update(now)
        self.monitor.give_up(self._undecided())
        return [self._record(int(lane)) for lane in self.lanes]

    def _undecided(self) -> np.ndarray:
        return self.lanes[[outcome is None for outcome in self.monitor.outcome]]

    def _decide(self, ids: np.ndarray, renderer: FrameRenderer, models: list[Any]) -> np.ndarray:
        """Look, and decide the next chunk of joint targets (n, horizon, J + 1)."""
        images: dict[str, list[np.ndarray]] = {camera: [] for camera in self.policy.cameras}
        for i in ids:
            seen = renderer.render(models[i], self.sim.state[i], self.policy.cameras)
            if self.has_noise:
                seen = {c: self.camera.apply(f[None], self.drawn[i], self.sensor[i])[0] for c, f in seen.items()}
            for camera, frame in seen.items():
                images[camera].append(frame)
        joints = measure_joints(self.sim, ids, [self.scenes[i] for i in ids], [self.sensor[i] for i in ids])
        tool = self.workspace.embodiment.chain.forward(joints)
        opening = self.sim.gripper_opening(ids)
        proprio = np.concatenate([joints, opening[:, None], pose_features(tool)], axis=1).astype(np.float32)
        size = (self.policy.horizon, self.policy.noise_size(self.workspace.embodiment.name))
        noise = np.stack([self.noise[i].standard_normal(size, dtype=np.float32) for i in ids])
        actions = self.policy.act(
            {camera: np.stack(frames) for camera, frames in images.items()},
            proprio,
            [self.scenes[i].instruction for i in ids],
            self.workspace.embodiment.name,
            self.domain,
            noise,
        )
        chunk = self._to_joints(joints, actions) if self.policy.action_space == "tool_delta" else actions.astype(float)
        return self._at_rest(ids, chunk)

    def _at_rest(self, ids: np.ndarray, chunk: np.ndarray) -> np.ndarray:
        """The chunk (n, horizon, J + 1), with the last command in place of motion that is not worth its while."""
        chain = self.workspace.embodiment.chain
        here = chain.forward(self.command[ids])[:, :3]
        way = chain.forward(chunk[..., :-1])[..., :3].mean(axis=1) - here
        still = np.linalg.norm(way, axis=1) < self.config.rest
        chunk[still, :, :-1] = self.command[ids[still], None]
        return chunk

    def _to_joints(self, joints: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Joint targets (n, horizon, J + 1) of tool-pose actions (n, horizon, 8), each solved from the one before."""
        robot = self.workspace.embodiment
        result = np.empty((*actions.shape[:2], len(robot.joints) + 1))
        current = joints
        for t in range(actions.shape[1]):
            current = solve_inverse(robot.chain, actions[:, t, :7].astype(float), current, current).q
            result[:, t, :-1], result[:, t, -1] = current, actions[:, t, 7]
        return result

    def _record(self, lane: int) -> dict[str, Any]:
        outcome, scene = self.monitor.outcome[lane], self.scenes[lane]
        states = [state.tobytes() for state in self.states[lane]]
        assert outcome is not None  # give_up settles it
        return {
            "domain": scene.domain,
            "task": self.workspace.task.name,
            "scene": scene.index,
            "seed": scene.seed,
            "instruction": scene.instruction,
            "outcome": outcome.label,
            "steps": len(self.states[lane]),
            "goal_ever_met": bool(self.monitor.met[lane]),
            # Two rollouts with the same one are one rollout, however often it was run.
            "digest": hashlib.sha256(b"".join(states)).hexdigest()[:16] if states else "",
        }


def _save_videos(batch: Rollout, folder: Path, shown: Counter[str], most: int) -> None:
    """Draw example rollouts again, larger than the policy saw them and without sensor noise; `most` per outcome."""
    for lane, scene in enumerate(batch.scenes):
        outcome = batch.monitor.outcome[lane]
        if outcome is None or shown[outcome.label] >= most:
            continue
        shown[outcome.label] += 1
        lines = [scene.instruction, f"{scene.domain}, scene {scene.index}: {outcome.label.replace('_', ' ')}"]
        states = np.stack(batch.states[lane][::_VIDEO_STRIDE])
        with FrameRenderer(batch.workspace.model, _VIDEO_SIDE, _VIDEO_SIDE) as renderer:
            drawn = renderer.render_states(batch.sim.batch.get_model(lane), states, batch.policy.cameras)
        pictures = [
            captioned(side_by_side(list(views)), lines, above=True) for views in zip(*drawn.values(), strict=True)
        ]
        name = folder / video_name(scene.domain, outcome.label)
        write_video(name, pictures, batch.sim.timing.rate / _VIDEO_STRIDE)
