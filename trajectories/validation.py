"""Is what a data set holds worth learning from? Every episode held against the table of rules, one after the other.

Memory holds one episode's numbers, some images and sixteen bytes of every episode seen, so it suits any data set.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from trajectories.dataset import Dataset
from trajectories.recording import Frames, JointLimits, Recording, Thresholds
from trajectories.rules import RULES, Rule

# Read at once of a camera's images, in whole chunks [bytes].
_IMAGE_BYTES = 16 << 20
# Every so many pixels are looked at first: nearly all images turn out not to be of one colour there.
_STRIDE = 61


@dataclass(frozen=True)
class Finding:
    """One rule that one key of one episode breaks."""

    rule: str
    severity: str
    episode: int
    # Empty: the episode as a whole.
    key: str
    # The first step, and how many steps in all.
    step: int
    steps: int
    # In numbers.
    detail: str

    def __str__(self) -> str:
        where = f" '{self.key}'" if self.key else ""
        when = f"at step {self.step}" if self.steps == 1 else f"in {self.steps:,} steps from step {self.step} on"
        return f"episode {self.episode}{where} {when}: {self.detail}"


@dataclass
class RuleResult:
    """What came of one rule."""

    rule: Rule
    # Episodes that have what the rule looks at.
    checked: int = 0
    # Episodes that break it, in order.
    episodes: list[int] = field(default_factory=list)
    # The first few of its findings.
    examples: list[Finding] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """A plain dict of JSON types."""
        examples = [{k: v for k, v in asdict(e).items() if k not in ("rule", "severity")} for e in self.examples]
        record = {"rule": self.rule.name, "severity": self.rule.severity, "checked": self.checked}
        return {**record, "episodes": self.episodes, "examples": examples}


def validate_content(
    dataset: Dataset,
    limits: Mapping[str, JointLimits] | None = None,
    thresholds: Thresholds | None = None,
    examples: int = 20,
    progress: Callable[[int], None] = lambda done: None,
) -> list[RuleResult]:
    """Hold every episode against every rule.

    Args:
        dataset: what to look at.
        limits: embodiment -> what its joints can do; rules about limits skip the others.
        thresholds: from where on something is held against a recording.
        examples: findings to keep of each rule.
        progress: called with the number of episodes done.

    Returns:
        What came of each rule, in the table's order.

    Raises:
        JobError: the data is missing or damaged.
    """
    results = [RuleResult(rule) for rule in RULES]
    seen: dict[bytes, int] = {}
    for episode in range(len(dataset)):
        recording = load_recording(dataset, episode, limits or {}, thresholds or Thresholds(), seen)
        for result in results:
            _apply(result, recording, episode, examples)
        progress(episode + 1)
    return results


def findings_of(rule: Rule, recording: Recording, episode: int = 0) -> Iterator[Finding | None]:
    """What a rule finds in each key that it looks at; None where the key keeps it."""
    with np.errstate(invalid="ignore", over="ignore"):
        for key in rule.matches(recording):
            breach = rule.check(recording, key)
            if breach is None:
                yield None
            else:
                yield Finding(rule.name, rule.severity, episode, key, breach.step, breach.steps, breach.detail)


def _apply(result: RuleResult, recording: Recording, episode: int, examples: int) -> None:
    looked = list(findings_of(result.rule, recording, episode))
    broken = [finding for finding in looked if finding is not None]
    result.checked += bool(looked)
    if broken:
        result.episodes.append(episode)
        result.examples += broken[: examples - len(result.examples)]


# Keys that no rule on numbers is about, too large to be read whole.
_LARGE = ("images/", "depth/", "segmentation/", "model/")


def load_recording(
    dataset: Dataset, episode: int, limits: Mapping[str, JointLimits], thresholds: Thresholds, seen: dict[bytes, int]
) -> Recording:
    """One episode as the rules see it.

    Args:
        dataset: where it is.
        episode: its index.
        limits: embodiment -> what its joints can do.
        thresholds: what counts as one colour is among them.
        seen: digest of the numbers of each episode so far -> its index; the episode's own is added.
    """
    meta = dataset.meta(episode)
    keys = dataset.keys()
    arrays = {key: dataset.read(episode, key) for key in keys if not key.startswith(_LARGE)}
    # Looks of one scene have the same numbers, as they must.
    digest = hashlib.sha256(str(meta.look).encode())
    for key, values in arrays.items():
        digest.update(key.encode() + values.tobytes())
    first = seen.setdefault(digest.digest()[:16], episode)
    frames = {
        f"images/{camera}": look_at_frames(_images(dataset, episode, f"images/{camera}"), thresholds.blank_levels)
        for camera in dataset.cameras()
    }
    twin = None if first == episode else first
    return Recording(meta, arrays, frames, limits.get(meta.embodiment), twin, thresholds)


def _images(dataset: Dataset, episode: int, key: str) -> Iterator[np.ndarray]:
    rows = dataset.chunk_rows(key)
    count = rows * max(1, _IMAGE_BYTES // (rows * int(np.prod(dataset.row_shape(key)))))
    steps = int(dataset.index().length[episode])
    for start in range(0, steps, count):
        yield dataset.read(episode, key, start, min(start + count, steps))


def look_at_frames(images: Iterator[np.ndarray], levels: int) -> Frames:
    """What is kept of a camera's images, that come in runs (n, H, W, C) uint8; within `levels` is one colour."""
    blank, repeated = [np.zeros(0, bool)], [np.zeros(0, bool)]
    last: np.ndarray | None = None
    for run in images:
        pixels = run.reshape(len(run), -1, run.shape[-1])
        dull = _spread(pixels[:, ::_STRIDE]) <= levels
        dull[dull] = _spread(pixels[dull]) <= levels
        blank.append(dull)
        flat = run.reshape(len(run), -1)
        same = np.empty(len(run), bool)
        same[0] = last is not None and np.array_equal(flat[0], last)
        same[1:] = (flat[1:] == flat[:-1]).all(axis=1)
        repeated.append(same)
        last = flat[-1]
    return Frames(np.concatenate(blank), np.concatenate(repeated))


def _spread(pixels: np.ndarray) -> np.ndarray:
    """Largest difference within any channel of images (n, pixels, C), (n,) int."""
    if not len(pixels):
        return np.zeros(0, np.int64)
    return (pixels.max(axis=1).astype(np.int64) - pixels.min(axis=1)).max(axis=1)
