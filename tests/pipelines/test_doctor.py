"""The doctor finds what is wrong and says what to install; it never crashes with the patient."""

import os
import sys

import pytest

from pipelines import doctor
from pipelines.doctor import Check, diagnose, machine


def test_says_what_to_install_where_a_backend_fails(monkeypatch):
    monkeypatch.setattr(doctor, "_run_python", lambda *_: (1, "ImportError: no EGL"))
    check = doctor._check_gl("egl")
    assert (check.ok, check.detail, check.fix) == (
        False,
        "ImportError: no EGL",
        "sudo apt-get install libegl1 libgl1-mesa-dri",
    )
    assert not check.required


def test_a_backend_that_hangs_or_dies_is_a_finding(monkeypatch):
    monkeypatch.setattr(doctor, "_run_python", lambda *_: (None, ""))
    assert "hangs: no frame within 60 s" in doctor._check_gl("osmesa").detail
    monkeypatch.setattr(doctor, "_run_python", lambda *_: (-11, ""))
    assert "died with exit code -11" in doctor._check_gl("osmesa").detail


def test_programs_are_stopped_and_their_last_line_is_kept():
    environment = dict(os.environ)
    assert doctor._run_python("import time; time.sleep(30)", environment, 0.5) == (None, "")
    assert doctor._run_python("print('a'); print('b')", environment, 30) == (0, "b")
    assert doctor._run_python("raise SystemExit('no light')", environment, 30) == (1, "no light")


def test_one_working_backend_is_enough():
    good, bad = Check("osmesa", True, "llvmpipe", required=False), Check("egl", False, "no", "fix", required=False)
    assert doctor._check_rendering([bad, good]) == Check("rendering", True, "with osmesa")
    none = doctor._check_rendering([bad])
    assert (none.ok, none.required) == (False, True)
    assert none.fix == "sudo apt-get install libegl1 libgl1-mesa-dri libosmesa6"


def test_rendering_is_really_tried():
    working = [check for check in map(doctor._check_gl, ("egl", "osmesa")) if check.ok]
    assert working, "this machine draws with neither EGL nor OSMesa"
    assert all(check.detail for check in working)


def test_versions_are_held_against_the_ranges(monkeypatch):
    monkeypatch.setattr(
        doctor.metadata, "requires", lambda _: ["numpy>=99", "scipy", "nonesuch", "ruff; extra == 'dev'"]
    )
    checks = {check.name: check for check in doctor._check_versions()}
    assert set(checks) == {"numpy", "scipy", "nonesuch"}
    assert not checks["numpy"].ok
    assert checks["numpy"].detail.endswith("; needs >=99")
    assert checks["numpy"].fix == "pip install 'numpy>=99'"
    assert checks["scipy"].ok
    assert checks["nonesuch"].detail == "not installed"


@pytest.mark.parametrize(
    ("version", "ok"), [((3, 10, 1), False), ((3, 11, 0), True), ((3, 12, 9), True), ((3, 13, 0), False)]
)
def test_python_versions(monkeypatch, version, ok):
    monkeypatch.setattr(sys, "version_info", version)
    assert doctor._check_python().ok is ok


def test_the_verdict_counts_what_is_required_only(monkeypatch):
    monkeypatch.setattr(
        doctor, "_check_gl", lambda backend: Check(backend, backend == "egl", "", "fix", required=False)
    )
    monkeypatch.setattr(doctor, "_check_torch", lambda: Check("torch works", True, "CPU"))
    result = diagnose()
    assert result["ok"] is True
    names = [check["name"] for check in result["checks"]]
    assert {"python", "mujoco", "egl", "osmesa", "rendering", "torch works", "disk", "cores"} <= set(names)
    assert "ray starts" not in names
    monkeypatch.setattr(doctor, "_check_torch", lambda: Check("torch works", False, "no", "pip install torch"))
    assert diagnose()["ok"] is False


def test_the_machine_is_described_without_names_or_paths():
    facts = machine()
    assert facts["cores"] >= 1
    assert facts["memory_gb"] > 0
    assert facts["mujoco"].startswith("3.")
    text = " ".join(map(str, facts.values()))
    assert os.uname().nodename not in text
    assert "/home" not in text
