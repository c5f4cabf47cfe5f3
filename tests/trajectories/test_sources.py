import pytest

from handful import InputError
from trajectories import Source, Store, WindowSpec
from trajectories.sources import open_sources

SPEC = WindowSpec(cameras=("front",))


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [
        ("real.zarr", "real.zarr", 1.0),
        ("real.zarr:2.5", "real.zarr", 2.5),
        ("C:/data/real.zarr", "C:/data/real.zarr", 1.0),
        ("a:b:c:3", "a:b:c", 3.0),
        ("2024", "2024", 1.0),
    ],
)
def test_sources_are_parsed(text, path, weight):
    assert Source.parse(text) == Source(path, weight)


@pytest.mark.parametrize("text", ["a:0.9..0.5", "a:0..1", "C:/x:2..0"])
def test_weights_may_change_in_the_course_of_a_run(text):
    source = Source.parse(text)
    path, _, weights = text.rpartition(":")
    assert (source.path, source.weight, source.last) == (path, *map(float, weights.split("..")))
    assert Source.parse("a:3").last == 3


@pytest.mark.parametrize("text", ["a:0..0", "a:-1..2", "a:1..nan", "a:inf..1"])
def test_weights_that_change_must_be_numbers_of_at_least_nothing(text):
    with pytest.raises(InputError, match="the weights of 'a' must be two numbers of at least 0, not both 0"):
        Source.parse(text)


def test_some_store_has_weight_at_every_moment(tmp_path, make_episode, make_store):
    _pair(tmp_path, make_store, make_episode(), make_episode())
    with pytest.raises(InputError, match="weights of all stores are 0 at the end of the run"):
        open_sources([Source(str(tmp_path / name), 1, 0) for name in ("first", "second")], SPEC)


@pytest.mark.parametrize("text", ["a:0", "a:-1", "a:nan", "a:inf"])
def test_a_weight_must_be_positive(text):
    with pytest.raises(InputError, match="weight of 'a' must be a positive number"):
        Source.parse(text)


@pytest.mark.parametrize("text", ["", ":2"])
def test_a_source_needs_a_path(text):
    with pytest.raises(InputError, match="needs a path"):
        Source.parse(text)


def test_specs_are_checked():
    with pytest.raises(InputError, match="horizon must be at least 1"):
        WindowSpec(("front",), horizon=0)
    with pytest.raises(InputError, match="Did you mean 'executed'"):
        WindowSpec(("front",), action="execute")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="validation_fraction"):
        WindowSpec(("front",), validation_fraction=1.0)
    with pytest.raises(InputError, match="cameras must differ"):
        WindowSpec(("front", "front"))
    with pytest.raises(InputError, match="history must be at least 1"):
        WindowSpec((), history=0)
    with pytest.raises(InputError, match="history_stride must be at least 1"):
        WindowSpec((), history_stride=0)


def _pair(tmp_path, make_store, first, second):
    make_store(tmp_path / "first", [[first]])
    make_store(tmp_path / "second", [[second]])
    return [Source(str(tmp_path / "first")), Source(str(tmp_path / "second"))]


def test_stores_that_do_not_fit_are_refused_by_name(tmp_path, make_episode, make_store):
    names = "'.*first' and '.*second' cannot be blended"
    with pytest.raises(InputError, match=f"{names}: their control rates are 20 and 10 Hz"):
        open_sources(_pair(tmp_path / "a", make_store, make_episode(), make_episode(control_rate=10.0)), SPEC)
    with pytest.raises(InputError, match=f"{names}: 'panda' has 7 joints in one and 6 in the other"):
        open_sources(_pair(tmp_path / "b", make_store, make_episode(), make_episode(joints=6)), SPEC)
    with pytest.raises(InputError, match=f"{names}: camera 'front' is 12x12 in one and 16x16 in the other"):
        open_sources(_pair(tmp_path / "c", make_store, make_episode(), make_episode(size=16)), SPEC)
    with pytest.raises(InputError, match=r"unknown camera in store '.*second' 'front'; there is: wrist"):
        open_sources(_pair(tmp_path / "d", make_store, make_episode(), make_episode(cameras=("wrist",))), SPEC)


def test_one_store_with_two_control_rates_is_refused(tmp_path, make_episode, make_store):
    make_store(tmp_path / "s", [[make_episode(), make_episode(1, control_rate=10.0)]])
    with pytest.raises(InputError, match=r"mixes control rates 10 and 20 Hz.*control_rate == 20"):
        open_sources([Source(str(tmp_path / "s"))], SPEC)


def test_missing_empty_and_repeated_stores_are_refused(tmp_path, make_episode, make_store):
    make_store(tmp_path / "s", [[make_episode()]])
    Store.create(tmp_path / "empty", {})
    with pytest.raises(InputError, match="at least one store"):
        open_sources([], SPEC)
    with pytest.raises(InputError, match="Did you mean 'empty'"):
        open_sources([Source(str(tmp_path / "emptyy"))], SPEC)
    with pytest.raises(InputError, match="holds no episodes"):
        open_sources([Source(str(tmp_path / "empty"))], SPEC)
    with pytest.raises(InputError, match="given more than once"):
        open_sources([Source(str(tmp_path / "s")), Source(str(tmp_path / "x/../s"))], SPEC)


def test_steps_are_told_by_instruction_unless_they_are_in_doubt(tmp_path, make_episode, make_store):
    def told(scene, instruction, *steps):
        extra = {"subtasks": list(steps)} if steps else {}
        return make_episode(scene=scene, instruction=instruction, paraphrases=(instruction, "do it"), extra=extra)

    episodes = [
        told(0, "lift the red cube", "pick up the red cube"),
        told(1, "lift the blue cube", "pick up the blue cube"),
        told(2, "lift the blue cube", "pick up the blue cube"),
        told(3, "wave"),
    ]
    make_store(tmp_path / "store", [episodes])
    (source,) = open_sources([Source(str(tmp_path / "store"))], SPEC)
    # "do it" stands for another thing in each of them.
    assert source.steps == {
        "lift the red cube": ("pick up the red cube",),
        "lift the blue cube": ("pick up the blue cube",),
    }
