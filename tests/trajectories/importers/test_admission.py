from pathlib import Path

import numpy as np
import pytest

from handful import InputError
from trajectories.importers.admission import Admission


def test_good_episodes_are_counted(make_episode):
    admission = Admission(Path("f"))
    for scene in range(3):
        admission.check(make_episode(scene, steps=scene + 2))
    assert (admission.episodes, admission.frames) == (3, 9)


def _drop(arrays):
    del arrays["objects/cube"]


def _retype(arrays):
    arrays["model/geom_friction"] = arrays["model/geom_friction"].astype(np.float32)


def _narrow(arrays):
    arrays["state"] = arrays["state"][:, :7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, r"'f': demo 1, counted from 0, differs from the first in objects/cube;"),
        (_retype, "differs from the first in model/geom_friction;"),
        (_narrow, "differs from the first in state;"),
        (lambda arrays: arrays["state"].fill(np.nan), "'f': demo 1, counted from 0: 'state' holds values that are not"),
    ],
)
def test_an_episode_unlike_the_first_is_named(make_episode, change, message):
    admission = Admission(Path("f"))
    admission.check(make_episode(0))
    odd = make_episode(1)
    change(odd.arrays)
    with pytest.raises(InputError, match=message):
        admission.check(odd)


def test_metadata_that_is_no_json_is_refused(make_episode):
    with pytest.raises(InputError, match=r"demo 0, counted from 0: metadata cannot be written as JSON"):
        Admission(Path("f")).check(make_episode(0, extra={"x": float("nan")}))
