"""A person's own CSV: read as it is meant, or refused at the line and column that are wrong."""

import numpy as np
import pytest

from handful import InputError
from pipelines.metrics.results import Results, matched, read_results

GOOD = "policy,successes,episodes\nact,17,20\ndiffusion,12,20\n"


def write(tmp_path, text):
    path = tmp_path / "real.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_counts_by_policy(tmp_path):
    found = read_results(write(tmp_path, GOOD), "real")
    assert (found.policies, found.conditions) == (("act", "diffusion"), ("",))
    assert found.scores == pytest.approx([0.85, 0.6])


def test_columns_in_any_order_as_a_spreadsheet_saves_them(tmp_path):
    lines = [
        "\ufeffEpisodes, policy ,successes,condition",
        '20,"act, small",17,dim',
        '10,"act, small",4,bright',
        "",
        ",,,",
    ]
    text = "\r\n".join(lines)
    found = read_results(write(tmp_path, text), "real")
    assert (found.policies, found.conditions) == (("act, small",), ("dim", "bright"))
    # Conditions count alike, however often each was tried.
    assert found.scores == pytest.approx([(17 / 20 + 4 / 10) / 2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: there is no column 'policy'.*got: nothing"),
        ("policy,successes\na,1\n", r"line 1: there is no column 'episodes'; the header must be"),
        ("policy,successes,episodes,rate\n", r"line 1, column 4: unknown column 'rate'"),
        ("policy,successes,episodes,policy\n", r"line 1, column 4: column 'policy' is there twice"),
        ("policy,successes,episodes\n", "a header and no results below it"),
        (GOOD + "x,3\n", r"line 4: 2 values, the header has 3 columns"),
        (GOOD + "x,0.8,20\n", r"line 4, column 2 \(successes\): '0.8' is not a whole number.*give the count"),
        (GOOD + "x,3,many\n", r"line 4, column 3 \(episodes\): 'many' is not a whole number"),
        (GOOD + "x,-3,20\n", r"line 4, column 2 \(successes\): '-3' is not a whole number"),
        (GOOD + "x,21,20\n", r"line 4, column 2 \(successes\): 21 successes of 20 episodes"),
        (GOOD + "x,0,0\n", r"line 4, column 3 \(episodes\): 0 episodes say nothing"),
        (GOOD + ",3,20\n", r"line 4, column 1 \(policy\): the policy has no name"),
        (GOOD + "act,3,20\n", r"line 4: policy 'act' is there already, in line 2"),
        (GOOD + '"x,3,20\n', r"line 4: unexpected end of data"),
        ("policy,successes,episodes,condition\na,1,2,x\na,1,2,y\nb,1,2,x\n", r"'b' has no line for condition 'y'"),
        ("policy,successes,episodes,domain\na,1,2,twin/dev-0\n", r"line 2, column 4 \(domain\): 'twin/dev-0' in the"),
        (b"policy,successes,episodes\n\xff\xfe,1,2\n", r"is not UTF-8 text \(byte 26\)"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_results(write(tmp_path, text), "real")


def test_swapped_files_are_noticed_where_they_say_what_they_are(tmp_path):
    real = write(tmp_path, "policy,successes,episodes,domain\na,1,2,real/lab\n")
    assert read_results(real, "real").policies == ("a",)
    with pytest.raises(InputError, match=r"'real/lab' in the table that should be sim; REAL\.csv comes first"):
        read_results(real, "sim")


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot read '.*none\.csv': No such file"):
        read_results(tmp_path / "none.csv", "real")


def counts(policies, conditions=("",)):
    shape = (len(policies), len(conditions))
    return Results(tuple(policies), tuple(conditions), np.arange(np.prod(shape)).reshape(shape), np.full(shape, 9))


def test_sim_is_put_into_the_order_of_real():
    found = matched(counts("abc", "xy"), counts("cab", "yx"))
    assert (found.policies, found.conditions) == (("a", "b", "c"), ("x", "y"))
    assert found.successes.tolist() == [[3, 2], [5, 4], [1, 0]]


@pytest.mark.parametrize(
    ("real", "sim", "message"),
    [
        (counts("ab"), counts("a"), "policy 'b' has real results and none in simulation; simulated: a"),
        (counts("a"), counts("ab"), "policy 'b' has results in simulation and no real ones; real: a"),
        (counts("a", "x"), counts("a"), r"condition 'x' has real results and none.*simulated: \(not told apart\)"),
    ],
)
def test_results_of_different_policies_are_refused(real, sim, message):
    with pytest.raises(InputError, match=message):
        matched(real, sim)


def test_impossible_counts_are_refused():
    with pytest.raises(InputError, match="at least one episode"):
        Results(("a",), ("",), np.array([[3]]), np.array([[2]]))
    with pytest.raises(InputError, match=r"1 policies and 1 conditions need counts of that shape"):
        Results(("a",), ("",), np.array([3]), np.array([4]))
