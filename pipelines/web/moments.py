"""One episode moment by moment: numbers for the plots, contacts, and the pictures of all cameras in step.

Pictures come from the store where it has them; otherwise they are drawn from states, by one thread, because OpenGL
belongs to one. Contacts are in no store: physics works them out again from the states, without moving on.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from handful import HandfulError, InputError, JobError
from pipelines.viewing import subtask_names
from pipelines.web.drawing import pack
from trajectories import Dataset, Episode

if TYPE_CHECKING:
    import mujoco

    from scenes.workspace import Workspace
    from sim.rendering import FrameRenderer

Result = TypeVar("Result")

# Steps of one answer of pictures, and of plots; longer episodes are plotted at every second, third ... step.
MOST_FRAMES, MOST_STEPS = 32, 4000
# Contacts of longer episodes are not worked out [steps].
MOST_CONTACTS = 6000
# Side of a drawn picture [pixels]; cameras of one episode; renderers and models that are kept.
SIDE, MOST_CAMERAS, _KEPT = 256, 6, 2
_ALWAYS = {"table", "world"}


def series(dataset: Dataset, episode: int) -> dict[str, Any]:
    """What the plots of an episode show; what is damaged is left out and said.

    Returns:
        "steps", "rate" [Hz], "stride" between plotted steps, "rows": name -> values, "subtasks": their names,
        "damaged": key -> why.
    """
    meta = dataset.meta(episode)
    steps = int(dataset.index().length[episode])
    stride = -(-steps // MOST_STEPS)
    damaged: dict[str, str] = {}
    rows: dict[str, Any] = {}

    def read(key: str) -> np.ndarray | None:
        try:
            return dataset.read(episode, key)[::stride]
        except HandfulError as error:
            damaged[key] = str(error)
            return None

    def columns(name: str, key: str, chosen: slice | int) -> None:
        values = read(key)
        if values is not None:
            rows[name] = _rounded(values[:, chosen].T)

    keys = dataset.keys()
    columns("joints", "observation/joint_position", slice(None))
    columns("targets", "action/executed", slice(None, -1))
    columns("gripper", "observation/gripper_opening", 0)
    columns("gripper_target", "action/executed", -1)
    columns("tool", "observation/tool_pose_in_base", slice(0, 3))
    subtask = read("subtask")
    if subtask is not None:
        rows["subtask"] = subtask.tolist()
    for key in keys:
        if key.startswith("objects/"):
            columns(key, key, slice(0, 3))
        elif key.startswith("signals/") or key in ("source/demo", "source/step"):
            values = read(key)
            if values is not None:
                rows[key] = values.astype(int).tolist()
    return {
        "steps": steps,
        "stride": stride,
        "rate": meta.control_rate,
        "rows": rows,
        "subtasks": list(subtask_names(meta.task)),
        "damaged": damaged,
    }


def segments(dataset: Dataset, episode: int) -> list[dict[str, Any]]:
    """Which demo gave each stretch: "start", "stop", "demo" (-1: a bridge), and its steps "first" to "last"."""
    keys = dataset.keys()
    if "source/demo" not in keys:
        return []
    demo, step = dataset.read(episode, "source/demo"), dataset.read(episode, "source/step")
    changes = np.flatnonzero(np.diff(demo, prepend=demo[:1] - 1))
    ends = [*changes[1:].tolist(), len(demo)]
    return [
        {"start": start, "stop": stop, "demo": int(demo[start]), "first": int(step[start]), "last": int(step[stop - 1])}
        for start, stop in zip(changes.tolist(), ends, strict=True)
    ]


def drawable(dataset: Dataset) -> str:
    """Where pictures come from: "stored", "drawn" from states, or "" where there are neither."""
    keys = dataset.keys()
    if dataset.cameras():
        return "stored"
    return "drawn" if "state" in keys and any(key.startswith("model/") for key in keys) else ""


class Studio:
    """Gives pictures and contacts of episodes. A context manager; may be asked by several threads.

    Args:
        side: side of a drawn picture [pixels].
    """

    def __init__(self, side: int = SIDE) -> None:
        self.side = side
        self._thread = ThreadPoolExecutor(1, "studio")
        self._closed = False
        # Used in the studio's thread alone.
        self._renderers: OrderedDict[tuple[str, str], FrameRenderer] = OrderedDict()
        self._loaded: OrderedDict[tuple[str, int], tuple[Workspace, Episode, mujoco.MjModel]] = OrderedDict()

    def __enter__(self) -> "Studio":
        return self

    def __exit__(self, *_: object) -> None:
        # What waits is told so; what is drawn now is drawn to its end, and then OpenGL is let go where it was used.
        self._closed = True
        self._thread.submit(self._release).result()
        self._thread.shutdown()

    def ask(self, job: Callable[[], Result]) -> "Future[Result]":
        """Run a job in the studio's thread."""

        def work() -> Result:
            if self._closed:
                raise JobError("nothing is drawn any more: the command has ended")
            return job()

        try:
            return self._thread.submit(work)
        except RuntimeError as error:  # after the end
            raise JobError("nothing is drawn any more: the command has ended") from error

    def frames(self, dataset: Dataset, episode: int, start: int, stop: int) -> bytes:
        """Steps [start, stop) as all cameras see them: each packed (see `drawing.pack`), after its size in 4 bytes.

        Raises:
            InputError: no such steps, or the episode has neither images nor states that can be drawn.
            JobError: the data is missing or damaged.
        """
        steps = int(dataset.index().length[episode])
        if not 0 <= start < stop <= steps:
            raise InputError(f"episode {episode} has {steps} steps; there are no pictures of {start} to {stop}")
        stop = min(stop, start + MOST_FRAMES)
        views: Mapping[str, np.ndarray] | None = stored_views(dataset, episode, start, stop)
        if views is None:
            views = self.ask(lambda: self._draw(dataset, episode, start, stop)).result()
        packed = []
        for row in range(stop - start):
            message = pack({name: stack[row] for name, stack in views.items()}, start + row, fine=True)
            packed += [len(message).to_bytes(4, "little"), message]
        return b"".join(packed)

    def cameras(self, dataset: Dataset, episode: int) -> list[str]:
        """Names of the cameras in the order of the pictures."""
        if dataset.cameras():
            return dataset.cameras()[:MOST_CAMERAS]
        return self.ask(lambda: _names(self._load(dataset, episode)[2])).result()

    def contacts(self, dataset: Dataset, episode: int) -> dict[str, Any]:
        """Who touches whom at each step.

        Returns:
            "forces": object -> force of the fingers on it, over all contacts [N]; "touching": pair -> 0 or 1, of
            objects that touch each other; "forbidden": pair -> 0 or 1, of what a robot should not touch.
        """
        return self.ask(lambda: self._contacts(dataset, episode)).result()

    # In the studio's thread.

    def _load(self, dataset: Dataset, episode: int) -> "tuple[Workspace, Episode, mujoco.MjModel]":
        from generators.rendering import model_of
        from scenes.workspace import workspace_of

        name = (str(dataset.path), episode)
        if name not in self._loaded:
            stored_keys = dataset.keys()
            keys = [key for key in stored_keys if key.startswith("model/") or key == "state"]
            if "state" not in keys or len(keys) < 2:
                raise InputError("this data set has neither images nor states to draw them from; here are the numbers")
            stored = dataset.episode(episode, keys)
            origin: Any = stored.meta
            workspace = workspace_of(origin)
            self._loaded[name] = (workspace, stored, model_of(workspace, stored))
            while len(self._loaded) > 2 * _KEPT:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(name)
        return self._loaded[name]

    def _draw(self, dataset: Dataset, episode: int, start: int, stop: int) -> Mapping[str, np.ndarray]:
        from sim.rendering import FrameRenderer

        workspace, stored, model = self._load(dataset, episode)
        name = (workspace.model_hash, workspace.task.name)
        if name not in self._renderers:
            while len(self._renderers) >= _KEPT:
                self._renderers.popitem(last=False)[1].close()
            self._renderers[name] = FrameRenderer(workspace.model, self.side, self.side)
        self._renderers.move_to_end(name)
        return self._renderers[name].render_states(model, stored.arrays["state"][start:stop], _names(model))

    def _contacts(self, dataset: Dataset, episode: int) -> dict[str, Any]:
        steps = int(dataset.index().length[episode])
        if steps > MOST_CONTACTS:
            raise InputError(f"contacts are worked out up to {MOST_CONTACTS:,} steps; episode {episode} has {steps:,}")
        workspace, stored, model = self._load(dataset, episode)
        return contacts_of(model, workspace.embodiment.hand_body, stored.arrays["state"][:steps])

    def _release(self) -> None:
        if not self._renderers:
            return
        from sim.opengl import release_context

        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
        release_context()


