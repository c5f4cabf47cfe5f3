"""Ten thousand scenes, one after another in one process."""

import pytest

from benchmarks.worlds import measure

# Python's and MuJoCo's allocators settle within this [MiB]; a scene's model fields alone are some 20 KiB.
_SETTLING = 8.0


@pytest.mark.trial
def test_ten_thousand_scenes_leave_memory_as_it_was() -> None:
    found = measure(long=True)
    assert found["scenes"] == 10_000
    assert float(str(found["grown_mib"])) < _SETTLING
