import numpy as np
import pytest

from handful import InputError
from policies.samples import Preparer, Vocabulary
from policies.statistics import RobotStatistics, fit_statistics
from tests.policies.test_normalisation import make_batch

PATHS = ["sim.zarr", "real.zarr"]


def rows(seed: int, robot: str, joints: int, domain: str, source: int, spread: float, count: int = 30) -> dict:
    """Windows as the loader gives them, of one robot, padded to seven joints."""
    batch = make_batch(np.random.default_rng(seed), count)
    batch["action"][..., :-1] = batch["proprio"][:, None, :7] + spread * (
        batch["action"][..., :-1] - batch["proprio"][:, None, :7]
    )
    if joints < 7:
        keep = [*range(joints), *range(7, 17)]
        batch["proprio"] = np.pad(batch["proprio"][:, keep], ((0, 0), (0, 7 - joints)))
        batch["action"] = np.pad(batch["action"][..., [*range(joints), 7]], ((0, 0), (0, 0), (0, 7 - joints)))
    told = {"embodiment": [robot] * count, "domain": [domain] * count, "instruction": ["lift it"] * count}
    stage = {"subtask": np.zeros(count, np.int64), "progress": np.zeros(count, np.float32)}
    return {**batch, **told, **stage, "joints": np.full(count, joints), "source": np.full(count, source)}


@pytest.fixture
def batches() -> list[dict]:
    return [
        rows(0, "panda", 7, "sim", 0, 1.0),
        rows(1, "panda", 7, "real/kitchen", 1, 3.0),
        rows(2, "ur5e", 6, "sim", 0, 2.0),
    ]


def fit(rule: str, batches: list[dict], space: str = "joint_delta") -> RobotStatistics:
    return fit_statistics(rule, batches, PATHS, space, 5, (1, 4))  # type: ignore[arg-type]


def spread(statistics: RobotStatistics, robot: str, domain: str | None) -> float:
    return float(statistics.of(robot, domain).action_std[-1, 0])


def test_union_is_over_all_data_of_a_robot(batches):
    found = fit("union", batches)
    assert list(found.robots) == ["panda", "ur5e"]
    assert (found.robots["panda"].proprio_size, found.robots["ur5e"].proprio_size) == (17, 16)
    deltas = np.concatenate([b["action"][:, -1, 0] - b["proprio"][:, 0] for b in batches[:2]])
    np.testing.assert_allclose(spread(found, "panda", "sim"), deltas.std(), rtol=1e-4)
    assert found.of("panda", "sim") is found.of("panda", "real/kitchen") is found.of("panda", None)


def test_per_domain_gives_each_domain_its_own_and_the_union_where_it_has_none(batches):
    found, union = fit("per_domain", batches), fit("union", batches)
    assert 2 < spread(found, "panda", "real/kitchen") / spread(found, "panda", "sim") < 4
    for robot, domain in (("panda", None), ("panda", "twin/dev-0"), ("ur5e", "real/kitchen")):
        assert spread(found, robot, domain) == spread(union, robot, None)


@pytest.mark.parametrize("rule", ["real.zarr", "real/kitchen"])
def test_a_store_or_a_domain_alone_may_give_the_statistics(batches, rule):
    found = fit(rule, batches[:2])
    assert spread(found, "panda", "sim") == spread(fit("per_domain", batches), "panda", "real/kitchen")


def test_rules_that_are_none_are_refused(batches):
    with pytest.raises(InputError, match=r"unknown normalisation 'real.zar'; there is: .*Did you mean 'real.zarr'"):
        fit("real.zar", batches)
    with pytest.raises(InputError, match=r"normalisation is 'real.zarr', which has no data of 'ur5e'"):
        fit("real.zarr", batches)


def test_json_keeps_statistics_and_a_change_of_any_changes_the_hash(batches):
    found = fit("per_domain", batches)
    record = found.to_json()
    again = RobotStatistics.from_json(record)
    assert again.hash == found.hash == record["statistics_hash"]
    record["domain_statistics"]["panda"]["sim"]["lowest"][0] += 1e-9
    assert RobotStatistics.from_json(record).hash != found.hash
    del record["statistics"]["ur5e"]
    with pytest.raises(InputError, match="no normalisation statistics for ur5e"):
        RobotStatistics.from_json(record)


def test_rows_are_normalised_by_their_own_robot_and_domain_and_padded(batches):
    statistics = fit("per_domain", batches)
    preparer = Preparer(Vocabulary.build(["lift it"]), 4, (), statistics, ("real/kitchen", "sim"), (1, 4))
    lists = {k: [v for b in batches for v in b[k]] for k in ("embodiment", "domain", "instruction")}
    arrays = {k: np.concatenate([b[k] for b in batches]) for k in batches[0] if k not in lists}
    order = np.random.default_rng(0).permutation(90)
    mixed = {k: v[order] for k, v in arrays.items()} | {k: [v[i] for i in order] for k, v in lists.items()}
    sample = preparer.prepare(mixed)
    assert sample.proprio.shape == (90, 17)
    assert sample.actions.shape == (90, 5, 8)
    for number, batch in enumerate(batches):
        place = np.flatnonzero(order // 30 == number)
        alone = preparer.prepare(batch)
        np.testing.assert_array_equal(sample.actions[place], alone.actions[order[place] % 30])
        np.testing.assert_array_equal(sample.proprio[place], alone.proprio[order[place] % 30])
        np.testing.assert_array_equal(sample.waypoints[place], alone.waypoints[order[place] % 30])
    narrow = sample.embodiment == 1
    assert not sample.actions[narrow][..., 7].any()
    assert not sample.proprio[narrow][:, 16].any()
    # Every group has a spread of one in network numbers, whatever its own was.
    deviation = sample.actions[sample.domain == 1][:, -1, 0].std(correction=0)
    np.testing.assert_allclose(float(deviation), 1, rtol=1e-4)
