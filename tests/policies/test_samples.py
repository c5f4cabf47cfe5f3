import numpy as np

from policies.samples import prefer_motion


def make_batch(distances: np.ndarray) -> dict:
    count = len(distances)
    tool = np.zeros((count, 4, 10), np.float32)
    tool[:, -1, 0] = distances
    return {"proprio": np.zeros((count, 17), np.float32), "action_tool": tool, "instruction": list(range(count))}


def test_windows_with_motion_are_preferred_and_still_ones_not_lost():
    moves = np.tile([0.0, 0.2], 600)
    chosen = prefer_motion(make_batch(moves), 400, np.random.default_rng(0))
    share = (chosen["action_tool"][:, -1, 0] > 0).mean()
    assert 0.8 < share < 0.99


def test_chosen_windows_differ_and_their_keys_stay_together():
    batch = make_batch(np.linspace(0, 1, 30))
    chosen = prefer_motion(batch, 10, np.random.default_rng(1))
    assert len(set(chosen["instruction"])) == len(chosen["proprio"]) == 10
    np.testing.assert_array_equal(chosen["action_tool"], batch["action_tool"][chosen["instruction"]])


def test_without_candidates_to_spare_all_are_kept():
    batch = make_batch(np.zeros(5))
    assert prefer_motion(batch, 5, np.random.default_rng(0)) is batch
