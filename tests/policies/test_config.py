import pytest

from handful import InputError
from policies.config import PRESETS, TrainConfig, load_config


@pytest.mark.parametrize("preset", [path.stem for path in PRESETS.glob("*.yaml")])
def test_presets_survive_json(preset):
    config = load_config(preset)
    assert TrainConfig.from_json(config.to_json()) == config


def test_the_presets_are_there():
    assert {path.stem for path in PRESETS.glob("*.yaml")} == {"tiny", "small", "base"}


def test_overrides_reach_nested_keys_and_keep_their_types():
    config = load_config("tiny", ["model.width=64", "learning_rate=1", "minutes=2", "cameras=[wrist]", "waypoints=[]"])
    assert (config.model.width, config.learning_rate, config.minutes) == (64, 1.0, 2.0)
    assert (config.cameras, config.waypoints) == (("wrist",), ())
    assert config.model.image_size == 32


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.widht=64", "unknown configuration key 'model.widht'.*Did you mean 'model.width'"),
        ("learning_rat=1", "unknown configuration key 'learning_rat'.*Did you mean 'learning_rate'"),
        ("steps=many", "'steps' must be int, got 'many'"),
        ("steps=1.5", "'steps' must be int, got 1.5"),
        ("cameras=front", "'cameras' must be a list"),
        ("model=3", "configuration 'model' must be a group of keys"),
        ("steps", "an override is written key=value, got 'steps'"),
        ("action_space=joints", "unknown action_space 'joints'"),
        ("resident=disk", "unknown resident 'disk'; there is: device, memory, stream"),
        ("loader_threads=0", "loader_threads must be at least 1"),
        ("minutes=0", "minutes must be positive"),
        ("execute=99", "execute must be at most the horizon, 16"),
        ("augment.shift=2", "augment.shift must be at least 0 and below 1"),
        ("ema=1", "ema must be at least 0 and below 1"),
        ("cameras=[front,front]", "cameras must be at least one, all different"),
        ("waypoints=[0]", "waypoints must be at least 1 step ahead"),
        ("batch_size=0", "batch_size must be at least 1, got 0"),
        ("model.image_size=30", "model.image_size must be a multiple of 4"),
    ],
)
def test_bad_overrides_are_refused(override, message):
    with pytest.raises(InputError, match=message):
        load_config("small", [override])


def test_unknown_preset_is_named():
    with pytest.raises(InputError, match=r"unknown policy preset 'smal'.*Did you mean 'small'"):
        load_config("smal")


def test_differences_are_named():
    assert load_config("tiny").differences(load_config("tiny", ["model.heads=4"])) == ["model.heads: 2 -> 4"]


def test_where_the_data_is_makes_no_other_run():
    config = load_config("tiny")
    assert config.differences(load_config("tiny", ["resident=stream", "loader_threads=4"])) == []
    assert config.differences(load_config("tiny", ["ema=0.5"])) != []


@pytest.mark.parametrize(("earlier", "now"), [(True, "memory"), (False, "stream")])
def test_earlier_records_of_where_the_data_is_are_understood(earlier, now):
    assert TrainConfig.from_json({**load_config("tiny").to_json(), "resident": earlier}).resident == now


def test_on_and_off_are_words():
    assert [load_config("tiny", [f"compile={word}"]).compile for word in ("on", "off", "auto")] == ["on", "off", "auto"]
