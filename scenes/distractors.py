"""Objects that a task is not about: they stand in the way, and must be left alone.

They share a colour or a size with what a task is about, never both noun and colour, so an instruction tells them apart.
"""

from scenes.props import Prop, Shape, turns_about_z

_MASS = 0.08  # [kg]

DISTRACTORS: tuple[Prop, ...] = (
    Prop(
        "distractor_1",
        "cylinder",
        "yellow",
        (Shape("cylinder", (0.022, 0.025), mass=_MASS),),
        (0.022, 0.022, 0.025),
        turns_about_z(8),
    ),
    Prop(
        "distractor_2",
        "bar",
        "purple",
        (Shape("box", (0.035, 0.015, 0.015), mass=_MASS),),
        (0.035, 0.015, 0.015),
        turns_about_z(2),
    ),
    Prop(
        "distractor_3",
        "disc",
        "orange",
        (Shape("cylinder", (0.03, 0.012), mass=_MASS),),
        (0.03, 0.03, 0.012),
        turns_about_z(8),
    ),
)
