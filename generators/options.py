"""How segments are chosen, joined and screened: the product's choices, and the published baseline's."""

from dataclasses import dataclass

from handful import InputError, unknown_name

ON_FAILURE = ("rollback", "recover", "restart")


@dataclass(frozen=True)
class PlanOptions:
    """How segments are chosen and joined. The defaults are the product's; `PLAIN` is the published baseline."""

    # Cutting demos: heed the source's own signals; search for the cut after a grasp, or cut as the object is 2 cm up.
    signals: bool = True
    search_cuts: bool = True
    # Choose among symmetric object frames, and take the grasp's difference out while placing.
    object_symmetry: bool = True
    # Refuse paths that the arm cannot follow, and try the next best segment.
    screening: bool = True
    # Enter a segment where that is quickest, no later than `approach` [m] before its event; False: at its start.
    late_entry: bool = True
    approach: float = 0.08
    # Lead bridges over what stands in the way, at this speed [m/s], [rad/s]; False: a straight line of `plain_steps`.
    clearance: bool = True
    speed: float = 0.25
    turn_speed: float = 1.8
    plain_steps: int = 5
    # Bring grasps to the middle of the object, and placements to the middle of where the task wants them, by at most
    # this much [m]; 0: where the demo's were.
    centre: float = 0.03
    # Run the demo's motion up to so many times as fast, away from where it is delicate; 1: as fast as shown.
    time_warp: float = 1.0
    # Draw among this many best segments.
    choices: int = 3
    # Scenes made beforehand to see which demos serve badly; 0: none.
    pilot: int = 0
    # Height kept above what stands in the way [m].
    headroom: float = 0.03
    # With screening: how close the fingertips may come to the table, and the palm to other objects [m].
    table_clearance: float = 0.002
    palm_clearance: float = 0.004
    # Move what is left of a path with an object that has moved further than this since the path was planned [m]; an
    # angle counts at a lever of 3 cm, and 0 is never.
    reanchor: float = 0.004
    # What follows a failed try: "rollback" to the state in which its last subtask began, "recover" by carrying on from
    # where things stand, so that data shows the correction, or "restart" from the scene's beginning.
    on_failure: str = "rollback"
    # Tries from one saved state before going back one subtask further.
    retries: int = 3
    # Tries at a scene in all.
    max_attempts: int = 12

    def __post_init__(self) -> None:
        if self.on_failure not in ON_FAILURE:
            raise unknown_name("plan.on_failure", self.on_failure, ON_FAILURE)
        for name in ("choices", "plain_steps", "retries", "max_attempts"):
            if getattr(self, name) < 1:
                raise InputError(f"plan.{name} must be at least 1, got {getattr(self, name)}")
        if self.pilot < 0:
            raise InputError(f"plan.pilot must be at least 0 scenes, got {self.pilot}")
        for name in ("speed", "turn_speed"):
            if not getattr(self, name) > 0:
                raise InputError(f"plan.{name} must be more than 0, got {getattr(self, name)}")
        if not 1.0 <= self.time_warp <= 4.0:
            raise InputError(f"plan.time_warp must be 1 to 4, got {self.time_warp}")
        for name in ("approach", "headroom", "centre", "reanchor"):
            if not getattr(self, name) >= 0:
                raise InputError(f"plan.{name} must be at least 0 m, got {getattr(self, name)}")


PLAIN = PlanOptions(
    search_cuts=False,
    object_symmetry=False,
    screening=False,
    late_entry=False,
    clearance=False,
    centre=0.0,
    reanchor=0.0,
    max_attempts=1,
)
