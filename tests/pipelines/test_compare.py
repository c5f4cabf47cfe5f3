"""`handful compare`: evaluations with planted outcomes, and everything that should be flagged or refused."""

import json

import numpy as np
import pytest

from handful import InputError, JobError
from pipelines.compare import comparison_table, run
from pipelines.evaluations import paired, read_evaluation
from pipelines.metrics import mcnemar, unpaired_difference
from pipelines.metrics.pairs import barnard

SETTINGS = {
    "policy": {"model": "aa"},
    "task": "lift",
    "seed": 0,
    "config": {"execute": 8},
    "interface": {"cameras": ["front"], "control_rate": 20.0},
    "versions": {"mujoco": "3.17.0"},
}


def write(folder, outcomes, domain="sim", told=True, order=None, **changes):
    """An evaluation whose scene i succeeded where outcomes[i]; several domains as a dict."""
    folder.mkdir(parents=True)
    settings = {**SETTINGS, "policy": {"model": folder.name}, **changes}
    by_domain = outcomes if isinstance(outcomes, dict) else {domain: outcomes}
    rows = [
        {
            "domain": name,
            "task": settings["task"],
            "scene": scene,
            "seed": settings["seed"],
            "outcome": "success" if done[scene] else "timed_out",
            "steps": 9,
            "digest": f"{folder.name} {name} {scene}",
        }
        for name, done in by_domain.items()
        for scene in (order or range(len(done)))
    ]
    (folder / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (settings, *rows)))
    if told:
        results = [{"domain": name, "episodes": len(done)} for name, done in by_domain.items()]
        (folder / "results.json").write_text(json.dumps({"results": results}))
    return folder


# 40 scenes: A alone succeeds in 14, B alone in 2, both in 20.
A = np.repeat([1, 1, 0, 0], [20, 14, 2, 4])
B = np.repeat([1, 0, 1, 0], [20, 14, 2, 4])


def test_paired_seeds_are_compared_scene_by_scene(tmp_path):
    a, b = write(tmp_path / "a", A), write(tmp_path / "b", B, order=list(range(40))[::-1])
    found = run([a, b])
    (row,) = found["comparisons"]
    assert row["test"] == "mcnemar"
    assert row["pairs"] == {"all": 40, "a_alone": 14, "b_alone": 2}
    assert (row["a_successes"], row["b_successes"]) == (34, 22)
    assert row["p_value"] == row["p_holm"] == found["p_value"] == pytest.approx(mcnemar(14, 2))
    assert found["verdict"] == "a"
    assert found["difference"] == pytest.approx(0.3)
    assert found["ci"][0] < 0.3 < found["ci"][1]
    # 20 equal pairs, then A wins 9 in a row.
    assert (row["sequential"]["verdict"], row["sequential"]["pairs"]) == ("a", 29)
    assert found["flags"] == []
    mirrored = run([b, a])
    assert (mirrored["verdict"], mirrored["difference"]) == ("b", pytest.approx(-0.3))


def test_other_seeds_are_compared_without_pairs(tmp_path):
    found = run([write(tmp_path / "a", A), write(tmp_path / "b", B, seed=1)])
    (row,) = found["comparisons"]
    assert (row["test"], row["pairs"], row["sequential"]) == ("barnard", None, None)
    assert row["p_value"] == pytest.approx(barnard(34, 40, 22, 40))
    assert row["ci"] == pytest.approx(list(unpaired_difference(34, 40, 22, 40)))
    assert found["flags"] == ["a has seed 0 and b 1: other scenes, so the weaker unpaired test"]


def test_many_comparisons_are_held_to_one_error_rate(tmp_path):
    folders = [
        write(tmp_path / name, {"sim": done, "twin/dev-0": done}) for name, done in zip("abc", (A, B, B), strict=True)
    ]
    rows = run(folders)["comparisons"]
    assert [(row["a"], row["b"], row["domain"]) for row in rows] == [
        (a, b, domain) for a, b in (("a", "b"), ("a", "c"), ("b", "c")) for domain in ("sim", "twin/dev-0")
    ]
    raw = mcnemar(14, 2)
    assert [row["p_holm"] for row in rows[:4]] == pytest.approx([6 * raw] * 4)
    assert [row["verdict"] for row in rows] == ["a"] * 4 + ["undecided"] * 2


def test_only_scenes_that_both_met_are_compared(tmp_path):
    a, b = write(tmp_path / "a", A), write(tmp_path / "b", B[:30])
    found = run([a, b])
    assert found["comparisons"][0]["pairs"]["all"] == 30
    assert found["flags"] == ["a met 40 scenes in sim and b 30; only the 30 that both met are compared"]


def test_equal_names_are_told_apart_by_their_paths(tmp_path):
    rows = run([write(tmp_path / x / "evaluation", done) for x, done in (("one", A), ("two", B))])["comparisons"]
    assert (rows[0]["a"], rows[0]["b"]) == ("one/evaluation", "two/evaluation")


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"versions": {"mujoco": "3.18.0"}}, "rollouts of MuJoCo 3.17.0 and 3.18.0 are compared; contacts may differ"),
        ({"config": {"execute": 4}}, "a and b differ in execute: 8 and 4"),
        (
            {"interface": {"cameras": ["front", "wrist"], "control_rate": 20.0}},
            "differ in cameras: front and front, wrist",
        ),
        ({"interface": {"cameras": ["front"], "control_rate": 10.0}}, "differ in control rate: 20.0 and 10.0"),
        ({"policy": {"model": "a"}}, "a and b are the same policy with the same settings"),
        ({"told": False}, "b in sim has 40 rollouts and it never came to its end; the same evaluate command resumes"),
    ],
)
def test_what_weakens_a_comparison_is_flagged(tmp_path, changes, flag):
    flags = run([write(tmp_path / "a", A), write(tmp_path / "b", B, **changes)])["flags"]
    assert len(flags) == 1
    assert flag in flags[0]


