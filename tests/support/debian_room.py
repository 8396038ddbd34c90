"""A throw-away Debian: a root of its own with its own mounts and processes, and nothing of ours."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NEEDED = "python3.{minor},systemd,libudev1,libstdc++6,zlib1g"
# Mounts and processes end with the command; the root stays a plain folder.
_ENTER = (
    'mount --make-rprivate / && mount --rbind "$0" "$0" && mount -t proc proc "$0/proc"'
    ' && mount --rbind /sys "$0/sys" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
)
_PLAIN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
# What a maintainer script says to systemd: written down, with which program was in place then.
# Services are files; one in `refuses` does not stop. Enabling and disabling is the real thing.
_SYSTEMCTL = """#!/bin/sh
while case "$1" in --quiet|--no-reload) true;; *) false;; esac; do shift; done
if [ -e /opt/nullbay/older ]; then place=old; else place=new; fi
active=/srv/systemd/active/$2
case "$1" in
is-active) [ -e "$active" ]; exit;;
stop) echo "stop $2 $place" >>/srv/systemd/told
  [ ! -e "/srv/systemd/refuses/$2" ] || exit 1
  rm -f "$active";;
start) echo "start $2 $place" >>/srv/systemd/told; touch "$active";;
daemon-reload) echo "daemon-reload $place" >>/srv/systemd/told;;
*) SYSTEMD_OFFLINE=1 exec /usr/bin/systemctl "$@";;
esac
"""


class NoRoomError(Exception):
    """This machine cannot make one; the text says why."""


def mirror() -> tuple[str, str]:
    """Where and by what name this machine's apt gets its own Debian from. Raises NoRoomError."""
    told = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(LABEL)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)",
            "Created-By: Packages",
        ],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    release = Path("/etc/os-release").read_text()
    for line in told.splitlines():
        label, component, codename, address = line.split("|", 3)
        if label == "Debian" and component == "main" and f"VERSION_CODENAME={codename}" in release:
            return address, codename
    raise NoRoomError("apt knows no Debian mirror of this release")


def make_base(folder: Path, python_minor: str) -> None:
    """A minimal Debian like this machine's, with a systemd that only writes down what it is told.

    Raises NoRoomError with debootstrap's last word.
    """
    if shutil.which("debootstrap") is None:
        raise NoRoomError("debootstrap is not installed")
    address, codename = mirror()
    include = NEEDED.format(minor=python_minor)
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={include}", codename, folder, address],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise NoRoomError(f"debootstrap failed: {last}")
    # Copied for every test: without what no test reads.
    for unread in ("var/cache/apt", "var/lib/apt/lists", "usr/share/locale", "usr/share/doc"):
        shutil.rmtree(folder / unread)
    room = Room(folder)
    room.write("usr/local/sbin/systemctl", _SYSTEMCTL).chmod(0o755)
    for place in ("run/systemd/system", "srv/systemd/active", "srv/systemd/refuses"):
        (folder / place).mkdir(parents=True)


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str

    def ok(self) -> str:
        """Its output; AssertionError where it failed."""
        assert self.code == 0, self.out
        return self.out


@dataclass(frozen=True)
class Room:
    """One root."""

    root: Path

    @classmethod
    def copied(cls, base: Path, root: Path) -> Room:
        """A folder of its own, with everything of another."""
        subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)
        return cls(root)

    @contextmanager
    def changed(self, scratch: Path) -> Iterator[Room]:
        """The same root, where every change is forgotten at the end of the block."""
        places = [scratch / name for name in ("upper", "work", "root")]
        for place in places:
            place.mkdir(parents=True)
        layers = f"lowerdir={self.root},upperdir={places[0]},workdir={places[1]}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, places[2]], check=True)
        try:
            yield Room(places[2])
        finally:
            subprocess.run(["umount", places[2]], check=True)
            shutil.rmtree(scratch)

    def run(self, *command: str, stdin: str = "", **environment: str) -> Done:
        """A command inside, as root, with mounts and processes of its own."""
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "sh", "-c", _ENTER, self.root, *command],
            env=_PLAIN | environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout)

    def install(self, package: Path) -> Done:
        """Dpkg, with the package from outside."""
        inside = self.root / "srv" / package.name
        shutil.copyfile(package, inside)
        done = self.run("dpkg", "--install", f"/srv/{package.name}")
        inside.unlink()
        return done

    def version(self) -> str:
        """What dpkg calls installed; empty where nothing is."""
        query = "${db:Status-Status} ${Version}"
        told = self.run("dpkg-query", "--show", f"--showformat={query}", "nullbay").out
        return told.removeprefix("installed ") if told.startswith("installed ") else ""

    def write(self, path: str, text: str) -> Path:
        """A file inside."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def start(self, *services: str) -> None:
        """Have them running, as the scripts see it."""
        for service in services:
            (self.root / "srv/systemd/active" / service).touch()

    def refuse_to_stop(self, service: str) -> None:
        """A drive of it is at work that cannot be interrupted."""
        (self.root / "srv/systemd/refuses" / service).touch()

    def told_systemd(self) -> list[str]:
        """What the scripts said since the last time, with the program in place then."""
        file = self.root / "srv/systemd/told"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines
