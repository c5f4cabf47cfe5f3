"""Results as text: every rate with its n and interval, outcomes by how often they happened."""

import io

from rich.console import Console

from pipelines.tables import checks_table, generation_text, rate_text, results_table, scenes_text, training_text
from tests.pipelines import run_folder


def shown(renderable) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=160).print(renderable)
    return buffer.getvalue()


def test_a_rate_never_stands_alone():
    assert rate_text(40, 50) == "80.0 % (40 of 50; 95 % interval 67.0 to 88.8 %)"
    assert rate_text(0, 0) == "none tried"


def test_generation_says_rates_speed_and_causes():
    lines = generation_text(run_folder.GENERATION).splitlines()
    assert lines[0] == "kept 87.2 % (872 of 1,000; 95 % interval 85.0 to 89.1 %) of scenes, in 1,251 tries"
    assert lines[1] == "first try: 74.1 % (741 of 1,000; 95 % interval 71.3 to 76.7 %)"
    assert lines[2] == "an 'any step' rule would have kept 31 of the tries that were refused"
    assert lines[4] == "outcomes: success 872, grasp missed 171, collided 96, unreachable 61, object dropped 51"
    assert lines[5:7] == [
        "started: target in 64 of 64 cells, episodes from 63; lowest 0 % (0 of 12) at x 0.60 to 0.65 m, y -0.15 to "
        "-0.07 m, yaw 0.50 to 1.00 rad",
        "started: not recorded for 2 scenes",
    ]


def test_results_call_a_twin_surrogate_reality():
    lines = shown(results_table(run_folder.RESULTS)).splitlines()
    assert "surrogate reality" not in lines[1]
    assert "twin/dev-0 (surrogate reality)" in lines[2]
    assert lines[1].rstrip().endswith("grasp missed 7, timed out 3")


def test_training_says_each_sources_validation_loss():
    text = training_text(
        {"steps": 1200, "seconds": 300.2, "loss": 0.1234567, "validation": {"a.zarr": 0.2}, "checkpoint": "runs/x"}
    )
    assert text.splitlines() == [
        "1,200 steps in 300 s, loss 0.1235",
        "validation on a.zarr: 0.2000",
        "checkpoint: runs/x",
    ]


def test_failed_checks_show_their_fix_and_the_verdict():
    check = {"name": "egl", "ok": False, "detail": "hangs", "fix": "sudo apt-get install x", "required": False}
    fine = {"name": "torch", "ok": True, "detail": "[2.13]", "fix": "", "required": True}
    text = shown(checks_table({"ok": True, "checks": [check, fine]}))
    assert "-> sudo apt-get install x" in text
    assert "[2.13]" in text
    assert text.rstrip().endswith("ready")
    assert "not ready" in shown(checks_table({"ok": False, "checks": [check]}))


def test_scenes_list_every_drawn_value():
    scene = {
        "scene": 3,
        "instruction": "lift it",
        "ledger": {"friction": 0.123456, "colour": [1.0, 0.5], "x": {"y": 2}},
    }
    assert scenes_text({"scenes": [scene]}).splitlines() == [
        "scene 3: lift it",
        "  friction: 0.1235",
        "  colour: [1, 0.5]",
        "  x.y: 2",
    ]
