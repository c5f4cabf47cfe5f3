import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories.blocks import Blocks, addresses
from trajectories.order import Order, pool_windows


def _blocks(lengths, parts, chosen, rows):
    lengths = np.array(lengths)
    place = np.array(parts)
    first = np.concatenate([np.cumsum(lengths[place == part]) - lengths[place == part] for part in sorted(set(parts))])
    address = addresses(place, first, lengths, rows, room=rows)
    return Blocks.cut(address, lengths, np.array(chosen), rows), address


@st.composite
def _layouts(draw):
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=20))
    parts = sorted(draw(st.lists(st.integers(0, 4), min_size=len(lengths), max_size=len(lengths))))
    chosen = draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    chosen[draw(st.integers(0, len(lengths) - 1))] = True
    return lengths, parts, chosen, draw(st.integers(1, 16))


@settings(deadline=None, max_examples=60)
@given(_layouts(), st.integers(1, 200), st.integers(0, 3))
def test_every_epoch_holds_every_chosen_frame_once(layout, windows, epoch):
    lengths, _, chosen, rows = layout
    blocks, address = _blocks(*layout)
    order = Order(blocks, windows, seed=7, stream=(1,))
    expected = sorted((i, t) for i, length in enumerate(lengths) if chosen[i] for t in range(length))
    assert order.frames == len(expected)
    found, sizes = [], []
    for draw in order.locate(np.arange(epoch * order.frames, (epoch + 1) * order.frames)):
        assert draw.epoch == epoch
        pool = order.pool(draw.epoch, draw.pool)
        assert len(draw.places) == len(pool.step)
        found += list(zip(pool.episode[draw.places].tolist(), pool.step[draw.places].tolist(), strict=True))
        sizes.append(len(pool.step))
        # Nothing of a pool lies outside of its blocks.
        number = (address[pool.episode] + pool.step) // rows
        assert set(number.tolist()) == set(blocks.number[pool.blocks].tolist())
    assert sorted(found) == expected
    assert max(sizes) <= windows + rows
    assert len(sizes) <= order.pools


def test_pools_follow_each_other_through_the_epochs():
    blocks, _ = _blocks([40] * 10, [0] * 5 + [1] * 5, [True] * 10, 8)
    order = Order(blocks, 100, seed=0, stream=())
    visited = [(draw.epoch, draw.pool) for draw in order.locate(np.arange(3 * order.frames))]
    place = (0, 0)
    for found in visited:
        assert found == place
        place = order.following(*place)
    assert place == (3, 0)


def test_another_seed_or_stream_gives_another_order():
    blocks, _ = _blocks([50] * 4, [0, 1, 2, 3], [True] * 4, 8)
    orders = [Order(blocks, 60, seed, stream) for seed, stream in ((0, (0,)), (1, (0,)), (0, (1,)), (0, (0,)))]
    drawn = [order.pool(0, 0).step.tolist() for order in orders]
    assert drawn[0] == drawn[3]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]
    assert orders[0].pool(0, 0).step.tolist() != orders[0].pool(1, 0).step.tolist()


def test_neighbours_in_time_are_far_apart_in_a_pool():
    blocks, _ = _blocks([100] * 40, [0] * 40, [True] * 40, 32)
    pool = Order(blocks, 2000, seed=0, stream=()).pool(0, 0)
    together = (pool.episode[1:] == pool.episode[:-1]) & (np.abs(np.diff(pool.step)) == 1)
    # By chance about 2 of 2000; not the 1,900 of a recording.
    assert together.sum() < 12


def test_a_million_episodes_are_laid_out_and_drawn_from_quickly():
    count = 1_000_000
    length = np.full(count, 7)
    place = np.repeat(np.arange(1000), 1000)
    first = np.tile(np.arange(1000) * 7, 1000)
    began = time.perf_counter()
    address = addresses(place, first, length, 1024, 1024)
    order = Order(Blocks.cut(address, length, np.arange(count) % 20 > 0, 1024), 100_000, 0, ())
    assert order.frames == 7 * 950_000
    for step in (0, 100_000, 10_000_000):
        (draw, *_) = order.locate(np.arange(step * 128, (step + 1) * 128))
        pool = order.pool(draw.epoch, draw.pool)
        assert (pool.episode % 20 > 0).all()
    # Measured: 0.4 s; a loaded machine may be many times slower.
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("window_bytes", "share", "rows", "expected"),
    [
        (2 * 84 * 84 * 3 + 128, 1.0, 32, 6028),
        (2 * 84 * 84 * 3 + 128, 0.01, 32, 16 * 32),
        (128, 1.0, 1024, 1 << 17),
        (2 * 480 * 640 * 3, 1.0, 4, 138),
    ],
)
def test_pools_hold_what_memory_allows_but_many_blocks(window_bytes, share, rows, expected):
    assert pool_windows(window_bytes, share, rows) == expected
