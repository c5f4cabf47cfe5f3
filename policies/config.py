"""What a training run is: one frozen record, its presets, and how overrides reach it."""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from handful import InputError, unknown_name
from policies.augment import AugmentConfig
from policies.flow import TIME_LAWS, TimeLaw
from policies.normalisation import ACTION_SPACES, ActionSpace
from policies.sizes import ModelConfig
from trajectories.residence import RESIDENCES, Residence

# How samples reach the network, not which, and who is told: a run may go on with others.
_WITHOUT_EFFECT = ("resident", "loader_threads", "log")
# What fine-tuning may change of the run it starts from; the rest decides what the weights mean.
_FREE = (
    *(
        "augment",
        "action",
        "waypoint_weight",
        "stage_weight",
        "flow_times",
        "time_law",
        "batch_size",
        "accumulate",
        "minutes",
    ),
    *("steps", "learning_rate", "final_rate", "warmup", "weight_decay", "clip", "ema", "proprio_noise"),
    *("proprio_dropout", "domain_dropout", "word_dropout", "validation_fraction", "checkpoints", "choose", "freeze"),
    "evaluate_every",
    *("base_statistics", "normalisation", "seed", "threads", "device", "precision", "compile", "execute"),
    *("euler_steps", "smoothing", *_WITHOUT_EFFECT),
)

