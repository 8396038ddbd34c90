"""A real file system full of known files on a loop device, and the scan for what is left."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nullbay.wipers.platform import loop

SECTOR = 512
LINES_PER_FILE = 3000
FILES = 40


def line(file: int, number: int) -> bytes:
    """32 bytes that stand nowhere else."""
    return hashlib.sha256(b"known file %d line %d" % (file, number)).hexdigest()[:32].encode()


def content(file: int) -> bytes:
    """About 100 kB of text."""
    return b"".join(line(file, number) + b"\n" for number in range(LINES_PER_FILE))


@contextmanager
def attached(image: Path, sector_bytes: int = 512) -> Iterator[str]:
    """The image as a loop device, released whatever happens."""
    device = loop.attach(image, sector_bytes=sector_bytes)
    try:
        yield device.device
    finally:
        loop.detach(device)


@contextmanager
def mounted(device: str, at: Path) -> Iterator[Path]:
    """Its file system, unmounted whatever happens."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "ext4", device, at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


@dataclass(frozen=True)
class KnownFiles:
    """An image with an ext4 full of files of which every byte is known."""

    image: Path

    @property
    def size_bytes(self) -> int:
        return self.image.stat().st_size

    def fill(self, device: str, at: Path) -> None:
        """Make the file system and write the files."""
        subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", device], check=True)
        with mounted(device, at) as root:
            for number in range(FILES):
                folder = root / f"customer-folder-{number % 7}"
                folder.mkdir(exist_ok=True)
                (folder / f"customer-file-{number:04}.txt").write_bytes(content(number))

    def are_whole(self, root: Path) -> bool:
        """Whether every file still reads as it was written."""
        return all(
            (root / f"customer-folder-{number % 7}" / f"customer-file-{number:04}.txt").read_bytes()
            == content(number)
            for number in range(FILES)
        )

    def sectors_left(self) -> int:
        """512-byte sectors of the image that are a sector of one of the files."""
        pieces = set()
        for number in range(FILES):
            whole = content(number)
            pieces |= {whole[at : at + SECTOR] for at in range(0, len(whole), SECTOR)}
        raw = self.image.read_bytes()
        return sum(raw[at : at + SECTOR] in pieces for at in range(0, len(raw), SECTOR))

    def needles_left(self, scratch: Path) -> int:
        """Lines of the image, wherever they begin, that hold 32 bytes of a file, or a name."""
        needles = [line(file, number) for file in range(FILES) for number in range(LINES_PER_FILE)]
        needles += [b"customer-folder-", b"customer-file-"]
        scratch.write_bytes(b"\n".join(needles) + b"\n")
        done = subprocess.run(
            ["grep", "-c", "-a", "-F", "-f", scratch, self.image],
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            check=False,
        )
        assert done.returncode in {0, 1}, done.stderr
        return int(done.stdout)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
