"""Trees of plain files that look like /sys, /dev and /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from nullbay.wipers.platform.sysfs import Roots


class Tree:
    """A sysfs, a /dev and a procfs below a directory; nothing in it is a device."""

    def __init__(self, top: Path) -> None:
        self.roots = Roots(sysfs=top / "sys", dev=top / "dev", proc=top / "proc")
        for part in ("block", "class/block", "dev/block", "devices"):
            (self.roots.sysfs / part).mkdir(parents=True)
        self.roots.dev.mkdir()
        self.roots.proc.mkdir()
        self._numbers = 0

    def write(self, path: Path, values: Mapping[str, bytes | str | int]) -> None:
        """Attributes below a directory; text ends with a line break, bytes are as they are."""
        for name, value in values.items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(value if isinstance(value, bytes) else f"{value}\n".encode())

    def disk(
        self,
        name: str,
        device: str,
        attributes: Mapping[str, bytes | str | int] | None = None,
        *,
        sectors: int = 2048,
        logical: int = 512,
        whole: bool = True,
    ) -> Path:
        """A block device below /sys/devices, with its links in block, class/block and dev/block."""
        self._numbers += 1
        number = f"8:{16 * self._numbers}"
        path = self.roots.sysfs / "devices" / device / name
        defaults: Mapping[str, bytes | str | int] = {
            "dev": number,
            "diskseq": 100 + self._numbers,
            "size": sectors,
            "ro": 0,
            "removable": 0,
            "queue/logical_block_size": logical,
            "queue/physical_block_size": 4096,
            "queue/rotational": 1,
        }
        self.write(path, {**defaults, **(attributes or {})})
        for directory in ("holders", "slaves"):
            (path / directory).mkdir(exist_ok=True)
        self.link(self.roots.sysfs / "class" / "block" / name, path)
        self.link(self.roots.sysfs / "dev" / "block" / number, path)
        if whole:
            self.link(self.roots.sysfs / "block" / name, path)
        (self.roots.dev / name).touch()
        return path

    def scsi(
        self,
        name: str,
        target: str,
        device: Mapping[str, bytes | str | int],
        attributes: Mapping[str, bytes | str | int] | None = None,
        *,
        lun: int = 0,
        sectors: int = 2048,
    ) -> Path:
        """An sd disk: `target` is the path up to and with targetH:C:T."""
        address = f"{target.rsplit('target', 1)[1]}:{lun}"
        above = f"{target}/{address}"
        disk = self.disk(name, f"{above}/block", attributes, sectors=sectors)
        self.write(self.roots.sysfs / "devices" / above, {"type": 0, **device})
        self.link(disk / "device", self.roots.sysfs / "devices" / above)
        return disk

    def partition(self, disk: Path, number: int) -> Path:
        """A partition below a disk."""
        name = f"{disk.name}{number}"
        inside = disk.relative_to(self.roots.sysfs / "devices")
        return self.disk(name, str(inside), {"partition": number}, whole=False)

    def loop(self, name: str, file: str, *, sectors: int = 2048, logical: int = 512) -> Path:
        """A loop device with a file behind it; an empty name leaves it empty."""
        given: Mapping[str, bytes | str | int] = {}
        if file:
            given = {"loop/backing_file": file, "loop/offset": 0, "loop/sizelimit": 0}
        return self.disk(name, "virtual/block", given, sectors=sectors, logical=logical)

    def nvme(self, controller: str, device: str, values: Mapping[str, bytes | str | int]) -> Path:
        """An NVMe controller."""
        path = self.roots.sysfs / "devices" / device / controller
        self.write(path, {"cntlid": 0, "transport": "pcie", **values})
        return path

    def holds(self, holder: Path, below: Path) -> None:
        """`holder` is built on `below`."""
        self.link(below / "holders" / holder.name, holder)
        self.link(holder / "slaves" / below.name, below)

    def link(self, where: Path, target: Path) -> None:
        """A relative link, as sysfs has them."""
        where.parent.mkdir(parents=True, exist_ok=True)
        where.symlink_to(os.path.relpath(target, where.parent.resolve()))

    def number(self, name: str) -> str:
        """`major:minor` of a device of the tree."""
        return (self.roots.sysfs / "class" / "block" / name / "dev").read_text().strip()

    def process(
        self, pid: int | str, mounts: list[str], *, namespace: str = "mnt:[1]", root: str = "/"
    ) -> Path:
        """A process with its mountinfo lines."""
        path = self.roots.proc / str(pid)
        self.write(path, {"mountinfo": "\n".join(mounts), "comm": f"program-{pid}"})
        (path / "ns").mkdir()
        (path / "ns" / "mnt").symlink_to(namespace)
        (path / "root").symlink_to(root)
        return path


def mount(number: str, point: str, fstype: str = "ext4", source: str = "/dev/x") -> str:
    """One line of mountinfo."""
    return f"36 35 {number} / {point} rw,noatime shared:1 - {fstype} {source} rw"