PRESETS = Path(__file__).parent.parent / "configs" / "policy"


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a training run does, apart from its data."""

    # Sizes of the network.
    model: ModelConfig = field(default_factory=ModelConfig)
    # Changes made to images in training.
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    # Cameras that the policy sees.
    cameras: tuple[str, ...] = ("front", "wrist")
    # What actions are relative to, at the chunk's start: joint targets to the joints, or tool poses to the tool.
    action_space: ActionSpace = "tool_delta"
    # Learn what was meant, or what was carried out after motion noise.
    action: Literal["intended", "executed"] = "intended"
    # Whose statistics numbers are scaled by: "union", "per_domain", or one store or domain by name; see
    # `policies.statistics`.
    normalisation: str = "union"
    # Actions per chunk [control steps].
    horizon: int = 16
    # Actions to carry out before looking again [control steps]; advice to whoever runs the policy.
    execute: int = 8
    # The auxiliary head foretells where the tool will be so many steps ahead [control steps]; empty: none. It makes the
    # prefix find the named object from the first steps on, instead of after thousands.
    waypoints: tuple[int, ...] = (24, 36, 48, 64)
    # Weight of its loss beside the flow loss.
    waypoint_weight: float = 0.5
    # Weight of the losses of saying the subtask under way and how far it is, where the data tells subtasks.
    stage_weight: float = 0.1
    # Flow times drawn per sample: the image is encoded once for all of them.
    flow_times: int = 4
    # Law of flow times in training: "beta" is 1 - Beta(1.5, 1), dense towards noise.
    time_law: TimeLaw = "beta"
    # Euler steps at inference.
    euler_steps: int = 5
    # Degree of the polynomial in time that a chunk's motion is smoothed to at inference: what a step of the chunk is
    # off on its own would make the arm tremble.
    smoothing: int = 3
    # Samples per step.
    batch_size: int = 128
    # Parts that a batch is computed in, one after the other, where it does not fit the memory as a whole.
    accumulate: int = 1
    # Numbers of the forward pass: "fp32", or "bf16" where that loses nothing (autocast); "auto": bf16 on a CUDA device.
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    # Whether the loss is compiled (torch.compile): "auto" where it has been seen to pay; see docs/training.md.
    compile: Literal["auto", "on", "off"] = "auto"
    # Training time [minutes], with a schedule that ends when they do; null: `steps` decides, reproducibly.
    minutes: float | None = None
    # Training steps, where `minutes` is null.
    steps: int = 2000
    # Peak of the learning rate.
    learning_rate: float = 1e-3
    # Learning rate at the end, as a share of the peak; cosine in between.
    final_rate: float = 0.02
    # Share of the run over which the learning rate rises.
    warmup: float = 0.03
    # Decoupled weight decay of matrices.
    weight_decay: float = 1e-3
    # Largest norm of the gradient.
    clip: float = 1.0
    # Decay of the exponential moving average of the weights, which is what is used in the end.
    ema: float = 0.995
    # Standard deviation of noise on proprioception in training [normalised units]: it must not stand in for looking.
    proprio_noise: float = 0.1
    # Probability that a sample is not told its proprioception in training.
    proprio_dropout: float = 0.0
    # Probability that a sample is not told its domain in training, so that it can be left open at inference; 1: never
    # told.
    domain_dropout: float = 0.1
    # Probability that a word is unknown in training, so that an unknown word is no surprise.
    word_dropout: float = 0.02
    # Share of each source's scenes held out for validation.
    validation_fraction: float = 0.05
    # Where the data is meanwhile: all of it in "memory"; "stream" reads it from the disk, a few pools of windows at a
    # time, however large it is; "device" keeps images on the device that trains. The samples are the same.
    resident: Residence = "memory"
    # Threads that prepare samples ahead.
    loader_threads: int = 1
    # Validations and checkpoints over the run, evenly spaced; the last is at the end.
    checkpoints: int = 5
    # Evaluations in training, where any are asked for, come at every so many checkpoints, and at the last.
    evaluate_every: int = 1
    # The checkpoint that is the policy: the "last", or the "best" of those that were evaluated in training.
    choose: Literal["last", "best"] = "last"
    # Modules that keep their weights, e.g. "prefix" or "prefix.eyes".
    freeze: tuple[str, ...] = ()
    # In fine-tuning, statistics of robots that the run it starts from knows: "keep" them, or "refit" all to the data.
    base_statistics: Literal["keep", "refit"] = "keep"
    # Where the log goes beside log.jsonl: "tensorboard", or "wandb", too, which has to be installed.
    log: Literal["tensorboard", "wandb"] = "tensorboard"
    # Of the initial weights and of every draw in training.
    seed: int = 0
    # Processor threads, 0 = all cores.
    threads: int = 0
    # "auto", "cpu" or "cuda".
    device: str = "auto"

    def __post_init__(self) -> None:
        choices = {
            "action_space": ACTION_SPACES,
            "action": ("intended", "executed"),
            "time_law": TIME_LAWS,
            "device": ("auto", "cpu", "cuda"),
            "resident": RESIDENCES,
            "precision": ("auto", "fp32", "bf16"),
            "compile": ("auto", "on", "off"),
            "choose": ("last", "best"),
            "base_statistics": ("keep", "refit"),
            "log": ("tensorboard", "wandb"),
        }
        for name, valid in choices.items():
            if getattr(self, name) not in valid:
                raise unknown_name(name, getattr(self, name), valid)
        for name in (
            "horizon",
            "execute",
            "flow_times",
            "euler_steps",
            "batch_size",
            "steps",
            "checkpoints",
            "loader_threads",
            "accumulate",
            "evaluate_every",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.domain_dropout <= 1:
            raise InputError(f"domain_dropout must be 0 to 1, got {self.domain_dropout}")
        for name in ("proprio_dropout", "word_dropout", "validation_fraction", "ema", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, got {getattr(self, name)}")
        for name in (
            "weight_decay",
            "waypoint_weight",
            "stage_weight",
            "proprio_noise",
            "final_rate",
            "seed",
            "threads",
        ):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.batch_size % self.accumulate:
            raise InputError(f"accumulate must divide batch_size, {self.batch_size}, got {self.accumulate}")
        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"minutes must be positive, got {self.minutes}")
        if not 0 <= self.smoothing < self.horizon:
            raise InputError(
                f"smoothing must be at least 0 and below the horizon, {self.horizon}, got {self.smoothing}"
            )
        if self.execute > self.horizon:
            raise InputError(f"execute must be at most the horizon, {self.horizon}, got {self.execute}")
        if not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise InputError(f"cameras must be at least one, all different, got '{', '.join(self.cameras)}'")
        if any(step < 1 for step in self.waypoints):
            raise InputError(f"waypoints must be at least 1 step ahead, got {self.waypoints}")

    def to_json(self) -> dict[str, Any]:
        """A plain dict of JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "TrainConfig":
        """The inverse of `to_json`; unknown keys are refused by name."""
        if isinstance(record, dict) and isinstance(record.get("resident"), bool):
            # As written by earlier versions.
            record = {**record, "resident": "memory" if record["resident"] else "stream"}
        return typing.cast(TrainConfig, _build(cls, record, ""))

    def differences(self, other: "TrainConfig") -> list[str]:
        """Fields that differ, as "name: this -> other"; not those that change nothing of the result."""
        return self._differences(other, _WITHOUT_EFFECT)

    def fixed_differences(self, other: "TrainConfig") -> list[str]:
        """The same for the fields that fine-tuning cannot change."""
        return self._differences(other, _FREE)

    def _differences(self, other: "TrainConfig", ignored: Sequence[str]) -> list[str]:
        mine, theirs = _flatten(self.to_json()), _flatten(other.to_json())
        names = [name for name in mine if name not in ignored and name.partition(".")[0] not in ignored]
        return [f"{name}: {mine[name]} -> {theirs[name]}" for name in names if mine[name] != theirs[name]]


