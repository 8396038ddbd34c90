"""The Debian package, in a throw-away Debian: installed, upgraded at work, removed, purged."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nullbay import __version__
from support.debian_room import NoRoomError, Room, make_base
from support.filesystem import attached
from support.tree import TOP, files

WIPERD, AGENT, SERVER = (
    "nullbay-wiperd.service",
    "nullbay-agent.service",
    "nullbay-server.service",
)
STATES = ("var/lib/nullbay", "var/lib/nullbay-wiperd", "var/lib/nullbay-server")
EVIDENCE = (
    "var/lib/nullbay/journal.sqlite3",
    "var/lib/nullbay/records/job/record.sigstore.json",
    "var/lib/nullbay-wiperd/jobs/job/ranges",
    "var/lib/nullbay-server/server.sqlite3",
)
MEMORY_BYTES = 8 << 30
PINS = "var/lib/nullbay-wiperd/pins.toml"


def build(tree: Path, out: Path, **environment: str) -> Path:
    done = subprocess.run(
        [tree / "debian/build-deb", "--out", out, "--compression", "none"],
        env=os.environ | {"SOURCE_DATE_EPOCH": "1767225600"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Everything of this module, some two gigabytes: in memory where there is plenty of it.

    dpkg waits for the disk after every file, and a disk that other tests work on lets it wait.
    """
    path = tmp_path_factory.mktemp("deb")
    path.chmod(0o755)
    if psutil.virtual_memory().available < MEMORY_BYTES:
        yield path
        shutil.rmtree(path)
        return
    options = ["-t", "tmpfs", "-o", "mode=755,size=5g"]
    subprocess.run(["mount", *options, "nullbay-test", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.fixture(scope="module")
def tree(folder: Path) -> Path:
    """The tree as it is now, with its environment: nobody edits it between two builds."""
    copy = folder / "tree"
    for path in files():
        target = copy / path.relative_to(TOP)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    subprocess.run(["git", "init", "-q", copy], check=True)
    (copy / ".git/info/exclude").write_text("/.venv\n")
    (copy / ".venv").symlink_to(TOP / ".venv")
    return copy


@pytest.fixture(scope="module")
def package(tree: Path, folder: Path) -> Path:
    return build(tree, folder / "out", TMPDIR=str(folder))


@pytest.fixture(scope="module")
def older(package: Path, folder: Path) -> Path:
    """The same program under an older version number, with a file that says so."""
    tree = folder / "older"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {__version__}", "Version: 0.0.9"))
    (tree / "opt/nullbay/older").touch()
    built = folder / "nullbay_0.0.9.deb"
    command: list[str | Path] = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, built]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(tree)
    return built


@pytest.fixture(scope="module")
def base(folder: Path) -> Path:
    version = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", "import sys; print(sys.version_info[1])"],
        capture_output=True,
        text=True,
        check=True,
    )
    try:
        make_base(folder / "base", version.stdout.strip())
    except NoRoomError as reason:
        pytest.skip(f"no throw-away Debian can be made here: {reason}")
    return folder / "base"


@pytest.fixture(scope="module")
def with_package(base: Path, package: Path, folder: Path) -> Room:
    room = Room.copied(base, folder / "with-package")
    room.install(package).ok()
    room.told_systemd()
    return room


@pytest.fixture(scope="module")
def with_older(base: Path, older: Path, folder: Path) -> Room:
    room = Room.copied(base, folder / "with-older")
    room.install(older).ok()
    room.told_systemd()
    return room


@pytest.fixture
def empty(base: Path, folder: Path) -> Iterator[Room]:
    with Room(base).changed(folder / "changes") as room:
        yield room


@pytest.fixture
def installed(with_package: Room, folder: Path) -> Iterator[Room]:
    with with_package.changed(folder / "changes") as room:
        yield room


@pytest.fixture
def outdated(with_older: Room, folder: Path) -> Iterator[Room]:
    with with_older.changed(folder / "changes") as room:
        yield room


def leave_evidence(room: Room) -> None:
    for name in EVIDENCE:
        room.write(name, "evidence")


def is_there(room: Room, *names: str) -> list[bool]:
    return [(room.root / name).exists() for name in names]


# --- what is in it -----------------------------------------------------------------------------


def members(package: Path, scratch: Path) -> list[tarfile.TarInfo]:
    data = scratch / "data.tar"
    with data.open("wb") as file:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=file, check=True)
    with tarfile.open(data) as archive:
        return archive.getmembers()


def test_everything_belongs_to_root_and_nobody_else_may_change_it(
    package: Path, tmp_path: Path
) -> None:
    found = members(package, tmp_path)
    assert len(found) > 1000
    others_write = stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID
    wrong = [
        one.name
        for one in found
        if (one.uid, one.gid) != (0, 0) or (one.mode & others_write and not one.issym())
    ]
    assert not wrong


def test_nothing_in_it_says_where_it_was_built(package: Path, folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.tar"
    with data.open("wb") as file:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=file, check=True)
    with data.open("rb") as source, mmap.mmap(source.fileno(), 0, prot=mmap.PROT_READ) as content:
        assert content.find(b"/opt/nullbay/bin/python3") > 0
        assert content.find(os.fsencode(folder)) < 0
    data.unlink()


