"""How far surrogate realities lead the arm from where its commands should: replay divergence of every twin.

    python benchmarks/twins.py [--long]

Prints one JSON object: `value` the median of the medium twins' divergences after a second [mm], `limit` that of what
training draws, in the same run, `ratio` of the two; then each twin with its severity, n and interval of the median, and
the share of scenes of `lift` in which the scripted operator still succeeds: a twin in which nothing can be done says
nothing about policies.
"""

import argparse
import json
from typing import Any

import numpy as np

from benchmarks.tasks import attempt
from pipelines.generate import BUNDLED
from pipelines.replay import twin_divergence
from pipelines.statistics import wilson_interval
from scenes.domains import get_domain
from scenes.twins import NAMES, severity_of

# Seconds of each demo, one segment each: before the gripper touches anything.
SECONDS = 2


def of_domain(name: str, demos: int, scenes: int) -> dict[str, Any]:
    """Replay divergence of a domain's arm, and what the scripted operator makes of it."""
    found = twin_divergence(get_domain(name).randomization, BUNDLED / "lift", seconds=SECONDS, episodes=range(demos))
    row: dict[str, Any] = {
        "median_mm": found.median,
        "ci_mm": list(found.interval()),
        "segments": len(found.millimetres),
    }
    if scenes:
        outcomes = attempt(list(range(scenes)), "lift", name, "panda")
        done = outcomes.count("success")
        row |= {"operator": done / scenes, "scenes": scenes, "operator_ci": list(wilson_interval(done, scenes))}
    return row


def measure(long: bool) -> dict[str, Any]:
    """Measure; `long` takes every twin, ten demos and 25 scenes each, else six twins, four demos and no scenes."""
    names, demos, scenes = (NAMES, 10, 25) if long else (NAMES[:6], 4, 0)
    sim = of_domain("sim", demos, scenes)
    rows = {name: {"severity": severity_of(name), **of_domain(name, demos, scenes)} for name in names}
    medium = float(np.median([row["median_mm"] for row in rows.values() if row["severity"] == "medium"]))
    return {
        "benchmark": "twins",
        "value": medium,
        "limit": sim["median_mm"],
        "ratio": medium / sim["median_mm"],
        "sim": sim,
        "dev_0": of_domain("twin/dev-0", demos, scenes),
        "twins": rows,
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="every twin, with the operator's success in it")
    print(json.dumps(measure(parser.parse_args().long)))


if __name__ == "__main__":
    main()
