"""Contact sheets and videos show the right frames, and can be opened."""

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from handful import InputError, JobError
from pipelines.pictures import GAP, LINE, captioned, enlarge, grid, side_by_side, write_png, write_video
from pipelines.viewing import episode_sheet, store_sheet, video_frames, view
from tests.pipelines import run_folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return run_folder.make_store(tmp_path_factory.mktemp("view") / "store", episodes=4)


def colour_at(image: np.ndarray, row: int, column: int) -> tuple[int, ...]:
    return tuple(int(v) for v in image[row, column])


def test_small_frames_grow_by_whole_factors_and_large_ones_stay():
    frame = np.arange(84 * 84 * 3, dtype=np.uint32).astype(np.uint8).reshape(84, 84, 3)
    large = enlarge(frame)
    assert large.shape == (336, 336, 3)
    np.testing.assert_array_equal(large[::4, ::4], frame)
    assert enlarge(large) is large


def test_frames_of_different_sizes_stand_side_by_side():
    red, green = np.full((8, 4, 3), (255, 0, 0), np.uint8), np.full((4, 6, 3), (0, 255, 0), np.uint8)
    row = side_by_side([red, green])
    assert row.shape == (8, 4 + GAP + 6, 3)
    assert colour_at(row, 4, 0) == (255, 0, 0)
    assert colour_at(row, 4, 4 + GAP) == (0, 255, 0)
    assert colour_at(row, 0, 4 + GAP) == (250, 250, 248)


def test_captions_stand_below_and_long_ones_are_cut():
    frame = np.zeros((40, 60, 3), np.uint8)
    short, long = captioned(frame, ["hi"]), captioned(frame, ["a very long caption indeed " * 3])
    assert short.shape == long.shape == (40 + LINE, 60, 3)
    np.testing.assert_array_equal(short[:40], frame)
    assert (short[40:] < 128).any()
    assert (long[40:, -4:] > 200).all()


def test_captions_can_stand_above():
    frame = np.zeros((40, 60, 3), np.uint8)
    above = captioned(frame, ["hi", "there"], above=True)
    np.testing.assert_array_equal(above[2 * LINE :], frame)
    assert (above[: 2 * LINE] > 200).any()


def test_grid_fills_rows():
    tiles = [np.full((10, 10, 3), number, np.uint8) for number in range(5)]
    sheet = grid(tiles, 3)
    assert sheet.shape == (2 * (10 + GAP) + GAP, 3 * (10 + GAP) + GAP, 3)
    assert colour_at(sheet, GAP + 10 + GAP, GAP + 10 + GAP) == (4, 4, 4)


def test_a_video_holds_every_step_of_all_cameras(store, tmp_path):
    (path,) = view(store.path, 2, tmp_path / "new" / "episode.mp4")
    reader = imageio_ffmpeg.read_frames(str(path))
    facts = next(reader)
    frames = list(reader)
    assert facts["codec"] == "h264"
    assert facts["pix_fmt"].startswith("yuv420p")
    assert facts["fps"] == 20.0
    assert facts["size"] == (336 * 2 + GAP, 336 + 2 * LINE)
    assert len(frames) == run_folder.STEPS
    first = np.frombuffer(frames[0], np.uint8).reshape(facts["size"][1], facts["size"][0], 3).astype(int)
    recorded = store.read(2, "images/front")[0]
    assert abs(first[2 * LINE + 8, 8] - recorded[2, 2]).max() < 12


def test_captions_name_instruction_subtask_and_time(store, monkeypatch):
    lines = []
    monkeypatch.setattr("pipelines.viewing.captioned", lambda frame, text, above: lines.append(text) or frame)
    list(video_frames(store, 1))
    assert lines[0][0] == "lift the green cube"
    assert lines[0][1].endswith("· 0.0 of 0.6 s · ends in success")
    assert lines[-1][1].startswith("subtask 1 · 0.6 of 0.6 s")


def test_sheets_are_pictures_of_an_episode_or_of_the_store(store, tmp_path):
    (one,) = view(store.path, 0, tmp_path / "one.png")
    (many,) = view(store.path, None, tmp_path / "many.png")
    assert Image.open(one).size[::-1] == episode_sheet(store, 0).shape[:2]
    sheet = store_sheet(store)
    assert Image.open(many).size[::-1] == sheet.shape[:2]
    for episode in range(4):
        column = GAP + episode * (168 + GAP) + 5
        assert colour_at(sheet, GAP + 5, column) == tuple(store.read(episode, "images/front")[0][2, 2])


@pytest.mark.parametrize(
    ("episode", "name", "message"),
    [
        (None, "a.gif", r"cannot write '.*a\.gif'; --out must end in \.png \(contact sheet\) or \.mp4 \(video\)"),
        (4, "a.png", r"store '.*' has episodes 0 to 3, not 4"),
    ],
)
def test_impossible_views_are_refused(store, tmp_path, episode, name, message):
    with pytest.raises(InputError, match=message):
        view(store.path, episode, tmp_path / name)


def test_a_store_without_images_says_how_to_get_them(tmp_path):
    bare = run_folder.make_store(tmp_path / "bare", episodes=2, cameras=())
    with pytest.raises(InputError, match=r"holds no images; make it with: handful generate --cameras front,wrist"):
        view(bare.path, None, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_odd_sizes_are_padded_for_the_encoder(tmp_path):
    write_video(tmp_path / "odd.mp4", [np.zeros((33, 35, 3), np.uint8)] * 3, 10)
    assert next(imageio_ffmpeg.read_frames(str(tmp_path / "odd.mp4")))["size"] == (36, 34)


def test_a_failed_video_leaves_what_was_there(tmp_path):
    path = tmp_path / "kept.mp4"
    path.write_bytes(b"precious")

    def frames():
        yield np.zeros((32, 32, 3), np.uint8)
        raise JobError("the store is damaged")

    with pytest.raises(JobError, match="the store is damaged"):
        write_video(path, frames(), 10)
    with pytest.raises(JobError, match="there are no frames"):
        write_video(path, [], 10)
    assert path.read_bytes() == b"precious"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.mp4"]


def test_a_png_is_written_whole(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "deep" / "a.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "deep" / "a.png")), image)
