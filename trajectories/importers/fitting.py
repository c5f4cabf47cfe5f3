"""Whether a mapping fits a data set, told from the names and shapes of its features, before any of it is read."""

from collections.abc import Mapping as Names

from handful import InputError, unknown_name
from trajectories.importers.mapping import Columns, Feature, Forward, Mapping, Pose


def offers(features: Names[str, Feature]) -> str:
    """The features of a data set in one line."""
    return "; ".join(f"{name} ({feature})" for name, feature in features.items()) or "none"


def check(mapping: Mapping, features: Names[str, Feature], rate: float, where: str, forward: Forward | None) -> None:
    """Refuse a mapping that does not fit a data set, before any of it is read.

    Args:
        mapping: what is said about the data set.
        features: what it has.
        rate: its control steps per second.
        where: names the data set in errors.
        forward: kinematics of the mapping's embodiment, if there are any.

    Raises:
        InputError: naming the feature and what the data set offers, or the rates.
    """
    if abs(rate - mapping.control_rate) > 1e-6 * rate:
        raise InputError(
            f"{where} has {rate:g} steps per second and the mapping's control_rate is {mapping.control_rate:g}; "
            f"set control_rate: {rate:g}, and resample_to for another rate that divides it evenly"
        )
    if mapping.uses_kinematics() and forward is None:
        raise InputError(
            f"the mapping asks for tool poses by kinematics, which are known for panda and not for "
            f"'{mapping.embodiment}'; name a feature with the tool's pose"
        )
    joints = _check_columns(mapping.joint_position, features, where, None)
    if isinstance(mapping.joint_velocity, Columns):
        _check_columns(mapping.joint_velocity, features, where, joints)
    if mapping.action.joints is not None:
        _check_columns(mapping.action.joints, features, where, joints)
    for gripper in (mapping.gripper, mapping.action.gripper):
        feature = _find(gripper.feature, features, where)
        if gripper.column is None and feature.width != 1:
            raise InputError(f"{where}: '{gripper.feature}' has {feature.width} columns; say which is the gripper's")
        _check_range(gripper.feature, (gripper.column or 0,), feature, where)
    for pose in (mapping.tool_pose, mapping.action.tool_pose, *mapping.objects.values()):
        if isinstance(pose, Pose):
            _check_pose(pose, features, where)
    for camera, name in mapping.cameras.items():
        feature = _find(name, features, where, None)
        if feature.kind != "images" or len(feature.shape) != 3 or feature.shape[2] != 3:
            raise InputError(f"{where}: camera '{camera}' needs images of 3 channels; '{name}' is {feature}")


def _find(name: str, features: Names[str, Feature], where: str, kind: str | None = "numbers") -> Feature:
    if name not in features:
        near = str(unknown_name(f"feature of {where}", name, features)).split("; there is:")
        hint = " Did you mean" + near[1].split("Did you mean")[1] if "Did you mean" in near[1] else ""
        raise InputError(f"{near[0]}; it has: {offers(features)}.{hint}")
    feature = features[name]
    if kind is not None and feature.kind != kind:
        raise InputError(f"{where}: '{name}' is {feature}; it should hold {kind}")
    return feature


def _check_range(name: str, columns: tuple[int, ...], feature: Feature, where: str) -> None:
    wrong = [column for column in columns if not 0 <= column < feature.width]
    if wrong:
        raise InputError(
            f"{where}: '{name}' has no column {wrong[0]}; it has {feature.width}, counted from 0 ({feature})"
        )


def _check_columns(part: Columns, features: Names[str, Feature], where: str, width: int | None) -> int:
    feature = _find(part.feature, features, where)
    columns = tuple(range(feature.width)) if part.columns is None else part.columns
    _check_range(part.feature, columns, feature, where)
    if len(set(columns)) != len(columns) or not columns:
        raise InputError(f"{where}: columns {list(columns)} of '{part.feature}' must be different ones, at least one")
    if width is not None and len(columns) != width:
        raise InputError(f"{where}: '{part.feature}' gives {len(columns)} columns; the arm has {width} joints")
    return len(columns)


def _check_pose(pose: Pose, features: Names[str, Feature], where: str) -> None:
    position, rotation = pose.parts
    wanted = {"matrix": 16, "wxyz": 7, "xyzw": 7}[pose.convention] if rotation is None else 3
    for part, width in ((position, wanted), (rotation, 4)):
        if part is None:
            continue
        found = _check_columns(part, features, where, None)
        if found != width:
            raise InputError(
                f"{where}: '{part.feature}' gives {found} columns; this part of a pose written as "
                f"'{pose.convention}' has {width}"
            )
