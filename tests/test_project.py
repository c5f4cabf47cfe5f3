"""The project as a whole: what is installed, who imports whom, and that its documents keep their word."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import handful

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("sim", "scenes", "trajectories", "generators", "policies", "pipelines")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def make(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["make", *arguments]
    path = environment.pop("PATH", "/usr/local/bin:/usr/bin:/bin")
    return subprocess.run(
        command, cwd=cwd, env={"PATH": path, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def test_one_version_everywhere():
    assert metadata.version("handful") == PROJECT["project"]["version"] == handful.__version__
    assert f"## [{handful.__version__}]" in read("CHANGELOG.md") or "## [Unreleased]" in read("CHANGELOG.md")


def test_every_package_is_installed_and_documented_in_the_folder_map():
    for package in PACKAGES:
        assert (ROOT / package / "__init__.py").is_file()
        assert f"| `{package}/` |" in read("README.md")


def test_the_simulator_is_not_pulled_in_by_what_trains():
    program = (
        "import sys, trajectories, policies, pipelines.cli\n"
        "bad = {'mujoco', 'dm_control', 'ray', 'gymnasium', 'torch'} & set(sys.modules)\n"
        "raise SystemExit(f'imports {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_arrow_between_packages_has_a_contract():
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    forbidden = {(s, t) for c in contracts for s in c["source_modules"] for t in c["forbidden_modules"]}
    allowed = {
        ("scenes", "sim"),
        ("generators", "sim"),
        ("generators", "scenes"),
        ("generators", "trajectories"),
        ("policies", "trajectories"),
        *(("pipelines", package) for package in PACKAGES),
    }
    for source in PACKAGES:
        for target in PACKAGES:
            if source != target:
                assert ((source, target) in forbidden) != ((source, target) in allowed), (source, target)
    assert ("generators.augment", "generators.scripted") in forbidden


def test_nothing_of_the_host_leaks_in():
    """The suite itself must run on what `.venv` holds alone."""
    assert sys.prefix != sys.base_prefix
    assert "include-system-site-packages = false" in (Path(sys.prefix) / "pyvenv.cfg").read_text()
    foreign = [
        entry
        for entry in sys.path
        if {"site-packages", "dist-packages"} & set(Path(entry).parts)
        and not Path(entry).resolve().is_relative_to(Path(sys.prefix).resolve())
    ]
    assert foreign == []


def test_a_second_make_installs_nothing():
    if not (ROOT / ".venv" / ".installed-dev").exists():
        pytest.skip("this environment was not made by make")
    done = make("--dry-run", "install-dev")
    assert done.returncode == 0
    assert "pip install" not in done.stdout


def test_make_reinstalls_when_the_dependencies_change(tmp_path):
    (tmp_path / "Makefile").write_text(read("Makefile"))
    (tmp_path / "pyproject.toml").write_text("")
    interpreter = tmp_path / ".venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text('#!/bin/sh\necho "$@" >> calls\n')
    interpreter.chmod(0o755)
    assert make("install-dev", cwd=tmp_path).returncode == 0
    assert make("install-dev", "install", cwd=tmp_path).returncode == 0
    calls = tmp_path / "calls"
    assert calls.read_text().splitlines() == ["-m pip install --quiet --quiet -e .[dev]"]
    stamp = tmp_path / ".venv" / ".installed-dev"
    newer = stamp.stat().st_mtime + 10
    os.utime(tmp_path / "pyproject.toml", (newer, newer))
    assert make("install-dev", cwd=tmp_path).returncode == 0
    assert len(calls.read_text().splitlines()) == 2


def test_make_says_which_python_is_needed(tmp_path):
    (tmp_path / "Makefile").write_text(read("Makefile"))
    (tmp_path / "pyproject.toml").write_text("")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    (tools / "python3").chmod(0o755)
    for tool in ("bash", "echo", "touch"):
        found = next(p for p in (Path("/bin") / tool, Path("/usr/bin") / tool) if p.exists())
        (tools / tool).symlink_to(found)
    make_program = next(
        p for p in (Path("/usr/bin/make"), Path("/usr/local/bin/make"), Path("/bin/make")) if p.exists()
    )
    done = subprocess.run(
        [str(make_program), "install", f"SHELL={tools / 'bash'}"],
        cwd=tmp_path,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "error: Python 3.11 or 3.12 is needed" in done.stderr
    assert "python3 is: Python 3.9.2" in done.stderr


def test_readme_commands_are_real():
    """Every `handful` command and `make` target in the documents exists, with the options it shows."""
    from typer.main import get_command

    from pipelines.cli import app

    verbs = get_command(app).commands  # type: ignore[attr-defined]
    targets = re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE)
    shown = re.findall(r"```bash\n(.*?)```", read("README.md") + read("CONTRIBUTING.md"), re.DOTALL)
    lines = [line.strip() for block in shown for line in block.replace("\\\n", " ").splitlines()]
    commands = [
        line.split("#")[0].split() for line in lines if line.startswith(("handful ", ".venv/bin/handful ", "make "))
    ]
    assert len(commands) >= 6
    for words in commands:
        if words[0] == "make":
            assert words[1] in targets
            continue
        assert words[1] in verbs, words
        options = {name for parameter in verbs[words[1]].params for name in parameter.opts} | {"--help"}
        assert {word for word in words[2:] if word.startswith("--")} <= options, words


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_between_documents_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)\)", read(name)):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_licence_is_whole():
    text = read("LICENSE")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text) > 11_000
