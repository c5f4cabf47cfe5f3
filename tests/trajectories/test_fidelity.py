import numpy as np
import pytest

from handful import InputError, JobError
from trajectories import Store
from trajectories.fidelity import Fidelity, fidelity
from trajectories.recipes import merge


def _error(store, originals, camera):
    found = np.concatenate([store.read(i, f"images/{camera}") for i in range(len(store))]).astype(float)
    return np.mean((found - np.concatenate([episode.arrays[f"images/{camera}"] for episode in originals])) ** 2)


def test_a_store_of_jpegs_says_how_true_its_frames_are(tmp_path, make_episode, make_store):
    episodes = [make_episode(i, steps=20 + 9 * i) for i in range(3)]
    store = make_store(tmp_path / "s", [episodes[:2], [], episodes[2:]], {"image_codec": "jpeg:80"})
    for camera in ("front", "wrist"):
        found = fidelity(store, camera)
        expected = _error(store, episodes, camera)
        assert found.mean_squared_error == pytest.approx(expected, rel=1e-12)
        assert str(found) == f"JPEG 80, {10 * np.log10(255**2 / expected):.1f} dB"


def test_lossless_frames_lose_nothing(tmp_path, make_episode, make_store):
    store = make_store(tmp_path / "s", [[make_episode()]])
    assert fidelity(store, "front") == Fidelity((None,), 0.0)
    assert str(fidelity(store, "front")) == "lossless"


def test_a_view_counts_each_store_by_its_frames(tmp_path, make_episode, make_store):
    raw = make_store(tmp_path / "raw", [[make_episode(0, steps=30)]])
    jpeg = make_store(tmp_path / "jpeg", [[make_episode(1, steps=10)]], {"image_codec": "jpeg:90"})
    view = merge([raw.path, jpeg.path], tmp_path / "view")
    found = fidelity(view, "front")
    assert found.codecs == (None, "jpeg:90")
    assert found.mean_squared_error == pytest.approx(fidelity(jpeg, "front").mean_squared_error / 4)
    assert str(found) == f"lossless and JPEG 90, {found.psnr:.1f} dB"


def test_a_camera_that_there_is_not_and_damage_are_errors(tmp_path, make_episode, make_store):
    make_store(tmp_path / "s", [[make_episode()]], {"image_codec": "jpeg:80"})
    with pytest.raises(InputError, match="Did you mean 'images/front'"):
        fidelity(Store.open(tmp_path / "s"), "frnt")
    file = tmp_path / "s/parts/00000000/images/front/zarr.json"
    file.write_bytes(file.read_bytes().replace(b'error":', b'error":1'))
    with pytest.raises(JobError, match=r"'images/front/zarr.json' is missing or damaged"):
        fidelity(Store.open(tmp_path / "s"), "front")
