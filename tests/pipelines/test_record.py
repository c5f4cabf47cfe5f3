"""Recording: one part per scene, continued and extended by the same command."""

import pytest

from handful import InputError, JobError
from pipelines import record
from pipelines.progress import Reporter
from scenes.outcome import Outcome
from trajectories import Store

QUIET = Reporter(quiet=True)


def run(out, **changes):
    arguments = {"task": "lift", "device": "script", "episodes": 1, "seed": 0, "domain": "sim", "overrides": []}
    return record.run(out=out, progress=QUIET, **{**arguments, **changes})


def test_records_labelled_demos_and_goes_on_where_it_stopped(tmp_path):
    assert run(tmp_path / "s") == {"episodes": 1}
    first = {p: p.read_bytes() for p in (tmp_path / "s" / "parts").rglob("*") if p.is_file()}
    assert run(tmp_path / "s", episodes=2) == {"episodes": 2}
    assert {p: p.read_bytes() for p in first} == first
    store = Store.open(tmp_path / "s")
    assert [store.meta(i).operator for i in range(2)] == ["script", "script"]
    assert store.verify() == []
    assert run(tmp_path / "s", episodes=1) == {"episodes": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "lfit"}, "unknown task 'lfit'.*Did you mean 'lift'"),
        ({"device": "scrpt"}, "unknown device 'scrpt'.*Did you mean 'script'"),
        ({"port": 8000}, "--port is for --device browser; the device 'script' has no page"),
        ({"device": "browser", "port": 99999}, "port 99999 does not exist"),
        ({"device": "browser", "host": " "}, "--host is empty"),
        ({"embodiment": "ur5"}, "'ur5'.*Did you mean 'ur5e'"),
        ({"domain": "twin/dev-9"}, "unknown domain 'twin/dev-9'.*twin/dev-0"),
        ({"domain": "twin/test-9"}, "'twin/test-9' is kept for evaluation alone, so recording must not use it"),
        ({"overrides": ["sped=1"]}, "unknown configuration key 'sped'.*Did you mean 'speed'"),
    ],
)
def test_bad_input_makes_no_store(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path / "s", **changes)
    assert not (tmp_path / "s").exists()


def test_another_plan_is_refused(tmp_path):
    run(tmp_path / "s")
    with pytest.raises(InputError, match=r"made by another plan; it differs in: seed \(0 there, 1 now\)"):
        run(tmp_path / "s", seed=1)


def test_a_device_that_never_succeeds_ends_with_the_count(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "_WORST", 2)
    whole = record.record

    def fails(*arguments):
        return whole(*arguments)[0], Outcome.GRASP_MISSED

    monkeypatch.setattr(record, "record", fails)
    with pytest.raises(JobError, match="2 scenes gave 0 good demos of the 1 wanted"):
        run(tmp_path / "s")
    assert [r["outcome"] for r in Store.open(tmp_path / "s").scene_records()] == ["grasp_missed"] * 2


def test_two_people_cannot_record_to_one_store(tmp_path, monkeypatch):
    refused = []

    def meanwhile(*_):
        with pytest.raises(InputError, match=r"another recording to '.*' is under way"):
            run(tmp_path / "s", device="browser")
        refused.append(True)

    monkeypatch.setattr(record, "_by_hand", meanwhile)
    run(tmp_path / "s", device="browser")
    run(tmp_path / "s", device="browser")
    assert len(refused) == 2
