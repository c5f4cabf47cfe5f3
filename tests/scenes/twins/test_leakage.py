from scenes.randomization import DEFAULT, TWIN_DEV_0, WIDE
from scenes.twins import BANDS, leak, twin


def test_what_training_draws_by_default_meets_no_twin():
    found = leak(DEFAULT, twin("twin/test-1"))
    assert found.met == ()
    assert len(found.differs) == sum(len(axes) for axes in BANDS.values())
    assert found.sentence("twin/test-1", "default") is None
    # An encoder's error may be nil by chance.
    assert leak(DEFAULT, TWIN_DEV_0).met == ("joint_offset",)


def test_wide_reaches_into_twins_and_says_so():
    found = leak(WIDE, TWIN_DEV_0)
    assert {"object_friction", "latency", "table_value"} <= set(found.met)
    assert "camera_y" not in found.met
    assert 0.5 < found.share < 1
    said = found.sentence("twin/dev-0", "wide")
    assert said is not None
    assert said.startswith(f"'wide' draws values of twin/dev-0 on {len(found.met)} of the {len(found.differs)} axes")


def test_a_users_own_ranges_are_held_against_every_axis_of_a_twin():
    severe = twin("twin/dev-3")
    worn = DEFAULT.with_(
        {"backlash": [0.0, 0.02], "camera_latency": [0.0, 0.2], "solver_cone": ["elliptic", "pyramidal"]}
    )
    assert leak(worn, severe).met == ("backlash", "solver_cone", "camera_latency")
    assert leak(worn, twin("twin/dev-1")).met == ("backlash", "camera_latency")
    assert leak(DEFAULT.with_({"backlash": [0.0, 0.005]}), severe).met == ()


def test_several_sources_leak_together():
    drawn = twin("twin/test-1")
    one, other = DEFAULT.with_({"latency": drawn["latency"]}), DEFAULT.with_({"blur_sigma": drawn["blur_sigma"]})
    assert leak([one, other], drawn).met == ("latency", "blur_sigma")
    assert leak([], drawn).share == 0
    assert leak(drawn, DEFAULT).share == 0
