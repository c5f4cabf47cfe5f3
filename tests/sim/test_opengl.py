"""A backend that draws is found, remembered and respected; without one, the error names the packages."""

import os
import sys
import threading

import mujoco
import numpy as np
import pytest

from handful import InputError, JobError
from sim import opengl
from sim.opengl import choose_backend, probe_backend
from sim.rendering import FrameRenderer


def test_without_a_backend_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(opengl, "probe_backend", lambda backend: f"no {backend} here")
    with pytest.raises(JobError, match=r"egl: no egl here; osmesa: no osmesa here.*libegl1.*libosmesa6"):
        choose_backend()
    assert "MUJOCO_GL" not in os.environ


def test_the_first_backend_that_draws_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(opengl, "probe_backend", lambda backend: None if backend == "osmesa" else "broken")
    assert choose_backend() == "osmesa"
    assert os.environ["MUJOCO_GL"] == "osmesa"


def test_the_users_choice_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "OSMesa")
    monkeypatch.setattr(opengl, "probe_backend", lambda backend: pytest.fail("probed"))
    assert choose_backend() == "osmesa"
    monkeypatch.setenv("MUJOCO_GL", "eggl")
    with pytest.raises(InputError, match="unknown MUJOCO_GL backend 'eggl'"):
        choose_backend()


def test_a_backend_that_does_not_exist_fails_its_probe() -> None:
    assert "nosuchgl" in (probe_backend("nosuchgl") or "")


def test_a_backend_that_hangs_fails_its_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl, "_PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(opengl, "_PROBE_SECONDS", 0.2)
    assert probe_backend("egl") == "no frame within 0.2 s"


def test_one_thread_after_another_can_draw() -> None:
    """The context is current in one thread at a time; who has drawn hands it on."""
    drawn: list[np.ndarray] = []

    def draw() -> None:
        model = mujoco.MjModel.from_xml_string(
            '<mujoco><worldbody><light pos="0 0 3"/><geom type="box" size="1 1 .1"/><camera name="c" pos="0 0 2"/>'
            "</worldbody></mujoco>"
        )
        data = mujoco.MjData(model)
        row = np.empty(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION.value))
        mujoco.mj_getState(model, data, row, mujoco.mjtState.mjSTATE_INTEGRATION.value)
        try:
            with FrameRenderer(model, 16, 16) as renderer:
                drawn.append(renderer.render(model, row, ["c"])["c"])
        finally:
            opengl.release_context()

    for _ in range(2):
        thread = threading.Thread(target=draw)
        thread.start()
        thread.join()
    draw()
    assert len(drawn) == 3
    assert drawn[0].any()
    np.testing.assert_array_equal(drawn[1], drawn[0])
    np.testing.assert_array_equal(drawn[2], drawn[0])
