"""What each of the processes of test_ranks runs: one training of the toy world, shared between them."""

import sys
from pathlib import Path

import numpy as np

from policies.config import load_config
from policies.cpu import prepare_process
from policies.ranks import joined_ranks
from policies.train import Trainer
from tests.policies.test_train import STEPS
from tests.policies.toy_world import ToyBlend

KEYS = ("front", "wrist", "proprio", "action", "instruction")


def main() -> None:
    """Read episodes from the file named first, and train into the folder named second; the rest are overrides."""
    stored = list(np.load(sys.argv[1]).values())
    episodes = [dict(zip(KEYS, stored[i : i + 5], strict=True)) for i in range(0, len(stored), 5)]
    config = load_config("tiny", [*STEPS, *sys.argv[3:]])
    prepare_process(config.threads)
    with joined_ranks(config.device) as (ranks, _):
        Trainer(config, ToyBlend(episodes, 13), Path(sys.argv[2]), ranks=ranks).run()  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
