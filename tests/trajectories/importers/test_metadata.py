import pytest

from handful import InputError
from trajectories.importers.metadata import checked_meta


@pytest.fixture
def record(make_episode):
    return make_episode(3).meta.to_json()


def test_metadata_that_is_well_formed_is_believed(record, make_episode):
    assert checked_meta(record, "it") == make_episode(3).meta


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", 3),
        ("instruction", None),
        ("operator", ["human"]),
        ("action_source", "guessed"),
        ("action_source", ["commanded"]),
        ("paraphrases", [1]),
        ("control_rate", "20"),
        ("control_rate", 0),
        ("control_rate", float("nan")),
        ("control_rate", float("inf")),
        ("control_rate", True),
        ("scene", -1),
        ("scene", 1.5),
        ("scene", 2**63),
        ("attempts", 0),
        ("seeds", []),
        ("extra", "x"),
        ("sources", ["x"]),
        ("model_hash", 5),
    ],
)
def test_a_field_of_another_type_is_named(record, name, value):
    with pytest.raises(InputError, match=rf"^it has metadata that cannot be: {name} = "):
        checked_meta({**record, name: value}, "it")


def test_fields_too_many_or_too_few_are_named(record):
    with pytest.raises(InputError, match="unknown fields colour"):
        checked_meta({**record, "colour": "red"}, "it")
    del record["domain"]
    with pytest.raises(InputError, match=r"it has incomplete metadata: .*domain"):
        checked_meta(record, "it")
    with pytest.raises(InputError, match="it has incomplete metadata"):
        checked_meta({**record, "domain": "sim", "paraphrases": 3}, "it")
