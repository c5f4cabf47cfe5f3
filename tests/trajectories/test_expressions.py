import pytest
from hypothesis import given
from hypothesis import strategies as st

from handful import InputError
from trajectories.expressions import Comparison, Junction, Not, comparisons, parse


def only(where: str) -> Comparison:
    (found,) = comparisons(parse(where))
    return found


def test_a_comparison_has_a_field_an_operator_and_values():
    assert only("length < 300") == Comparison("length", "<", (300,), 0, 9)
    assert only("scene in (1, 2, 5)") == Comparison("scene", "in", (1, 2, 5), 0, 9)
    assert only("scene not in [1]").operator == "not in"


@pytest.mark.parametrize("value", ['"twin/dev-0"', "'twin/dev-0'", "twin/dev-0"])
def test_text_needs_no_quotes(value):
    assert only(f"domain == {value}").values == ("twin/dev-0",)


def test_quotes_allow_what_a_word_cannot_hold():
    assert only("""instruction == 'put it "there"'""").values == ('put it "there"',)


@pytest.mark.parametrize(
    ("text", "number"), [("-3", -3), ("+.5", 0.5), ("1e3", 1000.0), ("9223372036854775807", 2**63 - 1)]
)
def test_numbers(text, number):
    (value,) = only(f"seed == {text}").values
    assert value == number
    assert isinstance(value, type(number))


def test_a_value_may_come_first():
    assert only("300 > length") == Comparison("length", "<", (300,), 6, 0)


def test_a_chain_is_a_conjunction():
    chain = parse("100 < length <= 300")
    assert isinstance(chain, Junction)
    assert [(c.operator, c.values) for c in comparisons(chain)] == [(">", (100,)), ("<=", (300,))]


def test_or_binds_weaker_than_and_and_not_binds_strongest():
    a, b, c = (only(f"{name} == 1") for name in "abc")
    found = parse("a==1 or not b==1 and c==1")
    assert isinstance(found, Junction)
    assert (found.kind, len(found.terms)) == ("or", 2)
    conjunction = found.terms[1]
    assert isinstance(conjunction, Junction)
    assert isinstance(conjunction.terms[0], Not)
    assert [x.field for x in comparisons(found)] == [x.field for x in (a, b, c)]
    grouped = parse("(a==1 or not b==1) and c==1")
    assert isinstance(grouped, Junction)
    assert grouped.kind == "and"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", r"the filter is empty; write for example: task == lift and length < 300"),
        ("task = lift", r"unexpected '='; to compare, write == \(at character 6 of the filter: task = lift\)"),
        ("a == 1 & b == 2", r"unexpected '&'; write: and \(at character 8 "),
        ("task", r"expected ==, !=, <, <=, >, >=, in or not in, found the end \(at character 5 "),
        ("task ==", r"expected a field or a value, found the end \(at character 8 "),
        ("(task == lift", r"expected '\)', found the end"),
        ("task == lift length < 3", r"expected 'and', 'or' or the end, found length \(at character 14 "),
        ("scene in 5", r"expected a list such as \(1, 2, 5\) after 'in', found 5"),
        ("scene in ()", r"the list after 'in' is empty \(at character 10 "),
        ("scene in (1 2)", r"expected ',' or '\)', found 2"),
        ("scene not 5", r"expected 'in' after 'not', found 5"),
        ("1 < 2", r"one side of a comparison must be a field, such as task or length \(at character 1 "),
        ("scene in (1, 2) == task", r"expected 'and', 'or' or the end, found =="),
        ("task == 'lift", r"unexpected ''' \(at character 9 "),
        ("__import__('os')", r"expected ==, .* found \( \(at character 11 "),
        ("length < " + "9" * 60, r"a number has at most 50 characters"),
        ("not " * 60 + "a == 1", r"a filter nests at most 50 deep"),
        ("(" * 60 + "a == 1" + ")" * 60, r"a filter nests at most 50 deep"),
        ("a" * 200_000, r"a filter has at most 100,000 characters; this one has 200,000"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(where, message):
    with pytest.raises(InputError, match=message):
        parse(where)


@given(st.text(alphabet="ab.[]01 ()'\"<>=!,-+/andornti\\\n\t€", max_size=60))
def test_any_text_is_a_filter_or_an_input_error(text):
    try:
        found = parse(text)
    except InputError:
        return
    assert comparisons(found)
