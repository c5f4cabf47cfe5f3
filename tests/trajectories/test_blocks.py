import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories.blocks import Blocks, addresses


def test_parts_begin_at_whole_blocks_with_room_between_them():
    place, first, length = np.array([3, 3, 1]), np.array([0, 10, 0]), np.array([10, 5, 8])
    address = addresses(place, first, length, rows=8, room=20)
    assert (address % 8 == 0).tolist() == [True, False, True]
    assert address[1] == address[0] + 10
    # Part 1 lies before part 3, and ends after 8 rows.
    assert address[0] - (address[2] + 8) >= 20
    blocks = Blocks.cut(address, length, np.array([True, False, True]), rows=8)
    # Frames 0-7 of the one part, 0-7 and 8-9 of the other.
    assert blocks.windows.tolist() == [8, 8, 2]
    assert (len(blocks), blocks.frames) == (3, 18)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=15),
    st.integers(1, 12),
    st.data(),
)
def test_fragments_are_the_chosen_frames_of_the_blocks_asked_for(episodes, rows, data):
    length = np.array([steps for steps, _ in episodes])
    chosen = np.array([held for _, held in episodes])
    address = np.cumsum(length) - length
    blocks = Blocks.cut(address, length, chosen, rows)
    every = {(i, t): (address[i] + t) // rows for i in range(len(length)) if chosen[i] for t in range(length[i])}
    assert blocks.number.tolist() == sorted(set(every.values()))
    assert blocks.windows.tolist() == [list(every.values()).count(number) for number in blocks.number]
    if not len(blocks):
        return
    some = sorted(data.draw(st.sets(st.integers(0, len(blocks) - 1))))
    found = {
        (int(i), int(t))
        for i, begin, end in zip(*blocks.fragments(np.array(some, np.int64)), strict=True)
        for t in range(begin, end)
    }
    assert found == {frame for frame, number in every.items() if number in blocks.number[some]}
