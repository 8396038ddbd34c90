"""What the host does with its block devices: mounts in every mount namespace, swap, holders.

Read from /proc and /sys, nothing is opened. A mount that no process can see any more (a namespace
kept by a file, a lazy unmount) is not found here; it still holds the device, so that the exclusive
open of access.py fails on it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nullbay.domain.clock import Clock
from nullbay.domain.drive import Drive
from nullbay.domain.ports import HostAnswer, Use, UseKind
from nullbay.domain.text import show
from nullbay.wipers.platform import mounts, others, sysfs
from nullbay.wipers.platform.discover import list_drives
from nullbay.wipers.platform.mounts import Mount
from nullbay.wipers.platform.sysfs import DEFAULT_ROOTS, Roots

MOUNTINFO_MAX_BYTES = 16 << 20
_SHOWN = 120
# File systems under / that lie on no drive at all.
_DRIVELESS = frozenset(
    {"tmpfs", "ramfs", "rootfs", "nfs", "nfs4", "9p", "virtiofs", "cifs", "smb3"}
)
# A process that ended meanwhile, or has no mounts (a zombie): nothing to ask.
_VANISHED = frozenset({errno.ENOENT, errno.ESRCH, errno.EINVAL, errno.ENOTDIR})


@dataclass(frozen=True, slots=True)
class _View:
    """The mounts of one mount namespace, as one process sees them."""

    who: str
    is_own: bool
    mounts: list[Mount]


@dataclass(slots=True)
class _Tree:
    """Everything built on a drive: kernel names to device numbers; who holds whom."""

    numbers: dict[str, str] = field(default_factory=dict)
    holders: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Pool:
    """A mounted file system of several devices; `ours` is the member that belongs to the drive."""

    kind: str
    uuid: str
    members: set[str]
    ours: str


class LinuxHostFacts:
    """HostFacts of this machine. Asks anew at each call."""

    def __init__(self, *, roots: Roots = DEFAULT_ROOTS, clock: Clock | None = None) -> None:
        """`roots` say where sysfs, procfs and the nodes are."""
        self._roots = roots
        self._clock = clock

    def uses_of(self, drive: Drive) -> HostAnswer:
        """Every use of the drive's nodes, of their partitions, and of what is built on them.

        What could not be read stands in `undetermined`, each with the reason.
        """
        undetermined: list[str] = []
        tree = self._tree(node.name for node in drive.attachment.nodes)
        uses = [Use(below, UseKind.HOLDER, self._holder(name)) for name, below in tree.holders]
        uses += self._swaps(tree, undetermined)
        uses += others.writers({number: name for name, number in tree.numbers.items()}, self._roots)
        for node in drive.attachment.nodes:
            uses += others.beneath(node.name, self._roots)
        views = self._views(undetermined)
        uses += self._mounts(tree, views)
        if views and not self._is_root_known(views):
            undetermined.append("the root file system could not be followed to a drive")
        return HostAnswer(tuple(dict.fromkeys(uses)), tuple(dict.fromkeys(undetermined)))

    def root_drive(self) -> Drive | None:
        """The drive under / (the first of several); None where it cannot be determined."""
        names = self._root_nodes(self._views([]))
        for drive in list_drives(roots=self._roots, clock=self._clock):
            if any(node.name in names for node in drive.attachment.nodes):
                return drive
        return None

    # --- what is built on a drive ---------------------------------------------------------------

    def _tree(self, names: Iterator[str]) -> _Tree:
        tree = _Tree()
        loops = self._loops_on_devices()
        todo = list(names)
        while todo:
            name = todo.pop()
            if name in tree.numbers:
                continue
            path = self._class(name)
            tree.numbers[name] = sysfs.devnum(path)
            todo += [part.name for part in sysfs.partitions(path)]
            on_top = [entry.name for entry in sysfs.entries(path / "holders")]
            on_top += [loop for loop, backing in loops if backing == name]
            tree.holders += [(holder, name) for holder in on_top]
            todo += on_top
        return tree

    def _class(self, name: str) -> Path:
        return self._roots.sysfs / "class" / "block" / name

    def _loops_on_devices(self) -> list[tuple[str, str]]:
        """Loop devices whose backing file is itself a block device, with that device's name."""
        found = []
        for path in sysfs.entries(self._roots.block):
            if path.name.startswith("loop"):
                name = self._node_of(sysfs.text(path / "loop", "backing_file"))
                found += [(path.name, name)] if name else []
        return found

    def _node_of(self, path: bytes) -> str:
        """The kernel's name of a block device given as a path below /dev, links followed."""
        if not path.startswith(b"/dev/"):
            return ""
        inside = path.removeprefix(b"/dev/").removesuffix(b" (deleted)")
        name = Path(os.path.realpath(self._roots.dev / os.fsdecode(inside))).name
        return name if self._class(name).exists() else ""

    def _holder(self, name: str) -> str:
        path = self._class(name)
        if name.startswith("loop"):
            return f"{show(name)} is a loop device on it"
        title = sysfs.text(path / "dm", "name")
        level = sysfs.text(path / "md", "level")
        if title:
            return f"{show(name)} is built on it, mapped device {show(title, _SHOWN)}"
        return f"{show(name)} is built on it" + (f", {show(level)}" if level else "")

    # --- swap and mounts ------------------------------------------------------------------------

    def _swaps(self, tree: _Tree, undetermined: list[str]) -> Iterator[Use]:
        try:
            content = _capped(self._roots.proc / "swaps")
        except OSError as error:
            if error.errno != errno.ENOENT:  # a kernel without swap has no such file
                undetermined.append(f"swap areas: {error.strerror}")
            return
        for path in mounts.parse_swaps(content):
            name = self._node_of(path)
            if name in tree.numbers:
                yield Use(name, UseKind.SWAP, f"swap area {show(path, _SHOWN)}")

    def _mounts(self, tree: _Tree, views: list[_View]) -> Iterator[Use]:
        names = {number: name for name, number in tree.numbers.items() if number}
        pools = self._pools(tree)
        seen: set[tuple[str, bytes]] = set()
        for view in views:
            for mount in view.mounts:
                name = names.get(mount.devnum) or self._by_source(mount, tree, pools)
                if not name or (name, mount.point) in seen:
                    continue
                seen.add((name, mount.point))
                where = f"mounted at {show(mount.point, _SHOWN)} ({show(mount.fstype)})"
                if not view.is_own:
                    where += f" in the mount namespace of {view.who}"
                system = view.is_own and mount.is_system
                yield Use(name, UseKind.SYSTEM if system else UseKind.MOUNT, where)
        named = {name for name, _ in seen}
        for pool in pools:
            if pool.ours not in named:
                what = f"member of the {pool.kind} file system {show(pool.uuid)}"
                yield Use(pool.ours, UseKind.MOUNT, what)

    def _pools(self, tree: _Tree) -> list[_Pool]:
        """Mounted file systems of several devices with a member in the tree.

        Their mounts have a device number of their own; the members stand in sysfs.
        """
        found = []
        for kind in ("btrfs", "bcachefs"):
            for path in sysfs.entries(self._roots.sysfs / "fs" / kind):
                members = pool_members(path)
                ours = sorted(members & tree.numbers.keys())
                found += [_Pool(kind, path.name, members, name) for name in ours]
        return found

    def _by_source(self, mount: Mount, tree: _Tree, pools: list[_Pool]) -> str:
        """The node of the tree that a mount with an anonymous device number is of."""
        if not mount.devnum.startswith("0:"):
            return ""
        source = self._node_of(mount.source)
        if source in tree.numbers:
            return source
        for pool in pools:
            if pool.kind == mount.fstype and source in pool.members:
                return pool.ours
        return ""

    def _views(self, undetermined: list[str]) -> list[_View]:
        """One view for each mount namespace and root directory, this process and init first."""
        found: list[_View] = []
        seen: set[tuple[str, str]] = set()
        pids = [entry.name for entry in sysfs.entries(self._roots.proc) if entry.name.isdigit()]
        own = self._key("self")
        unreadable: dict[str, int] = {}
        for pid in ["self", *sorted(pids, key=int)]:
            key = self._key(pid)
            if key is not None and key in seen:
                continue
            try:
                content = _capped(self._roots.proc / pid / "mountinfo")
            except OSError as error:
                if error.errno not in _VANISHED:
                    reason = error.strerror or "unreadable"
                    unreadable[reason] = unreadable.get(reason, 0) + 1
                continue
            if key is not None:
                seen.add(key)
            is_own = pid in ("self", "1") or (key is not None and key == own)
            found.append(_View(f"process {pid}", is_own, mounts.parse_mountinfo(content)))
        for reason, count in unreadable.items():
            undetermined.append(f"mounts of {count} processes: {reason}")
        if not any(view.mounts for view in found):
            undetermined.append("mounts: nothing could be read")
        elif os.geteuid() != 0 and _hides_processes(found[0].mounts):
            undetermined.append("mounts of other people's processes: /proc hides them (hidepid)")
        return found

    def _key(self, pid: str) -> tuple[str, str] | None:
        """Mount namespace and root directory of a process; None where it must be read to know.

        A process in a chroot sees only the mounts below its root, so the namespace alone would let
        it stand for those who see more.
        """
        process = self._roots.proc / pid
        try:
            return str((process / "ns" / "mnt").readlink()), str((process / "root").readlink())
        except OSError:
            return None

    # --- the drive under / ----------------------------------------------------------------------

    def _root_mount(self, views: list[_View]) -> Mount | None:
        """What is mounted at / for init, or for this process; the last one is on top."""
        for who in ("process 1", "process self"):
            for view in views:
                if view.who == who:
                    at_root = [mount for mount in view.mounts if mount.point == b"/"]
                    if at_root:
                        return at_root[-1]
        return None

    def _is_root_known(self, views: list[_View]) -> bool:
        mount = self._root_mount(views)
        if mount is not None and mount.fstype in _DRIVELESS:
            return True
        return bool(self._root_nodes(views))

    def _root_nodes(self, views: list[_View]) -> set[str]:
        """Kernel names of the whole disks under /, empty where that cannot be told."""
        mount = self._root_mount(views)
        if mount is None:
            return set()
        if not mount.devnum.startswith("0:"):
            name = sysfs.link_name(self._roots.sysfs / "dev" / "block" / mount.devnum)
            return self._disks_under(name)
        source = self._node_of(mount.source)
        for pool in sysfs.entries(self._roots.sysfs / "fs" / mount.fstype):
            members = pool_members(pool)
            if source in members:
                return {disk for member in members for disk in self._disks_under(member)}
        return set()

    def _disks_under(self, name: str) -> set[str]:
        """The whole disks a device stands on: through partitions, `slaves`, loops on devices."""
        found: set[str] = set()
        todo, seen = [name], set[str]()
        loops = dict(self._loops_on_devices())
        while todo:
            name = todo.pop()
            if not name or name in seen:
                continue
            seen.add(name)
            path = self._class(name)
            if (path / "partition").exists():
                todo.append(Path(os.path.realpath(path)).parent.name)
                continue
            below = [entry.name for entry in sysfs.entries(path / "slaves")]
            below += [loops[name]] if name in loops else []
            todo += below
            if not below:
                found.add(name)
        return found


def pool_members(pool: Path) -> set[str]:
    """Kernel names of the devices of a mounted btrfs (`devices/`) or bcachefs (`dev-N/block`)."""
    members = {entry.name for entry in sysfs.entries(pool / "devices")}
    for entry in sysfs.entries(pool):
        if entry.name.startswith("dev-"):
            members.add(sysfs.link_name(entry / "block"))
    return members - {""}


def _hides_processes(own: list[Mount]) -> bool:
    return any(
        mount.fstype == "proc" and b"hidepid" in mount.options and b"hidepid=0" not in mount.options
        for mount in own
    )


def _capped(path: Path) -> bytes:
    """The whole of a procfs file. Raises OSError, also where it is larger than 16 MiB."""
    with path.open("rb", buffering=0) as file:
        parts = []
        total = 0
        while part := file.read(1 << 16):
            total += len(part)
            if total > MOUNTINFO_MAX_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            parts.append(part)
        return b"".join(parts)
