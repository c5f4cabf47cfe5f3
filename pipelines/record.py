"""`handful record`: seed demonstrations through a teleoperation device, into a store that can be continued."""

import sys
from pathlib import Path
from typing import Any

import mujoco

from generators.scripted import ScriptedOperator
from generators.teleoperation import Limits, record
from handful import InputError, JobError, __version__, random_stream, unknown_name
from pipelines.configuration import resolve, to_plain
from pipelines.locks import alone
from pipelines.progress import Reporter
from scenes.domains import Domain, get_domain
from scenes.outcome import Outcome
from scenes.scene import draw_scene
from scenes.twins import require_open
from scenes.workspace import Workspace, build_workspace
from trajectories import Store

DEVICES = {"script": ScriptedOperator}
# A person at a page; it is served, not called.
BROWSER = "browser"
PORT = 8765
RESOLUTION = 256
# Scenes tried per demo wanted before the device is thought unable.
_WORST = 10


def run(
    task: str,
    device: str,
    out: str | Path,
    episodes: int,
    seed: int,
    domain: str,
    overrides: list[str],
    progress: Reporter,
    host: str | None = None,
    port: int | None = None,
    resolution: int | None = None,
    embodiment: str = "panda",
) -> dict[str, Any]:
    """Record until `episodes` good demos are in the store; each is committed at once.

    Args:
        task: name of the task.
        device: name of the device.
        out: the store to make, or to continue.
        episodes: how many successful demos to record.
        seed: of the scenes.
        domain: what scenes are drawn from.
        overrides: `a.b=c` for the device's Limits.
        progress: where progress is shown.
        host: address that the page binds to, for the browser; loopback if absent.
        port: its port; 0 takes a free one.
        resolution: side of its live pictures [pixels].
        embodiment: the robot.

    Returns:
        {"episodes"}

    Raises:
        InputError: an unknown task, device, domain or robot, or a store that another plan made or somebody else records
            to.
        JobError: most scenes end in failure.
    """
    if device not in {*DEVICES, BROWSER}:
        raise unknown_name("device", device, {*DEVICES, BROWSER})
    served = {"--host": host, "--port": port, "--resolution": resolution}
    if device != BROWSER and any(value is not None for value in served.values()):
        name = next(name for name, value in served.items() if value is not None)
        raise InputError(f"{name} is for --device {BROWSER}; the device '{device}' has no page")
    require_open(domain, "recording")
    workspace, drawn_from = build_workspace(task, embodiment), get_domain(domain)
    limits = resolve(Limits, None, overrides)
    plan = {
        "kind": "recording",
        "task": task,
        # Named where it is another than that of every store made before there were others.
        **({} if workspace.embodiment.name == "panda" else {"embodiment": workspace.embodiment.name}),
        "device": device,
        "domain": domain,
        "seed": seed,
        "limits": to_plain(limits),
        "model": workspace.model_hash,
        "versions": {"handful": __version__, "mujoco": mujoco.__version__},
    }
    if device == BROWSER:
        from pipelines.web.server import Access

        access = Access.of(host or "127.0.0.1", PORT if port is None else port)
        store = Store.create(out, plan)
        # What a person did cannot be done again, so none of it may be lost.
        refusal = f"another recording to '{store.path}' is under way; end it, or give another path"
        with alone(store.path, refusal), progress(f"record {task}", episodes, resumed=len(store)) as bar:
            _by_hand(store, workspace, drawn_from, seed, limits, episodes, access, resolution or RESOLUTION, bar.update)
    else:
        store = Store.create(out, plan)
        with progress(f"record {task}", episodes, resumed=len(store)) as bar:
            _by_script(store, workspace, drawn_from, seed, limits, episodes, device, bar.update)
    return {"episodes": len(store)}


def _by_script(
    store: Store,
    workspace: Workspace,
    domain: Domain,
    seed: int,
    limits: Limits,
    episodes: int,
    device: str,
    update: Any,
) -> None:
    """One scene is one part, whatever became of it."""
    done = set(store.committed())
    outcomes: dict[str, int] = {}
    for index in range(episodes * _WORST):
        if len(store) >= episodes:
            break
        if index in done:
            continue
        scene = draw_scene(workspace, domain, "recording", seed, index)
        rng = random_stream("recording", seed, workspace.task.name, index, "operator")
        episode, outcome = record(workspace, scene, DEVICES[device](), rng, limits)
        outcomes[outcome.label] = outcomes.get(outcome.label, 0) + 1
        account = {"scene": index, "outcome": outcome.label, "attempts": [outcome.label], "steps": len(episode)}
        store.commit(index, [episode] if outcome is Outcome.SUCCESS else [], [account])
        update(len(store), outcomes)
    if len(store) < episodes:
        raise JobError(f"{episodes * _WORST} scenes gave {len(store)} good demos of the {episodes} wanted")


def _by_hand(
    store: Store,
    workspace: Workspace,
    domain: Domain,
    seed: int,
    limits: Limits,
    episodes: int,
    access: Any,
    resolution: int,
    update: Any,
) -> None:
    from pipelines.web.operation import Plan
    from pipelines.web.teleoperation import operate

    def say(line: str) -> None:
        # Not progress: without the address nobody can start, so it is printed with --quiet as well.
        print(line, file=sys.stderr, flush=True)

    operate(Plan(workspace, domain, seed, limits, episodes, BROWSER), store, access, resolution, say, update)
