"""From preset files and `a.b=c` overrides to the frozen dataclass that a part of the project is configured by.

OmegaConf reads both and merges them here, at the edge, and goes no further: what it read is checked against the
dataclass field by field, so an unknown key or a value of the wrong type is one line naming it, and the rest of the
project sees plain dataclasses whose own checks run at construction.
"""

import dataclasses
import json
import math
import subprocess
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from handful import InputError, unknown_name

Config = TypeVar("Config")

# What OmegaConf lets through when it reads; YAML is its own dependency and its parser's errors come unwrapped.
_UNREADABLE = (ValueError, TypeError, OmegaConfBaseException, yaml.YAMLError)

_PRESETS = Path(__file__).resolve().parent.parent / "configs"


def presets(kind: str) -> dict[str, Path]:
    """The preset files of a kind (a folder of `configs/`), by name."""
    return {path.stem: path for path in sorted((_PRESETS / kind).glob("*.yaml"))}


def preset(kind: str, name: str) -> Path:
    """The file of one preset.

    Raises:
        InputError: there is no such preset; lists those that exist.
    """
    found = presets(kind)
    if name not in found:
        raise unknown_name(f"{kind} preset", name, found)
    return found[name]


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse anything that does not look like `a.b=c`.

    Raises:
        InputError: naming the first offender.
    """
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key or key.startswith("-") or " " in key:
            raise InputError(f"unexpected argument '{override}'; a configuration override looks like a.b=c")


def resolve(kind: type[Config], file: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Build a configuration from its defaults, a preset file and overrides; later ones win.

    Args:
        kind: the dataclass.
        file: YAML whose keys are fields of `kind`, or None for the defaults alone.
        overrides: `a.b=c`; c is read as YAML.

    Raises:
        InputError: a file that cannot be read, an unknown key, a value of the wrong type or one that `kind` refuses.
    """
    check_overrides(overrides)
    merged: Any = OmegaConf.create({})
    if file is not None:
        try:
            loaded = OmegaConf.load(file)
        except (OSError, *_UNREADABLE) as error:
            raise InputError(f"cannot read configuration '{file}': {_one_line(error)}") from error
        if not OmegaConf.is_dict(loaded):
            raise InputError(f"configuration '{file}' is a list; it must map names to values")
        merged = OmegaConf.merge(merged, loaded)
    for override in overrides:
        try:
            merged = OmegaConf.merge(merged, OmegaConf.from_dotlist([override]))
        except _UNREADABLE as error:
            raise InputError(f"cannot apply override '{override}': {_one_line(error)}") from error
    try:
        values = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"configuration does not resolve: {_one_line(error)}") from error
    return build(kind, typing.cast(Mapping[str, Any], values))


def build(kind: type[Config], values: Mapping[str, Any], where: str = "") -> Config:
    """Construct dataclass `kind` from nested plain values, checking names and types.

    Args:
        kind: a dataclass; its fields may be dataclasses, tuples, lists, dicts, Literal, optional, and plain types.
        values: field name -> value; fields left out keep their defaults.
        where: dotted prefix for messages.

    Raises:
        InputError: an unknown or missing field, or a value of the wrong type.
    """
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind)) if field.init}
    for name in values:
        if name not in known:
            raise unknown_name("configuration key", f"{where}{name}", [f"{where}{field}" for field in known])
    for name, field in known.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise InputError(f"configuration key '{where}{name}' is needed and has no default")
    return kind(**{name: _convert(hints[name], value, f"{where}{name}") for name, value in values.items()})


def to_plain(config: object) -> dict[str, Any]:
    """A configuration dataclass as a dict of JSON types: what is saved beside everything that was made with it."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"a configuration is a dataclass instance, not {config!r}")
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def project_commit() -> str | None:
    """The git commit of the project's checkout, with "+" where tracked files differ from it; None if installed flat."""
    root = _PRESETS.parent
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, parameters = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(parameters, value, where)
    if origin is Literal:
        if value not in parameters:
            raise unknown_name(f"value of '{where}':", str(value), [str(parameter) for parameter in parameters])
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise _wrong(where, value, f"a group of {hint.__name__} settings")
        return build(hint, value, f"{where}.")
    if origin in (tuple, list) or hint in (tuple, list):
        return _convert_sequence(origin or hint, parameters, value, where)
    if origin is dict or hint is dict:
        if not isinstance(value, Mapping):
            raise _wrong(where, value, "a mapping")
        inner = parameters[1] if parameters else Any
        return {key: _convert(inner, item, f"{where}.{key}") for key, item in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_union(parameters: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in parameters:
        return None
    choices = [parameter for parameter in parameters if parameter is not type(None)]
    # What is wrong inside a group of settings is said of the group, not of what else might stand in its place.
    groups = [choice for choice in choices if dataclasses.is_dataclass(choice)]
    if isinstance(value, Mapping) and groups:
        choices = groups
    for choice in choices[:-1]:
        try:
            return _convert(choice, value, where)
        except InputError:
            continue
    return _convert(choices[-1], value, where)


def _convert_sequence(kind: type, parameters: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise _wrong(where, value, "a list like [a, b]")
    if kind is tuple and parameters and Ellipsis not in parameters:
        if len(value) != len(parameters):
            raise _wrong(where, value, f"a list of {len(parameters)} values")
        return tuple(
            _convert(inner, item, f"{where}[{i}]")
            for i, (inner, item) in enumerate(zip(parameters, value, strict=True))
        )
    inner = parameters[0] if parameters else Any
    return kind(_convert(inner, item, f"{where}[{i}]") for i, item in enumerate(value))


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise _wrong(where, value, "a finite number")
        return float(value)
    if hint is str and isinstance(value, str):
        return value
    # A name or a path may look like a number to YAML.
    if hint in (str, Path) and isinstance(value, str | int | float) and not isinstance(value, bool):
        return hint(str(value))
    expected = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
    raise _wrong(where, value, expected.get(hint, f"a {getattr(hint, '__name__', hint)}"))


def _wrong(where: str, value: Any, expected: str) -> InputError:
    return InputError(f"configuration key '{where}' is {value!r}; it must be {expected}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
