"""The one thread that draws: live views, and stored episodes again.

OpenGL belongs to one thread, so whoever wants a picture asks this one. What the robot does now goes before all else;
a state that is overtaken by the next before it was drawn is left out.
"""

import io
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import mujoco
import numpy as np
from PIL import Image

from handful import JobError
from sim.opengl import release_context
from sim.rendering import FrameRenderer

Result = TypeVar("Result")

_QUALITY = 88
# Before the pictures: control step, milliseconds on the sender's clock that the picture answers to, milliseconds that
# it took to draw, number of pictures. Each picture: its size in bytes, then a JPEG.
_HEAD, _SIZE = struct.Struct("<IdfI"), struct.Struct("<I")


@dataclass(frozen=True)
class View:
    """A state to be drawn.

    Attributes:
        model: the scene's model, given to the drawing thread for good.
        state: (S,) integrator row.
        step: control steps taken by then.
        echo: when the command behind it was given, on the clock of the page [ms]; 0 where there was none.
    """

    model: mujoco.MjModel
    state: np.ndarray
    step: int
    echo: float = 0.0


def jpeg(frame: np.ndarray, fine: bool = False) -> bytes:
    """A frame (H, W, 3) uint8 as a JPEG; a fine one keeps the colour of every pixel."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if fine else {"quality": _QUALITY}
    Image.fromarray(frame).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def pack(
    frames: Mapping[str, np.ndarray], step: int, echo: float = 0.0, spent: float = 0.0, fine: bool = False
) -> bytes:
    """Pictures of one moment as one binary message; `static/pictures.js` reads it."""
    parts = [_HEAD.pack(step, echo, spent, len(frames))]
    for frame in frames.values():
        picture = jpeg(frame, fine)
        parts += [_SIZE.pack(len(picture)), picture]
    return b"".join(parts)


class Painter:
    """Draws in a thread of its own. A context manager.

    Args:
        model: the task's model.
        cameras: names of the cameras to draw.
        resolution: side of a picture [pixels].
        deliver: is given each live picture, packed, in the drawing thread.
        fail: is given what the drawing thread failed of, where it did.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        cameras: tuple[str, ...],
        resolution: int,
        deliver: Callable[[bytes], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._model, self.cameras, self.resolution = model, cameras, resolution
        self._deliver, self._fail = deliver, fail
        self._news = threading.Condition()
        self._live: View | None = None
        self._jobs: deque[tuple[Future[Any], Callable[[FrameRenderer], Any]]] = deque()
        self._closed = False
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)

    def __enter__(self) -> "Painter":
        """Start drawing.

        Raises:
            JobError: OpenGL cannot be used here.
        """
        self._thread.start()
        self._opened.result()
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join()
        for future, _job in self._jobs:
            future.cancel()

    def show(self, view: View) -> None:
        """Draw a live state as soon as may be; the one before it is forgotten if it was not drawn yet."""
        with self._news:
            self._live = view
            self._news.notify()

    def ask(self, job: Callable[[FrameRenderer], Result]) -> "Future[Result]":
        """Run a job in the drawing thread, between live pictures; it should take no longer than one."""
        future: Future[Result] = Future()
        with self._news:
            if self._closed:
                future.set_exception(JobError("nothing is drawn any more: the command has ended"))
            else:
                self._jobs.append((future, job))
                self._news.notify()
        return future

    def _run(self) -> None:
        try:
            with FrameRenderer(self._model, self.resolution, self.resolution) as renderer:
                self._opened.set_result(None)
                self._work(renderer)
        except BaseException as error:
            if self._opened.done():
                self._fail(error)
            else:
                self._opened.set_exception(error)
        finally:
            release_context()

    def _work(self, renderer: FrameRenderer) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closed or self._live or self._jobs)
                if self._closed:
                    return
                view, self._live = self._live, None
                job = self._jobs.popleft() if view is None else None
            if view is not None:
                self._paint(renderer, view)
            elif job is not None:
                _answer(renderer, *job)

    def _paint(self, renderer: FrameRenderer, view: View) -> None:
        start = time.perf_counter()
        frames = renderer.render(view.model, view.state, self.cameras)
        self._deliver(pack(frames, view.step, view.echo, 1000.0 * (time.perf_counter() - start)))


def _answer(renderer: FrameRenderer, future: "Future[Any]", job: Callable[[FrameRenderer], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job(renderer))
    except Exception as error:
        future.set_exception(error)