def stored_views(dataset: Dataset, episode: int, start: int, stop: int) -> dict[str, np.ndarray] | None:
    """Images of a run of steps as they are stored, by camera; None where there are none."""
    cameras = dataset.cameras()[:MOST_CAMERAS]
    return {camera: dataset.read(episode, f"images/{camera}", start, stop) for camera in cameras} or None


def contacts_of(model: "mujoco.MjModel", hand: str, states: np.ndarray) -> dict[str, Any]:
    """Who touches whom in each of some states (T, S); see `Studio.contacts`."""
    import mujoco

    names = _groups(model, hand)
    data, force = mujoco.MjData(model), np.zeros(6)
    steps = len(states)
    found: dict[tuple[str, str], np.ndarray] = {}
    for t, row in enumerate(states):
        mujoco.mj_setState(model, data, np.ascontiguousarray(row), mujoco.mjtState.mjSTATE_INTEGRATION.value)
        mujoco.mj_forward(model, data)
        for i in range(data.ncon):
            contact = data.contact[i]
            a, b = sorted(names[int(model.geom_bodyid[geom])] for geom in (contact.geom1, contact.geom2))
            # What rests on the table does so all the time.
            if a == b or ({a, b} & _ALWAYS and not {a, b} & {"robot", "fingers"}):
                continue
            mujoco.mj_contactForce(model, data, i, force)
            found.setdefault((a, b), np.zeros(steps))[t] += max(float(force[0]), 1e-6)
    forces, touching, forbidden = {}, {}, {}
    for (a, b), values in sorted(found.items()):
        seen = (values > 0).astype(int).tolist()
        if "robot" in (a, b) or ("fingers" in (a, b) and {a, b} & _ALWAYS):
            forbidden[f"{a} and {b}"] = seen
        elif "fingers" in (a, b):
            forces[a if b == "fingers" else b] = _rounded(values)
        else:
            touching[f"{a} and {b}"] = seen
    return {"forces": forces, "touching": touching, "forbidden": forbidden}


def _groups(model: "mujoco.MjModel", hand: str) -> list[str]:
    """What a person calls each body: fingers, robot, or the name of what hangs on the world."""
    palm = model.body(hand).id
    parents = model.body_parentid.tolist()
    names = []
    for body in range(model.nbody):
        line = [body]
        while parents[line[-1]] not in (0, line[-1]):
            line.append(parents[line[-1]])
        root = line[-1]
        if palm in line:
            names.append("fingers" if body != palm else "robot")
        elif root == _root(parents, palm):
            names.append("robot")
        else:
            names.append(model.body(root).name or "world")
    return names


def _root(parents: list[int], body: int) -> int:
    while parents[body] != 0:
        body = parents[body]
    return body


def _names(model: "mujoco.MjModel") -> list[str]:
    return [model.camera(i).name for i in range(model.ncam)][:MOST_CAMERAS]


def _rounded(values: np.ndarray) -> Any:
    """As JSON, to a hundredth of a millimetre."""
    # `plain` makes null of what is not finite.
    return np.round(values.astype(float), 5).tolist()
