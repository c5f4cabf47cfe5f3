"""`handful record`: seed demonstrations through a teleoperation device, into a store that can be continued."""

from pathlib import Path
from typing import Any

import mujoco

from generators.scripted import ScriptedOperator
from generators.teleoperation import Limits, record
from handful import JobError, __version__, random_stream, unknown_name
from pipelines.configuration import resolve, to_plain
from pipelines.progress import Reporter
from scenes.domains import get_domain
from scenes.outcome import Outcome
from scenes.scene import draw_scene
from scenes.workspace import build_workspace
from trajectories import Store

DEVICES = {"script": ScriptedOperator}
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
) -> dict[str, Any]:
    """Record until `episodes` good demos are in the store; one scene is one part, committed at once.

    Args:
        task: name of the task.
        device: name of the device.
        out: the store to make, or to continue.
        episodes: how many successful demos to record.
        seed: of the scenes.
        domain: what scenes are drawn from.
        overrides: `a.b=c` for the device's Limits.
        progress: where progress is shown.

    Returns:
        {"episodes"}

    Raises:
        InputError: an unknown task, device or domain, or a store that another plan made.
        JobError: most scenes end in failure.
    """
    if device not in DEVICES:
        raise unknown_name("device", device, DEVICES)
    workspace, drawn_from = build_workspace(task), get_domain(domain)
    limits = resolve(Limits, None, overrides)
    plan = {
        "kind": "recording",
        "task": task,
        "device": device,
        "domain": domain,
        "seed": seed,
        "limits": to_plain(limits),
        "model": workspace.model_hash,
        "versions": {"handful": __version__, "mujoco": mujoco.__version__},
    }
    store = Store.create(out, plan)
    done = set(store.committed())
    outcomes: dict[str, int] = {}
    with progress(f"record {task}", episodes, resumed=len(store)) as bar:
        for index in range(episodes * _WORST):
            if len(store) >= episodes:
                break
            if index in done:
                continue
            scene = draw_scene(workspace, drawn_from, "recording", seed, index)
            rng = random_stream("recording", seed, task, index, "operator")
            episode, outcome = record(workspace, scene, DEVICES[device](), rng, limits)
            outcomes[outcome.label] = outcomes.get(outcome.label, 0) + 1
            account = {"scene": index, "outcome": outcome.label, "attempts": [outcome.label], "steps": len(episode)}
            store.commit(index, [episode] if outcome is Outcome.SUCCESS else [], [account])
            bar.update(len(store), outcomes)
    if len(store) < episodes:
        raise JobError(f"{episodes * _WORST} scenes gave {len(store)} good demos of the {episodes} wanted")
    return {"episodes": len(store)}
