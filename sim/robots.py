"""The robots there are, by name; and your own, by the YAML file that describes them.

An episode stores its robot's name alone. So that a robot of your own is known by its name as well, wherever its
episodes are read, list its file in the environment variable HANDFUL_ROBOTS; once it was named by its file it is known
for the rest of the process.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from handful import InputError, unknown_name
from sim.described import load_robot
from sim.embodiment import Embodiment
from sim.panda import PANDA
from sim.ur5e import UR5E

# The variable that lists YAML files of further robots, separated like the folders in PATH.
VARIABLE = "HANDFUL_ROBOTS"
_BUILT_IN = {robot.name: robot for robot in (PANDA, UR5E)}
_FOLDER = Path(__file__).parent.parent / "configs" / "embodiment"


class _Robots(Mapping[str, Embodiment]):
    """Robots by name; one that a file describes is built when it is asked for."""

    def __init__(self) -> None:
        self._seen: dict[str, Embodiment] = {}

    def __getitem__(self, name: str) -> Embodiment:
        if name in _BUILT_IN:
            return _BUILT_IN[name]
        if name not in self._seen:
            self.read(_files()[name])
        return self._seen[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**_BUILT_IN, **_files(), **self._seen})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def read(self, path: Path) -> Embodiment:
        """The robot that a file describes, known by its name from now on."""
        robot = load_robot(path)
        if path.resolve() in {file.resolve() for file in _files().values()} and robot.name != path.stem:
            raise InputError(f"{path}: name '{robot.name}' must be the file's, '{path.stem}'")
        ours = _files().get(robot.name)
        if robot.name in _BUILT_IN or (ours is not None and ours.resolve() != path.resolve()):
            raise InputError(f"{path}: name '{robot.name}' is another robot's; give yours one of its own")
        self._seen[robot.name] = robot
        return robot


def _files() -> dict[str, Path]:
    """Robots that files describe: those that come with us, and those that the environment variable lists."""
    listed = [Path(entry) for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]
    return {path.stem: path for path in (*sorted(_FOLDER.glob("*.yaml")), *listed)}


ROBOTS = _Robots()


def get_embodiment(name: str) -> Embodiment:
    """Look a robot up by name, or build the one that a YAML file describes.

    Args:
        name: "panda", or a path such as "robots/mine.yaml".

    Raises:
        InputError: no such robot, the message lists them; or what the file describes is wrong.
    """
    if name.endswith((".yaml", ".yml")):
        return ROBOTS.read(Path(name))
    if name not in ROBOTS:
        raise unknown_name("embodiment", name, [*ROBOTS, "a YAML file of your own"])
    return ROBOTS[name]
