from pathlib import Path

import numpy as np
import pytest

from handful import InputError, JobError
from pipelines.studies.results import Cell, Mix, Table, read_csv, read_jsonl, select, shared, write_csv, write_jsonl


def cell(n_real: int = 10, n_sim: int = 200, weight: str = "natural", seed: int = 0, **other: object) -> Cell:
    share = 1.0 if n_sim == 0 else 0.0 if n_real == 0 else 0.25
    given = {
        "real_share": share,
        "task": "lift",
        "domain": "sim",
        "scenes": np.arange(4),
        "successes": np.array([True, False, True, True]),
        **other,
    }
    return Cell(n_real, n_sim, weight, seed=seed, **given)  # type: ignore[arg-type]


def same(a: Cell, b: Cell) -> bool:
    return all(np.array_equal(value, vars(b)[name]) for name, value in vars(a).items())


@pytest.mark.parametrize(("write", "read"), [(write_jsonl, read_jsonl), (write_csv, read_csv)])
def test_what_is_written_is_read_again(tmp_path: Path, write: object, read: object) -> None:
    cells = [
        cell(),
        cell(seed=1, real_share=1 / 3),
        cell(0, 5, ""),
        cell(10, 0, "", scenes=np.array([3, 8]), successes=np.zeros(2, bool)),
    ]
    write(tmp_path / "cells", cells)  # type: ignore[operator]
    again = read(tmp_path / "cells")  # type: ignore[operator]
    assert len(again) == 4
    assert all(same(a, b) for a, b in zip(cells, again, strict=True))


def test_runs_are_stacked_by_seed() -> None:
    first, second = np.array([True, False]), np.array([False, False])
    table = Table(
        (cell(seed=7, scenes=np.arange(2), successes=second), cell(seed=2, scenes=np.arange(2), successes=first))
    )
    assert table.mixes == (Mix(10, 200, "natural"),)
    np.testing.assert_array_equal(table.runs[table.mixes[0]], [first, second])


def test_cells_of_one_source_belong_to_every_rule() -> None:
    table = Table((cell(), cell(weight="0.5"), cell(10, 0, ""), cell(0, 200, "")))
    assert table.weights == ("0.5", "natural")
    assert [str(mix) for mix in table.of_weight("0.5").mixes] == [
        "0 real + 200 synthetic",
        "10 real + 0 synthetic",
        "10 real + 200 synthetic, weight 0.5",
    ]


def test_select_keeps_the_scenes_that_all_met() -> None:
    other = cell(10, 0, "", scenes=np.array([1, 3, 9]), successes=np.array([False, True, True]))
    table = select([cell(), other, cell(domain="wide")], "lift", "sim")
    np.testing.assert_array_equal(table.cells[0].scenes, [1, 3])
    np.testing.assert_array_equal(table.cells[0].successes, [False, True])
    with pytest.raises(InputError, match="without a finished cell"):
        select([cell()], "lift", "twin/x")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (lambda: [cell(), cell()], "training seed 0 is there twice"),
        (lambda: [cell(), cell(seed=1, domain="wide")], "one domain is analysed at a time, got sim, wide"),
        (
            lambda: [cell(), cell(seed=1, scenes=np.arange(1, 5))],
            "10 real \\+ 200 synthetic, weight natural, seed 1: other scenes",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(cells: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Table(tuple(cells()))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_real": 0, "n_sim": 0}, "a cell needs demos, got 0 real and 0 synthetic ones"),
        ({"n_real": 0}, "one source, so the weight must be empty, got 'natural'"),
        ({"n_sim": 0, "weight": "", "real_share": 0.5}, "the real share must be 1, got 0.5"),
        ({"weight": ""}, "two sources need the name of the rule"),
        ({"real_share": 1.5}, "must lie between 0 and 1, got 1.5"),
        ({"scenes": np.array([2, 1, 3, 4])}, "scenes must ascend"),
        ({"scenes": np.arange(3)}, r"got shapes \(3,\) and \(4,\)"),
        ({"successes": np.array([1, 0, 1, 1])}, "successes must be bool"),
    ],
)
def test_cells_that_cannot_be_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cell(**given)  # type: ignore[arg-type]


def test_cells_without_a_common_scene_are_refused() -> None:
    with pytest.raises(InputError, match="seed 1 met no scene"):
        shared([cell(), cell(seed=1, scenes=np.arange(10, 14))])


def test_a_damaged_table_names_its_line(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "cells.jsonl", [cell()])
    with (tmp_path / "cells.jsonl").open("a") as file:
        file.write('{"n_real": 3}\n')
    with pytest.raises(JobError, match="line 2: not a cell of a study"):
        read_jsonl(tmp_path / "cells.jsonl")
    with pytest.raises(InputError, match="cannot read"):
        read_jsonl(tmp_path / "none.jsonl")


def test_a_wrong_csv_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    write_csv(path, [cell()])
    path.write_text(path.read_text().replace(",0,3,1", ",0,3,yes"))
    with pytest.raises(InputError, match="line 5: 'yes'; numbers must be numbers, and success 0 or 1"):
        read_csv(path)
    path.write_text("task,domain\n")
    with pytest.raises(InputError, match="no column n_real, n_sim"):
        read_csv(path)
