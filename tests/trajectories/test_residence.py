from collections import Counter

import pytest

from trajectories import Blend, Source, Store, WindowSpec, order


@pytest.fixture
def reads(monkeypatch):
    """Runs of image rows that are read: (part, key, first row, row after the last)."""
    found, original = [], Store.read_run

    def read_run(self, episode, key, start, stop):
        if key.startswith("images/"):
            first = int(self.index().first[episode])
            found.append((int(self.index().part[episode]), key, first + start, first + stop))
        return original(self, episode, key, start, stop)

    monkeypatch.setattr(Store, "read_run", read_run)
    return found


def _stream(tmp_path, make_episode, make_store, monkeypatch, blocks, history=1):
    monkeypatch.setattr(order, "POOL_BYTES", 1)
    monkeypatch.setattr(order, "POOL_BLOCKS", blocks)
    store = make_store(tmp_path / "s", [[make_episode(3 * j + i, steps=47) for i in range(3)] for j in range(6)])
    spec = WindowSpec(("front", "wrist"), validation_fraction=0, history=history, history_stride=5)
    return store, Blend([Source(str(tmp_path / "s"))], spec, seed=0, resident="stream")


@pytest.mark.parametrize("blocks", [1, 4])
def test_every_chunk_is_read_once_per_epoch(tmp_path, make_episode, make_store, monkeypatch, reads, blocks):
    store, blend = _stream(tmp_path, make_episode, make_store, monkeypatch, blocks)
    rows = store.chunk_rows("images/front")
    for step in range(store.frames):
        blend.batch(step, 1)
    decoded = Counter(
        (part, key, chunk) for part, key, start, stop in reads for chunk in range(start // rows, (stop - 1) // rows + 1)
    )
    assert len(decoded) == 2 * 6 * -(-3 * 47 // rows)
    # By now the next epoch's first pool has been read as well.
    assert decoded.total() - len(decoded) <= 2 * (blocks + 1)


def test_batches_read_ahead_so_that_the_next_pool_is_there_when_it_is_due(
    tmp_path, make_episode, make_store, monkeypatch, reads
):
    store, blend = _stream(tmp_path, make_episode, make_store, monkeypatch, blocks=4)
    blend.batch(0, 8)
    first = len(reads)
    per_batch = []
    for step in range(1, store.frames // 8):
        before = len(reads)
        blend.batch(step, 8)
        per_batch.append(len(reads) - before)
    # After the first pool, which has to be read at once, no batch waits for more than a few chunks.
    assert max(per_batch) < first / 2
    assert sum(per_batch) > first


def test_a_single_batch_does_not_read_the_next_pool(tmp_path, make_episode, make_store, monkeypatch, reads):
    _, blend = _stream(tmp_path, make_episode, make_store, monkeypatch, blocks=4)
    blend.batch(20, 2)
    # The pool of at most 5 blocks and 2 cameras, in pieces, and a little more.
    assert len(reads) <= 2 * 5 + 3


def test_history_costs_less_than_half_of_what_is_read(tmp_path, make_episode, make_store, monkeypatch, reads):
    store, blend = _stream(tmp_path, make_episode, make_store, monkeypatch, blocks=1, history=3)
    for step in range(store.frames):
        blend.batch(step, 1)
    rows = store.chunk_rows("images/front")
    decoded = sum((stop - 1) // rows - start // rows + 1 for *_, start, stop in reads)
    # Six parts of five chunks each, two cameras, and the pool ahead.
    assert decoded < 2 * 2 * 6 * 5
