"""The vector environment: bit for bit the single one, in Gymnasium's own terms."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv

import scenes  # noqa: F401  registers the environments
from handful import InputError
from scenes.workspace import build_workspace
from sim.panda import PANDA

N = 3


def make(name: str = "handful/Lift-v0", num_envs: int = N, **options: Any) -> VectorEnv[Any, Any, Any]:
    return gymnasium.make_vec(
        name, num_envs=num_envs, vectorization_mode="vector_entry_point", **{"cameras": (), **options}
    )


def alone(name: str = "handful/Lift-v0", **options: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(name, **{"cameras": (), **options})


def still(count: int = N) -> np.ndarray:
    return np.tile(np.append(PANDA.home, 1.0).astype(np.float32), (count, 1))


def random_actions(steps: int, count: int = N) -> np.ndarray:
    """A walk about home, the gripper opening and closing."""
    rng = np.random.default_rng(0)
    walk = rng.normal(0, 0.03, (steps, count, 8)).cumsum(axis=0).astype(np.float32)
    return still(count) + walk


def row(batched: dict[str, Any], lane: int) -> dict[str, Any]:
    return {name: values[lane] for name, values in batched.items()}


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)


def shorten(env: Any, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let episodes end early."""
    monkeypatch.setattr(type(env.unwrapped._stage), "horizon", property(lambda _: steps))


