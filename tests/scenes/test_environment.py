"""The Gymnasium environments: by the rules of Gymnasium, repeatable, and judged like everything else."""

import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import scenes  # noqa: F401  registers the environments
from generators.scripted import ScriptedOperator
from generators.teleoperation import record
from handful import InputError
from scenes.domains import get_domain
from scenes.scene import draw_scene
from scenes.workspace import build_workspace
from sim.kinematics import solve_inverse
from sim.panda import PANDA
from sim.transforms import interpolate
from trajectories import Episode

TASKS = {"handful/Lift-v0": "lift", "handful/StackThree-v0": "stack_three"}


def make(name: str = "handful/Lift-v0", **options: Any) -> gymnasium.Env[Any, Any]:
    """Without cameras unless asked for: most of what is tested needs none."""
    return gymnasium.make(name, **{"cameras": (), **options})


def still(opening: float = 1.0) -> np.ndarray:
    return np.append(PANDA.home, opening).astype(np.float32)


def recorded(task: str, seed: int, index: int) -> Episode:
    """An episode by the scripted operator in a scene that evaluation draws."""
    workspace = build_workspace(task)
    scene = draw_scene(workspace, get_domain("none"), "evaluation", seed, index)
    episode, _ = record(workspace, scene, ScriptedOperator(), np.random.default_rng(index))
    return episode


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("name", TASKS)
def test_gymnasiums_checker_has_nothing_to_say(name: str) -> None:
    env = gymnasium.make(name, render_mode="rgb_array", resolution=32)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
    env.close()
    # Absolute joint targets in radians are the contract, so the advice to use [-1, 1] is the one thing not taken.
    assert [str(w.message) for w in told if "symmetric and normalized" not in str(w.message)] == []


def test_importing_scenes_loads_no_simulator() -> None:
    code = "import sys, scenes; print([m for m in ('mujoco', 'scenes.environment', 'sim') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", TASKS)
def test_replaying_the_operators_actions_succeeds_with_the_same_states(name: str) -> None:
    episode = recorded(TASKS[name], seed=3, index=0)
    env = make(name, domain="none")
    observation, info = env.reset(seed=3)
    assert info["instruction"] == episode.meta.instruction == observation["instruction"]
    for t, action in enumerate(episode.arrays["action/executed"]):
        for key in ("joint_position", "joint_velocity", "gripper_opening", "tool_pose_in_base"):
            np.testing.assert_array_equal(observation[key], episode.arrays[f"observation/{key}"][t])
        assert not info["is_success"]
        observation, reward, terminated, truncated, info = env.step(action)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["is_success"]
    assert info["outcome"] == "success"


def test_the_same_seed_gives_the_same_bits() -> None:
    runs = []
    for _ in range(2):
        env = make(cameras=("front", "wrist"), resolution=48)
        observations = [env.reset(seed=5)[0]]
        rng = np.random.default_rng(0)
        for _ in range(5):
            observations.append(env.step(still() + rng.normal(0, 0.05, 8).astype(np.float32))[0])
        runs.append(observations)
        env.close()
    assert all(same(a, b) for a, b in zip(*runs, strict=True))


def test_the_twins_noise_repeats_with_its_seed() -> None:
    env = make(domain="twin/dev-0")
    first = env.reset(seed=1)[0]
    second = env.step(still())[0]
    assert same(env.reset(seed=1)[0], first)
    assert same(env.step(still())[0], second)
    assert not same(first, second)


def test_scenes_count_up_and_can_be_asked_for() -> None:
    env = make()
    assert [env.reset(seed=2)[1]["scene"], env.reset()[1]["scene"], env.reset()[1]["scene"]] == [0, 1, 2]
    asked, info = env.reset(options={"scene": 1})
    assert info["scene"] == 1
    assert env.reset()[1]["scene"] == 2
    env.reset(seed=2)
    assert same(env.reset()[0], asked)


def test_an_unseeded_reset_tells_the_seed_that_repeats_it() -> None:
    env = make()
    first, info = env.reset()
    assert same(env.reset(seed=info["seed"])[0], first)
    assert make().reset()[1]["seed"] != info["seed"]


def test_environments_can_be_vectorised() -> None:
    many = gymnasium.make_vec("handful/Lift-v0", num_envs=2, vectorization_mode="sync", cameras=())
    observation, info = many.reset(seed=[4, 5])
    for i, seed in enumerate((4, 5)):
        alone, _ = make().reset(seed=seed)
        np.testing.assert_array_equal(observation["joint_position"][i], alone["joint_position"])
        assert observation["instruction"][i] == alone["instruction"] == info["instruction"][i]
    many.close()


def test_a_list_of_scenes_is_played_and_then_ends() -> None:
    env = make()
    assert env.reset(seed=2, options={"scenes": [4, 1]})[1]["scene"] == 4
    assert env.reset()[1]["scene"] == 1
    with pytest.raises(InputError, match=r"the list of scenes has come to its end; call reset\(seed=\.\.\.\)"):
        env.reset()
    assert env.reset(seed=2)[1]["scene"] == 0


def test_a_level_and_further_cameras_are_asked_for_by_name() -> None:
    env = make(level="D1", cameras=("side", "front"), resolution=32)
    observation, _ = env.reset(seed=0)
    assert {"images/side", "images/front"} < set(observation)
    assert (observation["images/side"] != observation["images/front"]).any()
    same_scene, _ = make("handful/Lift-v0", task="lift:D1").reset(seed=0)
    np.testing.assert_array_equal(observation["joint_position"], same_scene["joint_position"])
    env.close()


