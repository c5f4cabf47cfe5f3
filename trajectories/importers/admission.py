"""What every imported episode must pass before a store is made of it: the schema, and being like the first."""

from pathlib import Path
from typing import Any

from handful import InputError
from trajectories.canonical import canonical_json
from trajectories.parts import array_specs
from trajectories.schema import Episode, validate


class Admission:
    """Looks at the episodes of one import in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._expected: dict[str, dict[str, Any]] | None = None
        self.episodes = 0
        self.frames = 0

    def check(self, episode: Episode) -> None:
        """Let an episode pass.

        Raises:
            InputError: it breaks the schema, or has other keys, types or row shapes than the first; names the episode.
        """
        where = f"'{self._path}': demo {self.episodes}, counted from 0"
        try:
            validate(episode)
            canonical_json(episode.meta.to_json(), "metadata")
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        found = array_specs([episode])
        self._expected = self._expected or found
        if found != self._expected:
            odd = sorted(k for k in found.keys() | self._expected.keys() if found.get(k) != self._expected.get(k))
            raise InputError(
                f"{where}, differs from the first in {', '.join(odd)}; "
                "all demos of a store have the same keys, types and row shapes"
            )
        self.episodes += 1
        self.frames += len(episode)
