"""Camera errors in stored frames: the episode's own domain's, those that the loader would add, and never twice."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from handful import InputError
from pipelines import record, rerender
from pipelines.camera_errors import with_camera_errors
from pipelines.progress import Reporter
from pipelines.rerender import RenderConfig
from scenes.domains import get_domain
from tests.pipelines.run_folder import make_episode
from trajectories import Photometric, Store
from trajectories.loader import Blend, Source, WindowSpec

QUIET = Reporter(quiet=True)
TWIN = "twin/study-0"


def drawn(demos: Path, out: Path, config: RenderConfig) -> Store:
    rerender.run(demos, out, ("front", "wrist"), 32, 1, 0, None, config, QUIET)
    return Store.open(out)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    """Two demos that a script recorded in a twin: drawn clean, and as the twin's cameras see them."""
    folder = tmp_path_factory.mktemp("errors")
    record.run("lift", "script", folder / "demos", 2, 0, TWIN, [], QUIET)
    Store.create(folder / "demos", Store.open(folder / "demos").plan).seal(None)
    return {
        "clean": drawn(folder / "demos", folder / "clean", RenderConfig()),
        "seen": drawn(folder / "demos", folder / "seen", RenderConfig(camera_errors=True)),
    }


def test_demos_of_a_twin_say_what_they_are_and_are_seen_as_it_sees(stores: dict[str, Store]) -> None:
    seen = stores["seen"].episode(0)
    assert (seen.meta.domain, seen.meta.operator) == (TWIN, "script")
    limits = get_domain(TWIN).sensor
    for said in seen.meta.extra["camera_errors"].values():
        assert limits.exposure_ev[0] <= said["exposure_ev"] <= limits.exposure_ev[1]
    clean = stores["clean"].episode(0).arrays
    for key in ("images/front", "images/wrist"):
        assert np.abs(seen.arrays[key].astype(int) - clean[key]).mean() > 2
    for key in set(clean) - {"images/front", "images/wrist"}:
        assert np.array_equal(seen.arrays[key], clean[key])


def test_they_are_the_errors_that_the_loader_adds(stores: dict[str, Store]) -> None:
    sensor = Photometric(**dataclasses.asdict(get_domain(TWIN).sensor))
    spec = WindowSpec(("front", "wrist"), validation_fraction=0)
    added = Blend([Source(str(stores["clean"].path))], spec, 0, photometric=sensor)
    stored = Blend([Source(str(stores["seen"].path))], spec, 0)
    for camera in spec.cameras:
        assert np.array_equal(added.batch(0, 8)[f"images/{camera}"], stored.batch(0, 8)[f"images/{camera}"])


def test_what_has_errors_gets_no_others(stores: dict[str, Store], tmp_path: Path) -> None:
    sensor = Photometric(exposure_ev=(1.0, 1.0))
    spec = WindowSpec(("front",), validation_fraction=0)
    source = Source(str(stores["seen"].path))
    batches = [Blend([source], spec, 0, photometric=errors).batch(0, 8) for errors in (None, sensor)]
    assert np.array_equal(batches[0]["images/front"], batches[1]["images/front"])
    # Drawn again without them, it is clean.
    again = drawn(stores["seen"].path, tmp_path / "again", RenderConfig()).episode(0)
    assert "camera_errors" not in again.meta.extra
    assert np.array_equal(again.arrays["images/front"], stores["clean"].episode(0).arrays["images/front"])


def test_an_episode_without_a_stream_cannot_have_any() -> None:
    with pytest.raises(InputError, match="recorded no stream of sensor noise"):
        with_camera_errors(make_episode(0), ["front"])
