"""Episode metadata that comes back from another format: believed only once every field has its type."""

import math
from typing import Any

from handful import InputError
from trajectories.schema import EpisodeMeta

_TEXTS = ("task", "embodiment", "domain", "instruction", "outcome", "operator")
_ACTION_SOURCES = ("commanded", "achieved_next")


def checked_meta(record: dict[str, Any], where: str) -> EpisodeMeta:
    """`EpisodeMeta.from_json` for a record of a stranger.

    Args:
        record: a JSON object.
        where: names the episode in errors.

    Raises:
        InputError: a field is missing, unknown, or of another type than the schema's.
    """
    try:
        meta = EpisodeMeta.from_json(record)
    except (KeyError, TypeError) as error:
        raise InputError(f"{where} has incomplete metadata: {error}") from error
    wrong = [name for name in _TEXTS if not _is_text(getattr(meta, name))]
    wrong += [] if meta.action_source in _ACTION_SOURCES else ["action_source"]
    wrong += [] if all(map(_is_text, meta.paraphrases)) else ["paraphrases"]
    wrong += [] if _is_number(meta.control_rate) and 0 < meta.control_rate < math.inf else ["control_rate"]
    wrong += [] if _is_count(meta.scene, 0) else ["scene"]
    wrong += [] if _is_count(meta.attempts, 1) else ["attempts"]
    wrong += [
        name for name in ("seeds", "ledger", "versions", "cameras", "extra") if type(getattr(meta, name)) is not dict
    ]
    wrong += [] if all(type(source) is dict for source in meta.sources) else ["sources"]
    wrong += [name for name in ("model_hash", "gl_renderer") if not _is_optional_text(getattr(meta, name))]
    if wrong:
        values = ", ".join(f"{name} = {str(getattr(meta, name))[:40]!r}" for name in wrong)
        raise InputError(f"{where} has metadata that cannot be: {values}")
    return meta


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_optional_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63
