"""A few recorded toy episodes, made once for all policy tests."""

import numpy as np
import pytest

from tests.policies.toy_world import record


@pytest.fixture(scope="session")
def episodes() -> list[dict[str, np.ndarray]]:
    return [record(np.random.default_rng([7, i]), 32) for i in range(12)]
