"""Somebody's MJCF file as a part of our worlds: the robot in it alone, independent of where its files lie.

Meshes and textures are read once and named by their content, so a model's XML, and the hash of it, are the same in any
folder and on any machine. What belongs to the file's own world is left out: floor, tables, lights, cameras, keyframes,
sensors, motors. Angles are in radians afterwards, whatever the file's own unit.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import mujoco

from handful import InputError, unknown_name

_PACKAGE = "package://"


@dataclass(frozen=True)
class Source:
    """A model as text, and the files that it refers to, by name."""

    xml: str
    assets: dict[str, bytes]

    def spec(self) -> mujoco.MjSpec:
        """A fresh spec of it, whose angles are in radians."""
        return mujoco.MjSpec.from_string(self.xml, assets=self.assets)

    @classmethod
    def of(cls, spec: mujoco.MjSpec) -> "Source":
        """A spec as text.

        Raises:
            ValueError: the engine cannot compile it.
        """
        spec.compile()
        return cls(spec.to_xml(), dict(spec.assets))


def locate(path: str, folder: Path, field: str) -> Path:
    """The file that a description means: relative to its folder, or inside an installed Python package.

    Args:
        path: "robot.xml", or "package://<package>/<path inside it>".
        folder: where the description is.
        field: what to call it in messages.

    Raises:
        InputError: there is no such file or package.
    """
    if path.startswith(_PACKAGE):
        package, _, inside = path.removeprefix(_PACKAGE).partition("/")
        try:
            found = importlib.util.find_spec(package)
        except (ImportError, ValueError):
            found = None
        if found is None or not found.submodule_search_locations:
            raise InputError(f"{field} is in the Python package '{package}', which is not installed here")
        whole = Path(next(iter(found.submodule_search_locations))) / inside
    else:
        whole = folder / path
    if not whole.is_file():
        raise InputError(f"{field} is '{path}', but there is no file {whole}")
    return whole


def load(path: Path) -> Source:
    """Read an MJCF file and everything that it refers to.

    Raises:
        InputError: the engine cannot read it, or a mesh or texture is missing.
    """
    try:
        spec = mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise InputError(f"{path} is no MJCF that can be read: {_one_line(error)}") from None
    assets: dict[str, bytes] = {}
    for mesh in spec.meshes:
        if mesh.file:
            mesh.name = mesh.name or Path(mesh.file).stem
            mesh.file = _take(mesh.file, path.parent / spec.meshdir, f"mesh '{mesh.name}' of {path}", assets)
    for texture in spec.textures:
        if texture.file:
            texture.name = texture.name or Path(texture.file).stem
            texture.file = _take(texture.file, path.parent / spec.texturedir, f"texture '{texture.name}'", assets)
        for i, file in enumerate(texture.cubefiles):
            if file:
                texture.cubefiles[i] = _take(file, path.parent / spec.texturedir, f"texture '{texture.name}'", assets)
    for field in list(spec.hfields):
        spec.delete(field)
    spec.meshdir = spec.texturedir = spec.modelfiledir = ""
    spec.assets = assets
    _strip(spec)
    try:
        return Source.of(spec)
    except ValueError as error:
        raise InputError(f"{path} does not compile: {_one_line(error)}") from None


def attach(whole: mujoco.MjSpec, part: Source, site: str, root: str, prefix: str, field: str) -> None:
    """Put one body of a model, with all it carries, at a site of another.

    Args:
        whole: the model that gets it.
        part: the model that has it.
        site: where to put it.
        root: the body; "" for the only one there is.
        prefix: put before every name of the part.
        field: what to call it in messages.

    Raises:
        InputError: no such site or body; or both have an element of the same name.
    """
    if whole.site(site) is None:
        raise unknown_name(f"site in {field}.to", site, [s.name for s in whole.sites if s.name])
    other = part.spec()
    body = other.body(choose_root(other, root, f"{field}.root"))
    try:
        whole.site(site).attach_body(body, prefix, "")
        whole.assets = {**whole.assets, **part.assets}
    except ValueError as error:
        raise InputError(f"{field} does not fit: {_one_line(error)}; another {field}.prefix may help") from None


def choose_root(spec: mujoco.MjSpec, root: str, field: str) -> str:
    """The name of the body that is the robot, directly in the file's world: the one asked for, or the only one.

    Raises:
        InputError: there is no such body, or none is asked for and there are several.
    """
    top = [str(body.name) for body in spec.worldbody.bodies]
    if root:
        if root not in top:
            raise unknown_name(f"body in {field}", root, top)
        return root
    if len(top) != 1 or not top[0]:
        raise InputError(
            f"{field} must name the body that is the robot; the file's world has: {', '.join(top) or 'none'}"
        )
    return top[0]


def keep_only(spec: mujoco.MjSpec, root: str) -> None:
    """Leave nothing but one body and all it carries, and the constraints within."""
    mine = bodies_below(spec.body(root))
    names = {body.name for body in mine}
    joints = {joint.name for body in mine for joint in body.joints}
    for equality in list(spec.equalities):
        # A constraint to the world, which has no name, would tie the robot down.
        inside = joints | {""} if equality.type == mujoco.mjtEq.mjEQ_JOINT else names
        known = equality.type in (mujoco.mjtEq.mjEQ_JOINT, mujoco.mjtEq.mjEQ_CONNECT, mujoco.mjtEq.mjEQ_WELD)
        if not (known and equality.name1 in inside and equality.name2 in inside):
            spec.delete(equality)
    for body in list(spec.worldbody.bodies):
        if body.name != root:
            spec.delete(body)
    for kind in ("geoms", "sites"):
        for element in list(getattr(spec.worldbody, kind)):
            spec.delete(element)
    used = {geom.meshname for geom in spec.geoms if geom.meshname}
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            spec.delete(mesh)
    woven = {name for material in spec.materials for name in material.textures if name}
    for texture in list(spec.textures):
        if texture.name not in woven:
            spec.delete(texture)


def bodies_below(body: mujoco.MjsBody) -> list[mujoco.MjsBody]:
    """A body and all that it carries, parents first."""
    found = [body]
    for child in body.bodies:
        found += bodies_below(child)
    return found


def _strip(spec: mujoco.MjSpec) -> None:
    """Remove what belongs to the file's own world, or would drive the robot past our servos."""
    for kind, elements in (("body", spec.bodies), ("jnt", spec.joints), ("geom", spec.geoms), ("site", spec.sites)):
        setattr(spec, f"nuser_{kind}", -1)
        for element in elements:
            element.userdata = []
    for kind in (
        *("keys", "sensors", "actuators", "tendons", "pairs", "excludes", "skins", "cameras", "lights"),
        *("texts", "numerics", "tuples"),
    ):
        for element in list(getattr(spec, kind)):
            spec.delete(element)


def _take(file: str, folder: Path, what: str, assets: dict[str, bytes]) -> str:
    whole = folder / file
    if not whole.is_file():
        raise InputError(f"{what} is in {whole}, which is not there")
    content = whole.read_bytes()
    name = hashlib.sha256(content).hexdigest()[:24] + whole.suffix.lower()
    assets[name] = content
    return name


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
