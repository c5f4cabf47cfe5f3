"""robomimic's format from the command line: there and back, and a file of robosuite by the bundled mapping."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from handful import InputError
from pipelines import exporting, importing
from tests.trajectories.importers.test_robomimic import STEPS, same, write_robosuite
from trajectories import Store

DEMOS = Path(exporting.__file__).parents[1] / "demos"


def test_a_store_there_and_back(tmp_path):
    account = exporting.run("robomimic", DEMOS / "lift", tmp_path / "f.hdf5", next_obs=False)
    store = Store.open(DEMOS / "lift")
    assert account == {"episodes": len(store), "frames": store.frames}
    assert importing.run("robomimic", tmp_path / "f.hdf5", "lift", tmp_path / "back") == account
    same(store, Store.open(tmp_path / "back"))
    assert importing.run("robomimic", tmp_path / "f.hdf5", None, tmp_path / "valid", selection="valid")["episodes"] == 1


def test_the_bundled_mapping_fits_a_file_of_robosuite(tmp_path):
    write_robosuite(tmp_path / "f.hdf5")
    account = importing.run("robomimic", tmp_path / "f.hdf5", None, tmp_path / "s", mapping="robosuite_panda")
    assert account == {"episodes": 2, "frames": 2 * STEPS}
    store = Store.open(tmp_path / "s")
    assert store.cameras() == ["front", "wrist"]
    assert store.meta(0).domain == "real/robomimic"
    with h5py.File(tmp_path / "f.hdf5") as file:
        cube = file["data/demo_0/datagen_info/object_poses/cubeB"][()]
        np.testing.assert_allclose(
            store.read(0, "objects/cube_2")[:, :3], cube[:, :3, 3] - [-0.56, 0, 0.912], atol=1e-5
        )
        closing = file["data/demo_0/actions"][:, 6] > 0
    np.testing.assert_array_equal(store.read(0, "action/executed")[:, 7] < 0.5, closing)


def test_a_failed_import_leaves_no_store(tmp_path):
    write_robosuite(tmp_path / "f.hdf5")
    with h5py.File(tmp_path / "f.hdf5", "r+") as file:
        file["data/demo_1/obs/robot0_joint_pos"][3, 3] = np.nan
    with pytest.raises(InputError, match="'data/demo_1/obs/robot0_joint_pos' holds values that are not finite"):
        importing.run("robomimic", tmp_path / "f.hdf5", None, tmp_path / "s", mapping="robosuite_panda")
    assert not (tmp_path / "s").exists()
