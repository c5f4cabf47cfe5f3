import shutil

import numpy as np
import pytest

from handful import HandfulError
from trajectories import Store


@pytest.fixture
def episodes(make_episode):
    return [make_episode(i, steps=20, cameras=("front",)) for i in range(3)]


@pytest.fixture
def whole(tmp_path, episodes, make_store):
    store = make_store(tmp_path / "s", [episodes[:2], episodes[2:]])
    store.seal(None)
    return tmp_path / "s"


def _files(store):
    """The files at the root, every manifest, and those of the first part."""
    return sorted(p for p in store.rglob("*") if p.is_file() and "parts/00000001" not in p.as_posix())


def _read_all(path):
    store = Store.open(path)
    return [store.episode(i) for i in range(len(store))], store.scene_records()


def _same(found, episodes):
    return len(found) == len(episodes) and all(
        a.meta == b.meta and all(np.array_equal(a.arrays[key], b.arrays[key]) for key in b.arrays)
        for a, b in zip(found, episodes, strict=True)
    )


def _check(path, episodes, whole_records, what):
    """The damage is found, and reading gives the right data or an error: nothing else."""
    try:
        problems = Store.open(path).verify()
    except HandfulError:
        problems = ["the store cannot be opened"]
    assert problems, what
    try:
        found, records = _read_all(path)
    except HandfulError:
        return
    assert _same(found, episodes), what
    assert records == whole_records, what


def test_a_whole_store_has_no_problems(whole, episodes):
    assert Store.open(whole).verify() == []
    assert _same(_read_all(whole)[0], episodes)


def test_any_deleted_file_is_found_and_never_read_as_data(whole, episodes):
    records = _read_all(whole)[1]
    for file in _files(whole):
        data = file.read_bytes()
        file.unlink()
        _check(whole, episodes, records, f"deleted {file}")
        file.write_bytes(data)
    assert Store.open(whole).verify() == []


def test_any_truncated_file_is_found_and_never_read_as_data(whole, episodes):
    records = _read_all(whole)[1]
    for file in _files(whole):
        data = file.read_bytes()
        file.write_bytes(data[:-1])
        _check(whole, episodes, records, f"last byte of {file}")
        file.write_bytes(data)


def _flip_bits(whole, episodes, flips, seed):
    records = _read_all(whole)[1]
    rng = np.random.default_rng(seed)
    for file in _files(whole):
        data = file.read_bytes()
        for _ in range(flips):
            bit = int(rng.integers(8 * len(data)))
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            file.write_bytes(bytes(damaged))
            _check(whole, episodes, records, f"bit {bit} of {file}")
        file.write_bytes(data)


def test_any_flipped_bit_is_found_and_never_read_as_data(whole, episodes):
    _flip_bits(whole, episodes, flips=1, seed=0)


@pytest.mark.trial
def test_thousands_of_flipped_bits_are_found(whole, episodes):
    _flip_bits(whole, episodes, flips=30, seed=1)


def test_problems_name_the_episodes_they_cost(whole):
    (whole / "parts/00000000/subtask/c.0").write_bytes(b"")
    (whole / "parts/00000001/state/c.0.0").unlink()
    first, second = Store.open(whole).verify()
    assert "part 00000000: 'subtask/c.0' is 0 bytes long instead of" in first
    assert first.endswith("episodes 0 to 1 are lost.")
    assert second == "part 00000001: 'state/c.0.0' is missing; episode 2 is lost."


def test_a_file_deleted_while_the_store_is_open_is_an_error(whole):
    store = Store.open(whole)
    store.read(0, "subtask")
    (whole / "parts/00000000/subtask/c.0").unlink()
    with pytest.raises(HandfulError, match=r"store .*, part 00000000: 'subtask/c.0' is missing or damaged"):
        store.read(0, "subtask")


def test_lost_and_unfinished_parts_are_told_apart(whole, tmp_path):
    shutil.rmtree(whole / "parts/00000001")
    assert Store.open(whole).verify() == ["part 00000001 is committed but its folder is missing; episode 2 is lost."]
    (whole / "manifest/00000001.json").unlink()
    (problem,) = Store.open(whole).verify()
    assert problem.startswith("part 00000001 is missing")
    assert problem.endswith("episode 2 is lost.")
    (whole / "seal.json").unlink()
    (whole / "index.npz").unlink()
    (whole / "manifest/00000000.json").unlink()
    (problem,) = Store.open(whole).verify()
    assert problem.startswith("part 00000000 has no manifest")


def test_foreign_files_are_reported(whole):
    (whole / "notes.txt").write_text("x")
    (whole / "parts/00000000/images/extra").write_text("x")
    assert Store.open(whole).verify() == [
        "notes.txt does not belong to the store.",
        "part 00000000: 'images/extra' does not belong to it.",
    ]


def test_a_part_of_another_store_is_refused(whole, tmp_path, make_episode, make_store):
    make_store(tmp_path / "other", [[make_episode(7)]], {"task": "other"})
    shutil.copy(tmp_path / "other/manifest/00000000.json", whole / "manifest/00000000.json")
    problems = Store.open(whole).verify()
    assert "the part was made by another plan" in problems[0]
    with pytest.raises(HandfulError, match="made by another plan"):
        Store.open(whole).meta(0)
    shutil.copy(whole / "manifest/00000001.json", whole / "manifest/00000000.json")
    with pytest.raises(HandfulError, match="that of part 1, not of part 0"):
        Store.open(whole).meta(0)


def test_a_sound_part_that_is_not_the_one_closed_with_is_refused(whole, tmp_path, episodes, make_episode, make_store):
    make_store(tmp_path / "other", [episodes[:1], episodes[2:]]).seal(None)
    for name in ("parts/00000000", "manifest/00000000.json"):
        target = whole / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        (shutil.copytree if (tmp_path / "other" / name).is_dir() else shutil.copy)(tmp_path / "other" / name, target)
    with pytest.raises(HandfulError, match="not the one that the store was closed with"):
        Store.open(whole).read(0, "state")
    (problem,) = Store.open(whole).verify()
    assert "not the one that the store was closed with; episodes 0 to 1 are lost." in problem
