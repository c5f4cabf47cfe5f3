"""Presets and overrides become checked frozen dataclasses; whatever does not fit is one line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from handful import InputError
from pipelines.configuration import build, check_overrides, preset, project_commit, resolve, to_plain


@dataclass(frozen=True)
class Optimizer:
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)


@dataclass(frozen=True)
class Settings:
    width: int = 64
    name: str = "tiny"
    kind: Literal["flow", "diffusion"] = "flow"
    minutes: float | None = None
    cameras: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    optimizer: Optimizer = Optimizer()
    augment: bool = False
    folder: Path = Path("runs")

    def __post_init__(self) -> None:
        if self.width < 1:
            raise InputError(f"width must be >= 1, got {self.width}")


@dataclass(frozen=True)
class Needy:
    task: str


def test_defaults_alone():
    assert resolve(Settings, None) == Settings()


def test_overrides_reach_nested_fields_with_their_types():
    made = resolve(
        Settings,
        None,
        [
            "width=128",
            "optimizer.rate=1e-4",
            "optimizer.betas=[0.8,1]",
            "cameras=[front,wrist]",
            "minutes=2",
            "augment=true",
            "weights.human=3",
            "kind=diffusion",
            "name=7",
            "folder=runs/a",
        ],
    )
    assert made == Settings(
        width=128,
        optimizer=Optimizer(1e-4, (0.8, 1.0)),
        cameras=("front", "wrist"),
        minutes=2.0,
        augment=True,
        weights={"human": 3.0},
        kind="diffusion",
        name="7",
        folder=Path("runs/a"),
    )
    assert isinstance(made.minutes, float)


def test_an_override_wins_over_the_file_and_null_clears(tmp_path):
    file = tmp_path / "preset.yaml"
    file.write_text("width: 96\nminutes: 4\noptimizer: {rate: 0.01}\n")
    made = resolve(Settings, file, ["width=32", "minutes=null"])
    assert (made.width, made.minutes, made.optimizer) == (32, None, Optimizer(rate=0.01))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("widht=3", r"unknown configuration key 'widht'; there is: .*\. Did you mean 'width'\?"),
        ("optimizer.rat=3", r"unknown configuration key 'optimizer\.rat'.*Did you mean 'optimizer\.rate'\?"),
        ("width=3.5", r"'width' is 3\.5; it must be a whole number"),
        ("width=true", "'width' is True; it must be a whole number"),
        ("optimizer.rate=fast", "'optimizer.rate' is 'fast'; it must be a number"),
        ("optimizer=3", "'optimizer' is 3; it must be a group of Optimizer settings"),
        ("optimizer.betas=[1]", r"'optimizer\.betas' is \[1\]; it must be a list of 2 values"),
        ("cameras=front", r"'cameras' is 'front'; it must be a list like \[a, b\]"),
        ("weights=3", "'weights' is 3; it must be a mapping"),
        ("augment=7", "'augment' is 7; it must be true or false"),
        ("kind=flwo", r"unknown value of 'kind': 'flwo'; there is: diffusion, flow\. Did you mean 'flow'\?"),
        ("width=0", "width must be >= 1, got 0"),
        ("name=[", r"cannot apply override 'name=\['"),
        ("minutes=${other}", "configuration does not resolve"),
    ],
)
def test_what_does_not_fit_is_named(override, message):
    with pytest.raises(InputError, match=message) as caught:
        resolve(Settings, None, [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("argument", ["front", "=3", "--width=3", "a b=3"])
def test_arguments_that_are_no_overrides_are_refused(argument):
    with pytest.raises(
        InputError, match=f"unexpected argument '{argument}'; a configuration override looks like a.b=c"
    ):
        check_overrides(["width=1", argument])


def test_a_needed_key_is_asked_for():
    with pytest.raises(InputError, match="configuration key 'task' is needed and has no default"):
        build(Needy, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read configuration"), ("a: [", "cannot read configuration"), ("- 1\n", "is a list; it must map")],
)
def test_unreadable_files_are_one_line(tmp_path, content, message):
    file = tmp_path / "preset.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        resolve(Settings, file)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_lists_what_exists(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.configuration._PRESETS", tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "tiny.yaml").write_text("width: 1\n")
    assert preset("train", "tiny") == tmp_path / "train" / "tiny.yaml"
    with pytest.raises(InputError, match=r"unknown train preset 'tinny'; there is: tiny\. Did you mean 'tiny'\?"):
        preset("train", "tinny")


def test_what_is_saved_builds_the_same_again():
    made = resolve(Settings, None, ["weights.a=2", "cameras=[front]", "optimizer.rate=0.5"])
    plain = to_plain(made)
    assert plain["optimizer"] == {"rate": 0.5, "betas": [0.9, 0.95]}
    assert build(Settings, plain) == made


def test_commit_is_a_hash_or_none():
    commit = project_commit()
    assert commit is None or len(commit.rstrip("+")) == 40
