"""Lifts a cube as a person at the page would: looks where things are, goes there, closes, lifts, waits."""

import math
from dataclasses import dataclass, field
from typing import Any

# Above the cube before going down to it, and above the table once it is held [m].
HOVER, UP = 0.12, 0.16


def turn_between(tool: list[float], cube: list[float]) -> float:
    """The smallest turn about the vertical that lays the fingers along a cube's sides [rad]."""

    def yaw(pose: list[float]) -> float:
        w, x, y, z = pose[3:]
        return math.atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))

    return (yaw(cube) - yaw(tool) + math.pi / 4) % (math.pi / 2) - math.pi / 4


@dataclass
class Pilot:
    """Decides from what the page is told.

    Attributes:
        stage: "above", "down", "close" or "up".
        way: what is left to go: x, y, z [m] and the turn [rad].
    """

    stage: str = "above"
    way: list[float] = field(default_factory=lambda: [0.0] * 4)
    waited: int = 0

    def look(self, status: dict[str, Any], scene: dict[str, Any]) -> str | None:
        """Decide where to go; returns an act to ask for, if one is due."""
        cube, tool = status["objects"][scene["roles"]["target"]], status["tool"]
        height = {"above": cube[2] + HOVER, "down": cube[2], "close": tool[2], "up": UP}[self.stage]
        goal = [*(cube[:2] if self.stage in ("above", "down") else tool[:2]), height]
        turn = turn_between(tool, cube) if self.stage in ("above", "down") else 0.0
        self.way = [*(g - t for g, t in zip(goal, tool, strict=False)), turn]
        if self.stage == "above" and max(map(abs, self.way[:3])) < 0.006 and abs(turn) < 0.06:
            self.stage = "down"
        elif self.stage == "down" and abs(self.way[2]) < 0.006:
            self.stage = "close"
            return "gripper"
        elif self.stage == "close" and status["closed"]:
            self.waited += 1
            if status["opening"] < 0.7 and self.waited > 8:
                self.stage = "up"
        return None

    def axes(self, status: dict[str, Any]) -> list[float]:
        """Deflections that go there, slower as the rest gets less; for a stick without a deadband."""
        speed, turn_speed = status["assistance"]["metres"], status["assistance"]["radians"]
        slow = [4.0 * v for v in self.way]
        linear = [max(-1.0, min(1.0, v / speed)) for v in slow[:3]]
        return [*linear, 0.0, 0.0, max(-1.0, min(1.0, slow[3] / turn_speed))]