def load_config(
    preset: str = "small", overrides: Sequence[str] = (), base: Mapping[str, Any] | None = None
) -> TrainConfig:
    """A preset, or the configuration of another run, with overrides, each "a.b=c".

    Args:
        preset: its name.
        overrides: what differs from it.
        base: the JSON of another run's configuration, to be taken in the preset's stead.

    Raises:
        InputError: unknown preset or key, or a value that does not fit.
    """
    presets = {path.stem: path for path in PRESETS.glob("*.yaml")}
    if preset not in presets:
        raise unknown_name("policy preset", preset, presets)
    for text in overrides:
        if "=" not in text:
            raise InputError(f"an override is written key=value, got '{text}'")
    try:
        start = OmegaConf.load(presets[preset]) if base is None else OmegaConf.create(dict(base))
        merged = OmegaConf.merge(start, OmegaConf.from_dotlist(list(overrides)))
        record = OmegaConf.to_container(merged, resolve=True)
    except (OmegaConfBaseException, ValueError) as error:
        raise InputError(f"the overrides {' '.join(overrides)} cannot be read: {str(error).splitlines()[0]}") from error
    return TrainConfig.from_json(typing.cast(dict[str, Any], record))


def _flatten(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _build(kind: type, record: Any, prefix: str) -> Any:
    """Turn a mapping into the dataclass `kind`, checking names and types."""
    if not isinstance(record, dict):
        raise InputError(f"configuration '{prefix.rstrip('.')}' must be a group of keys, got {record!r}")
    hints = typing.get_type_hints(kind)
    for key in record:
        if key not in hints:
            raise unknown_name("configuration key", prefix + str(key), [prefix + name for name in hints])
    return kind(**{key: _coerce(hints[key], value, prefix + key) for key, value in record.items()})


def _coerce(hint: Any, value: Any, key: str) -> Any:
    """One value of the type that a field declares."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, key + ".")
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _coerce(arguments[0], value, key)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_coerce(arguments[0], item, key) for item in value)
    if origin is Literal and isinstance(value, str):
        return value
    if origin is Literal and isinstance(value, bool) and {"on", "off"} <= set(arguments):
        # YAML reads these words as truth values.
        return "on" if value else "off"
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint in (str, bool) and isinstance(value, hint):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    wanted = "a list" if origin is tuple else getattr(hint, "__name__", str(hint))
    raise InputError(f"configuration key '{key}' must be {wanted}, got {value!r}")