def test_the_same_tree_gives_the_same_bytes(tree: Path, package: Path, folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    again = build(tree, folder / "again", TMPDIR=str(elsewhere))
    assert again.read_bytes() == package.read_bytes()
    again.unlink()


# --- installing --------------------------------------------------------------------------------


def test_an_installation_works_and_starts_nothing(empty: Room, package: Path) -> None:
    told = empty.install(package).ok()
    assert empty.run("nullbay", "--version").ok().strip() == f"nullbay {__version__}"
    assert empty.run("nullbay", "config", "check").code == 0
    assert not empty.run("dpkg", "--verify", "nullbay").ok()
    assert empty.told_systemd() == ["daemon-reload new"]
    for service in (WIPERD, AGENT, SERVER):
        assert empty.run("systemctl", "is-enabled", service).out.strip() == "disabled"
    owners = empty.run("stat", "-c", "%U:%G %a", *(f"/{state}" for state in STATES)).ok()
    assert owners.splitlines() == [
        "nullbay:nullbay 700",
        "root:nullbay 700",
        "nullbay-server:nullbay-server 700",
    ]
    owners = empty.run("stat", "-c", "%U:%G %a", "/etc/nullbay", "/etc/nullbay-server").ok()
    assert owners.splitlines() == ["root:nullbay 750", "root:nullbay-server 750"]
    assert "No service is enabled" in told
    # units as systemd in there reads them, with every path they name
    units = [f"/usr/lib/systemd/system/{name}" for name in (WIPERD, AGENT, SERVER)]
    assert empty.run("systemd-analyze", "verify", "--man=no", *units).ok() == ""


def test_the_program_in_it_erases_and_certifies(installed: Room) -> None:
    """With only what the package brings and depends on: native parts, fonts, policies."""
    told = installed.run("nullbay", "demo", "--help").ok()
    assert "usage" in told.lower()
    code = (
        "import sys, aiohttp, alembic, jinja2, psycopg, pyudev, sqlalchemy, structlog, typst\n"
        "import prometheus_client, psutil, segno, zstandard, pydantic\n"
        "from cryptography.hazmat.primitives.ciphers import Cipher\n"
        "import nullbay.cli.main\n"
        "ours = ('/usr/lib', '/opt/nullbay')\n"
        "print(sys.prefix, [path for path in sys.path if not path.startswith(ours)])"
    )
    assert installed.run("/opt/nullbay/bin/python3", "-I", "-c", code).ok() == "/opt/nullbay []\n"


def test_pins_are_made_once_and_a_failure_is_told(outdated: Room) -> None:
    """Nothing pins a disk without serial; what is pinned stays, whatever is booted."""
    postinst = ("sh", "/var/lib/dpkg/info/nullbay.postinst", "configure", "")
    link = outdated.root / "usr/bin/nullbay"
    link.unlink()
    outdated.write("usr/bin/nullbay", '#!/bin/sh\necho "$*, and no disk has a serial"; exit 1\n')
    link.chmod(0o755)
    (outdated.root / PINS).unlink(missing_ok=True)
    told = outdated.run(*postinst).ok()
    assert "could not be pinned" in told
    assert "no disk has a serial" in told
    assert "station pin --state-dir /var/lib/nullbay-wiperd" in told
    outdated.write(
        "usr/bin/nullbay", '#!/bin/sh\necho "pinned Model Serial"; echo pins >"$4/pins.toml"\n'
    )
    assert "nullbay: pinned Model Serial" in outdated.run(*postinst).ok()
    outdated.write(
        "usr/bin/nullbay", '#!/bin/sh\necho "pinned a clone"; echo clone >"$4/pins.toml"\n'
    )
    assert "pinned" not in outdated.run(*postinst).ok()
    assert (outdated.root / PINS).read_text() == "pins\n"


# --- upgrading ---------------------------------------------------------------------------------


def test_an_upgrade_at_work_drains_replaces_and_starts_again(outdated: Room, package: Path) -> None:
    leave_evidence(outdated)
    outdated.write(PINS, "pins")
    own = 'schema = "nullbay.config/1"\n[station]\nname = "bench-1"\n'
    outdated.write("etc/nullbay/nullbay.toml", own)
    outdated.start(AGENT, WIPERD)
    outdated.told_systemd()
    told = outdated.install(package).ok()
    assert outdated.version() == __version__
    assert outdated.told_systemd() == [
        f"stop {AGENT} old",
        f"stop {WIPERD} old",
        "daemon-reload new",
        f"start {WIPERD} new",
        f"start {AGENT} new",
    ]
    assert "their jobs resume afterwards" in told
    assert all(is_there(outdated, *EVIDENCE))
    assert (outdated.root / PINS).read_text() == "pins"
    assert (outdated.root / "etc/nullbay/nullbay.toml").read_text() == own
    assert not (outdated.root / "opt/nullbay/older").exists()
    # a later upgrade starts nothing that was stopped by hand in between
    (outdated.root / "srv/systemd/active" / AGENT).unlink()
    outdated.install(package).ok()
    assert f"start {AGENT} new" not in outdated.told_systemd()


def test_an_upgrade_does_not_go_on_while_a_drive_cannot_be_stopped(
    outdated: Room, package: Path
) -> None:
    outdated.start(AGENT, WIPERD)
    outdated.refuse_to_stop(WIPERD)
    outdated.told_systemd()
    done = outdated.install(package)
    assert done.code != 0
    assert f"{WIPERD} could not be stopped" in done.out
    assert outdated.version() == "0.0.9"
    assert (outdated.root / "opt/nullbay/older").exists()
    told = outdated.told_systemd()
    assert told[:2] == [f"stop {AGENT} old", f"stop {WIPERD} old"]
    assert told[-1] == f"start {AGENT} old"
    assert all(line.endswith(" old") for line in told)


BEGIN = """
import json, subprocess, sys
command = ["/usr/bin/nullbay", "wipe", *sys.argv[1:], "--rate-limit", "16", "--json"]
with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as wipe:
    for line in wipe.stdout:
        told = json.loads(line)
        if told["schema"] == "nullbay.progress/1" and int(told["done_bytes"]) >= 4 << 20:
            wipe.kill()
            print("killed at work")
            break
"""


def test_a_job_under_way_survives_the_upgrade(
    with_older: Room, package: Path, folder: Path, tmp_path: Path
) -> None:
    """Killed rather than drained, which is worse: begun by the old program, ended by the new.

    In a plain folder: a root of layers lies on no drive that could be told, and nothing is wiped.
    """
    outdated = Room.copied(with_older.root, folder / "at-work")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    with attached(image) as device:
        listed = outdated.run(
            "nullbay", "drives", device, "--outside-bays", "--state-dir", "/srv/state", "--json"
        ).ok()
        (drive,) = json.loads(listed)["drives"]
        told = [device, "--policy", "nist-clear-full", "--confirm", drive["confirm"]]
        told += ["--outside-bays", "--state-dir", "/srv/state", "--out", "/srv/record"]
        begun = outdated.run("/opt/nullbay/bin/python3", "-I", "-c", BEGIN, *told)
        assert begun.ok() == "killed at work\n"
        outdated.install(package).ok()
        assert outdated.version() == __version__
        done = outdated.run("nullbay", "wipe", *told, "--json")
    last = json.loads(done.out.splitlines()[-1])
    assert last["verdict"] in {"SANITIZED", "SANITIZED_WITH_EXCEPTIONS"}
    (job,) = json.loads(
        outdated.run("nullbay", "jobs", "--state-dir", "/srv/state", "--json").ok()
    )["jobs"]
    assert (job["sessions"], job["open"]) == (2, False)


# --- removing and purging ----------------------------------------------------------------------


def test_removing_keeps_state_and_leaves_nothing_enabled(installed: Room) -> None:
    leave_evidence(installed)
    installed.run("systemctl", "enable", WIPERD, AGENT).ok()
    wanted = installed.root / "etc/systemd/system/multi-user.target.wants"
    assert sorted(path.name for path in wanted.glob("nullbay-*")) == [AGENT, WIPERD]
    installed.start(WIPERD)
    installed.told_systemd()
    installed.run("dpkg", "--remove", "nullbay").ok()
    assert installed.told_systemd() == [f"stop {WIPERD} new", "daemon-reload new"]
    assert not list(wanted.glob("nullbay-*"))
    assert all(is_there(installed, *EVIDENCE, "etc/nullbay/nullbay.toml"))
    assert not any(is_there(installed, "opt/nullbay", "usr/bin/nullbay"))


def test_a_purge_that_nobody_answers_keeps_evidence(installed: Room) -> None:
    leave_evidence(installed)
    told = installed.run("dpkg", "--purge", "nullbay").ok()
    assert all(is_there(installed, *EVIDENCE))
    assert "/var/lib/nullbay is kept" in told
    assert not any(is_there(installed, "opt/nullbay", "etc/nullbay", "etc/nullbay-server"))


def test_a_purge_answered_with_yes_deletes_it(installed: Room) -> None:
    leave_evidence(installed)
    answer = "nullbay nullbay/delete-evidence boolean true\n"
    installed.run("debconf-set-selections", stdin=answer).ok()
    # an answer given beforehand is for purging: neither removing nor installing deletes anything
    installed.run("dpkg", "--remove", "nullbay").ok()
    assert all(is_there(installed, *EVIDENCE))
    told = installed.run("dpkg", "--purge", "nullbay").ok()
    assert not any(is_there(installed, *STATES))
    assert "are deleted" in told


def test_an_empty_state_leaves_nothing_behind(installed: Room) -> None:
    (installed.root / PINS).unlink(missing_ok=True)
    installed.run("dpkg", "--purge", "nullbay").ok()
    assert not any(is_there(installed, *STATES, "opt/nullbay", "etc/nullbay"))