@pytest.mark.parametrize("domain", ["sim", "twin/dev-0"])
@pytest.mark.parametrize(
    ("name", "cameras", "steps"),
    [("handful/Lift-v0", (), 40), ("handful/StackThree-v0", ("front", "wrist"), 3)],
)
def test_it_equals_the_single_environment_step_by_step(
    name: str, cameras: tuple[str, ...], steps: int, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = make(name, cameras=cameras, resolution=24, domain=domain, threads=2)
    singles = [alone(name, cameras=cameras, resolution=24, domain=domain) for _ in range(N)]
    shorten(many, 15, monkeypatch)
    observations, infos = many.reset(seed=4)
    for lane, env in enumerate(singles):
        observation, info = env.reset(seed=4 + lane)
        assert_same(row(observations, lane), observation)
        assert row(infos, lane) == {**info, **{f"_{key}": True for key in info}}
    done = [False] * N
    ends = 0
    for actions in random_actions(steps):
        observations, rewards, terminated, truncated, infos = many.step(actions)
        for lane, env in enumerate(singles):
            expected: tuple[Any, ...]
            if done[lane]:  # the step after an end starts the next scene
                observation, info = env.reset()
                expected = (observation, 0.0, False, False, info)
            else:
                expected = env.step(actions[lane])
            assert_same(row(observations, lane), expected[0])
            assert (rewards[lane], terminated[lane], truncated[lane]) == expected[1:4]
            assert row(infos, lane) == {**expected[4], **{f"_{key}": True for key in expected[4]}}
            done[lane] = bool(expected[2] or expected[3])
            ends += done[lane]
    assert ends >= (2 * N if steps > 30 else 0)
    many.close()
    for env in singles:
        env.close()


def test_gymnasiums_own_vector_environment_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = make(), gymnasium.make_vec("handful/Lift-v0", num_envs=N, vectorization_mode="sync", cameras=())
    shorten(ours, 6, monkeypatch)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    (a, a_info), (b, b_info) = ours.reset(seed=[1, 9, 5]), theirs.reset(seed=[1, 9, 5])
    assert_same(a, b)
    assert_same(a_info, b_info)
    for actions in random_actions(16):
        given, expected = ours.step(actions), theirs.step(actions)
        assert_same(given[0], expected[0])
        for one, other in zip(given[1:4], expected[1:4], strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        assert_same(given[4], expected[4])
        assert {k: v.dtype for k, v in given[4].items()} == {k: v.dtype for k, v in expected[4].items()}
    theirs.close()
    ours.close()


def test_it_is_what_gymnasium_makes_when_not_told_otherwise() -> None:
    env = gymnasium.make_vec("handful/Lift-v0", num_envs=2, cameras=())
    assert type(env).__name__ == "VectorTaskEnvironment"
    assert env.observation_space.contains(env.reset(seed=0)[0])
    assert env.action_space.contains(env.action_space.sample())


def test_a_list_of_scenes_is_dealt_out_and_each_is_played_once(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(num_envs=2)
    shorten(env, 2, monkeypatch)
    _, info = env.reset(seed=7, options={"scenes": [10, 20, 30]})
    assert info["seed"].tolist() == [7, 7]
    played, ended = [info["scene"].tolist()], 0
    for _ in range(8):
        observation, _, terminated, truncated, info = env.step(still(2))
        played.append(info["scene"].tolist())
        ended += int((terminated | truncated).sum())
        assert env.observation_space.contains(observation)
    # Two steps each; then a step that starts the next; then the second environment has nothing left.
    assert played == [[10, 20]] * 3 + [[30, -1]] * 3 + [[-1, -1]] * 3
    assert ended == 3
    expected, _ = alone().reset(seed=7, options={"scene": 30})
    env.reset(seed=7, options={"scenes": [20, 30]})
    again = env.reset(options={"scenes": [20, 30]})[0]
    assert_same(row(again, 1), expected)


def test_without_autoreset_environments_wait_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(num_envs=2, autoreset_mode="Disabled")
    assert env.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    shorten(env, 2, monkeypatch)
    env.reset(seed=[0, 5])
    env.step(still(2))
    env.reset(options={"reset_mask": np.array([True, False])})
    _, _, _, truncated, info = env.step(still(2))
    assert truncated.tolist() == [False, True]
    assert info["scene"].tolist() == [1, 0]
    with pytest.raises(InputError, match=r"the episodes of environments \[1\] have ended; call reset"):
        env.step(still(2))
    observation, info = env.reset(options={"reset_mask": np.array([False, True])})
    assert info["_scene"].tolist() == [False, True]
    assert (info["scene"][1], info["instruction"][0]) == (1, None)
    assert_same(row(observation, 1), alone().reset(seed=5, options={"scene": 1})[0])
    assert not env.step(still(2))[3][1]


def test_a_list_that_has_ended_is_said_before_anything_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(num_envs=2, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0, options={"scenes": [0, 1, 2]})
    with pytest.raises(InputError, match=r"environments \[1\] have no scene left in their list"):
        env.reset()
    assert env.step(still(2))[4]["scene"].tolist() == [0, 1]


def test_a_scene_can_be_asked_for_and_plans_go_on() -> None:
    env = make(num_envs=2)
    assert env.reset(seed=3, options={"scene": 6})[1]["scene"].tolist() == [6, 6]
    _, info = env.reset()
    assert (info["scene"].tolist(), info["seed"].tolist()) == ([7, 7], [3, 4])


def test_unseeded_plans_differ_and_are_told() -> None:
    env = make(num_envs=2)
    _, info = env.reset()
    assert len(set(info["seed"].tolist())) == 2
    observation, _ = env.reset()
    again, _ = make(num_envs=2).reset(seed=info["seed"].tolist(), options={"scene": 1})
    assert_same(observation, again)


def test_what_was_given_away_may_be_written_to() -> None:
    env = make(num_envs=1)
    first, _ = env.reset(seed=0)
    kept = first["joint_position"].copy()
    first["joint_position"][:] = 9.0
    second = env.step(still(1))[0]
    assert np.abs(second["joint_position"] - kept).max() < 0.1


def test_a_divergence_ends_one_environment_alone() -> None:
    env = make(domain="none")
    before, _ = env.reset(seed=0)
    env.unwrapped._stage.sim.qvel[1] = 1e12  # type: ignore[attr-defined]
    after, _, terminated, _, info = env.step(still())
    assert terminated.tolist() == [False, True, False]
    assert info["outcome"].tolist() == [None, "diverged", None]
    assert_same(row(after, 1), row(before, 1))
    assert env.step(still())[4]["scene"].tolist() == [0, 1, 0]


def test_it_renders_each_environment() -> None:
    env = make(num_envs=2, render_mode="rgb_array")
    assert env.render() is None
    env.reset(seed=0)
    frames = env.render()
    assert frames is not None
    assert [frame.shape for frame in frames] == [(480, 480, 3)] * 2
    assert (frames[0] != frames[1]).any()
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, r"num_envs must be at least 1, got 0"),
        ({"threads": 0}, r"threads must be at least 1, got 0"),
        ({"autoreset_mode": "NextSte"}, r"unknown autoreset mode 'NextSte'.*Did you mean 'NextStep'"),
        ({"autoreset_mode": AutoresetMode.SAME_STEP}, r"unknown autoreset mode 'SameStep'; there is: Disabled, NextS"),
        ({"cameras": ("frnt",)}, r"unknown camera 'frnt'.*Did you mean 'front'"),
        ({"render_mode": "human"}, r"unknown render mode 'human'"),
    ],
)
def test_a_wrong_setting_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": [1, 2]}, r"2 seeds for 3 environments"),
        ({"seed": -1}, r"a seed is a whole number from 0 on, got -1"),
        ({"options": {"scenes": [0, 1]}}, r"2 scenes are fewer than the 3 environments"),
        ({"options": {"scen": 1}}, r"unknown reset option 'scen'"),
        ({"options": {"reset_mask": [True] * 3}}, r"reset_mask must be \(3,\) bool"),
        ({"options": {"reset_mask": np.zeros(3, bool)}}, r"with at least one True"),
        ({"options": {"reset_mask": np.array([True, False, True])}}, r"the first reset is of all environments"),
    ],
)
def test_a_wrong_reset_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make().reset(**given)


def test_broken_actions_are_refused() -> None:
    env = make()
    with pytest.raises(InputError, match=r"no episodes are under way; call reset\(\) first"):
        env.step(still())
    env.reset(seed=0)
    broken = still()
    broken[1, 2] = np.nan
    with pytest.raises(InputError, match=r"actions are \(3, 8\) finite numbers, got \(3, 8\) with 1 broken"):
        env.step(broken)
    with pytest.raises(InputError, match=r"got \(2, 8\) with 0 broken"):
        env.step(still(2))


def test_the_horizon_is_the_tasks() -> None:
    assert make().unwrapped._stage.horizon == build_workspace("lift").task.horizon  # type: ignore[attr-defined]