def test_every_task_has_an_environment() -> None:
    registered = {spec.kwargs["task"] for name, spec in gymnasium.registry.items() if name.startswith("handful/")}
    with pytest.raises(InputError) as refusal:
        build_workspace("none such")
    listed = str(refusal.value).split("there is: ")[1].split(".")[0]
    assert registered == set(listed.split(", "))


def test_evaluation_and_generation_draw_different_scenes() -> None:
    here = make(namespace="evaluation").reset(seed=0)[0]
    there = make(namespace="generation").reset(seed=0)[0]
    both = [build_workspace("lift"), get_domain("sim")]
    poses = [draw_scene(*both, ns, 0, 0).ledger["poses"] for ns in ("evaluation", "generation")]
    assert poses[0] != poses[1]
    assert here.keys() == there.keys()


def test_an_idle_episode_is_truncated_at_the_horizon() -> None:
    env = make(domain="none")
    env.reset(seed=0)
    horizon = build_workspace("lift").task.horizon
    for t in range(1, horizon + 1):
        _, reward, terminated, truncated, info = env.step(still())
        assert reward == 0.0
        assert not terminated
        assert truncated == (t == horizon)
    assert info["outcome"] == "timed_out"
    assert not info["is_success"]


def test_a_collision_terminates_without_reward() -> None:
    env = make(domain="none")
    env.reset(seed=0)
    chain, start = PANDA.chain, PANDA.home[None]
    low = chain.forward(start)
    low[0, :3] = 0.5, 0.25, -0.02
    path = interpolate(chain.forward(start), low, np.linspace(0, 1, 40))
    for q in solve_inverse(chain, path, np.tile(start, (40, 1)), PANDA.home, iterations=30).q:
        _, reward, terminated, _, info = env.step(np.append(q, 1.0).astype(np.float32))
        if terminated:
            break
    assert terminated
    assert info["outcome"] == "collided"
    assert reward == 0.0


def test_a_divergence_ends_the_episode_with_the_last_sound_observation() -> None:
    env = make(domain="none")
    before, _ = env.reset(seed=0)
    env.unwrapped._stage.sim.qvel[0] = 1e12  # type: ignore[attr-defined]
    after, _, terminated, _, info = env.step(still())
    assert terminated
    assert info["outcome"] == "diverged"
    assert same(before, after)
    env.reset(seed=0)
    assert env.step(still())[4]["outcome"] is None


def test_cameras_and_resolution_are_as_asked() -> None:
    env = make(cameras=("wrist",), resolution=40)
    observation, _ = env.reset(seed=0)
    assert observation["images/wrist"].shape == (40, 40, 3)
    assert observation["images/wrist"].std() > 5  # there is something to see
    assert [k for k in observation if k.startswith("images/")] == ["images/wrist"]
    env.close()


def test_rendering_shows_the_front_camera_large() -> None:
    env = make(render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert isinstance(frame, np.ndarray)
    assert frame.shape == (480, 480, 3)
    assert frame.std() > 5
    env.close()


def test_actions_outside_the_space_are_clipped_into_it() -> None:
    far, limit = still(5.0), still(1.0)
    far[0], limit[0] = 10.0, PANDA.chain.upper[0]
    results = []
    for action in (far, limit):
        env = make(domain="none")
        env.reset(seed=0)
        results.append(env.unwrapped.step(action)[0])
    assert same(*results)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "D9"}, r"unknown level of task 'lift' 'D9'"),
        ({"task": "lift:D1", "level": "D1"}, r"task 'lift:D1' names its level; leave out level='D1'"),
        ({"embodiment": "pnda"}, r"unknown embodiment 'pnda'.*Did you mean 'panda'"),
        ({"render_mode": "rgb"}, r"unknown render mode 'rgb'; there is: rgb_array"),
        ({"renderer": "mujco", "cameras": ("front",)}, r"unknown renderer 'mujco'"),
        ({"domain": "simm"}, r"unknown domain 'simm'; there is: .*Did you mean 'sim'"),
        ({"cameras": ("frnt",)}, r"unknown camera 'frnt'; there is: .*Did you mean 'front'"),
        ({"namespace": "evaluate"}, r"unknown namespace 'evaluate'.*Did you mean 'evaluation'"),
        ({"resolution": 0}, r"resolution of 0 pixels"),
        ({"quality": "fats", "cameras": ("front",)}, r"unknown render quality 'fats'.*Did you mean 'fast'"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_would_be_right(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**options).reset(seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scen": 1}, r"unknown reset option 'scen'"),
        ({"scene": -1}, r"scene -1 does not exist"),
        ({"scene": 1.5}, r"scene 1.5 does not exist"),
        ({"scenes": []}, r"'scenes' is a list of at least one scene, got \[\]"),
        ({"scenes": 3}, r"'scenes' is a list of at least one scene, got 3"),
        ({"scenes": [0, -1]}, r"scene -1 does not exist"),
        ({"scenes": [0], "scene": 1}, r"either the option 'scene' or 'scenes'"),
    ],
)
def test_a_wrong_reset_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make().reset(seed=0, options=options)


@pytest.mark.parametrize("action", [np.zeros(7, np.float32), np.full(8, np.nan, np.float32)])
def test_a_broken_action_is_refused(action: np.ndarray) -> None:
    env = make().unwrapped
    env.reset(seed=0)
    with pytest.raises(InputError, match=r"an action is \(8,\) finite numbers"):
        env.step(action)


def test_stepping_without_an_episode_is_refused() -> None:
    with pytest.raises(InputError, match=r"no episode is under way; call reset\(\) first"):
        make().unwrapped.step(still())