def test_identical_rollouts_are_flagged(tmp_path):
    a, b = write(tmp_path / "a", A), write(tmp_path / "b", B)
    table = (b / "episodes.jsonl").read_text()
    for scene in range(1, 40):
        table = table.replace(f'"b sim {scene}"', '"b sim 0"')
    (b / "episodes.jsonl").write_text(table)
    assert run([a, b])["flags"] == [
        "b: 39 of 40 rollouts repeat another one exactly: they are one observation, so n is 1 at most"
    ]


def test_a_scene_that_is_there_twice_counts_once_and_is_flagged(tmp_path):
    a, b = write(tmp_path / "a", A), write(tmp_path / "b", B)
    row = json.loads((b / "episodes.jsonl").read_text().splitlines()[1])
    with (b / "episodes.jsonl").open("a") as file:
        file.write(json.dumps({**row, "digest": "other"}) + "\n")
    found = run([a, b])
    assert found["comparisons"][0]["pairs"]["all"] == 40
    assert found["flags"] == ["b: 1 scenes are in the table more than once"]


def test_selection_on_a_sealed_twin_is_flagged(tmp_path):
    folders = [write(tmp_path / "a", A, "twin/test-3"), write(tmp_path / "b", B, "twin/test-3")]
    flags = run(folders, chosen_by="twin/test-3")["flags"]
    assert len(flags) == 2
    assert "chosen by its success in 'twin/test-3'" in flags[0]
    assert "measured there again" in flags[0]
    assert run(folders, chosen_by="twin/dev-0")["flags"] == []


def test_a_row_cut_short_does_not_count(tmp_path):
    a, b = write(tmp_path / "a", A), write(tmp_path / "b", B)
    path = b / "episodes.jsonl"
    path.write_text(path.read_text()[:-20])
    found = run([a, b])
    assert found["comparisons"][0]["pairs"]["all"] == 39
    assert "b in sim has 39 rollouts and its results count 40" in found["flags"][0]


def test_the_table_says_n_interval_and_surrogate(tmp_path):
    from rich.console import Console

    result = run([write(tmp_path / "a", A, "twin/dev-0"), write(tmp_path / "b", B, "twin/dev-0")])
    console = Console(width=300)
    with console.capture() as shown:
        console.print(comparison_table(result, 0.05))
    text = shown.get()
    assert "85.0 % (34 of 40; 95 % interval" in text
    assert "surrogate reality" in text
    assert "A is better" in text
    assert "A was the better one after 29 pairs" in text


def test_different_tasks_are_refused(tmp_path):
    with pytest.raises(InputError, match="a is about task 'lift' and b about 'stack'; they cannot be compared"):
        run([write(tmp_path / "a", A), write(tmp_path / "b", B, task="stack")])


def test_no_shared_domain_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a was evaluated in sim and b in twin/dev-0: they share no domain"):
        run([write(tmp_path / "a", A), write(tmp_path / "b", B, "twin/dev-0")])


def test_folders_without_an_evaluation_are_refused(tmp_path):
    a = write(tmp_path / "a", A)
    with pytest.raises(InputError, match="holds no evaluation"):
        run([a, tmp_path / "none"])
    with pytest.raises(InputError, match="is given twice"):
        run([a, tmp_path / "a"])
    with pytest.raises(InputError, match="needs two evaluations, got 1"):
        run([a])
    old = write(tmp_path / "old", A)
    lines = (old / "episodes.jsonl").read_text().splitlines()[1:]
    (old / "episodes.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="an older version made it; evaluate again"):
        run([a, old])
    (old / "episodes.jsonl").write_text(json.dumps(SETTINGS) + "\n")
    with pytest.raises(InputError, match="holds no rollouts yet"):
        run([a, old])


@pytest.mark.parametrize(
    ("line", "message"), [("{", "line 42: not JSON"), ("[]", "line 42: a JSON object"), ("{}", "line 42: domain, task")]
)
def test_a_damaged_table_is_named_with_its_line(tmp_path, line, message):
    a = write(tmp_path / "a", A)
    with (a / "episodes.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(JobError, match=message):
        read_evaluation(a)


def test_pairs_keep_the_order_of_scenes(tmp_path):
    a, b = (read_evaluation(write(tmp_path / name, done)) for name, done in (("a", A), ("b", B)))
    first, second = paired(a, b, "sim")
    assert first.tolist() == A.astype(bool).tolist()
    assert second.tolist() == B.astype(bool).tolist()
    assert paired(a, b, "twin/dev-0") is None


def test_a_domain_that_has_changed_its_meaning_is_not_compared_with_itself(tmp_path):
    a, b = (read_evaluation(write(tmp_path / name, done)) for name, done in (("a", A), ("b", B)))
    for row in a.rows:
        row["world"] = "1f"
    for row in b.rows:
        row["world"] = "2e"
    with pytest.raises(InputError, match="'sim' was another world when a was evaluated than for b"):
        paired(a, b, "sim")
