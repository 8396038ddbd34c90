"""What is built holds the rooms, whole, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from support.tree import PACKAGE, TOP, files, room_files, shown


def build(source: Path, out: Path, kind: str) -> Path:
    """One artefact, built offline by the locked backend."""
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, source],
        cwd=out,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree: setuptools would leave its build/ here, and pick up its own leftovers."""
    copy = tmp_path_factory.mktemp("source")
    for path in files():
        target = copy / path.relative_to(TOP)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    return copy


@pytest.fixture(scope="module")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, tmp_path_factory.mktemp("sdist"), "sdist")


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build(source, tmp_path_factory.mktemp("wheel"), "wheel"))


def expected() -> set[str]:
    """The rooms' files and those of src/nullbay/, by their installed names."""
    own = {f"nullbay/{path.name}" for path in PACKAGE.iterdir() if path.is_file()}
    return own | {f"nullbay/{shown(path)}" for path in room_files()}


def content(names: list[str]) -> set[str]:
    return {name for name in names if not re.match(r"nullbay-[^/]+\.dist-info/", name)}


def test_the_wheel_holds_the_rooms_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    found, wanted = content(wheel.namelist()), expected()
    assert not wanted - found, "not in the wheel (pyproject.toml, tool.setuptools.package-data?)"
    assert not found - wanted, "in the wheel, but nowhere in the rooms"


def test_the_wheel_holds_the_rooms_bytes(wheel: zipfile.ZipFile) -> None:
    differing = [
        shown(path)
        for path in room_files()
        if wheel.read(f"nullbay/{shown(path)}") != path.read_bytes()
    ]
    assert not differing


def test_site_packages_gets_nullbay_and_its_dist_info(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    info = {top for top in tops if re.fullmatch(r"nullbay-[\w.]+\.dist-info", top)}
    assert len(info) == 1
    assert tops - info == {"nullbay"}


def test_the_wheel_brings_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    assert "nullbay = nullbay.cli.main:main" in entry_points
    assert wheel.read(f"{info}/licenses/LICENSE") == (TOP / "LICENSE").read_bytes()


def test_a_wheel_built_from_the_sdist_is_the_same(
    sdist: Path, wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        assert not [member.name for member in archive if member.islnk() or member.issym()]
    # not extractall: Debian 12's Python lacks the filter that newer ones insist on
    subprocess.run(["tar", "-xf", sdist, "-C", tmp_path], check=True)
    (unpacked,) = tmp_path.iterdir()
    out = tmp_path / "out"
    out.mkdir()
    with zipfile.ZipFile(build(unpacked, out, "wheel")) as again:
        assert content(again.namelist()) == content(wheel.namelist())
