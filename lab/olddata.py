"""What somebody left on a drive made of software: text any scan recognises, sector by sector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nullbay.domain.ranges import ByteRange, RangeSet

LINE_BYTES = 64
CHUNK_SECTORS = 2048


@dataclass(frozen=True, slots=True)
class OldData:
    """Every `every`-th sector holds lines of 64 bytes with the seed and its own LBA.

    `marker` stands once more in each of `marker_lbas`, after the first line: for proofs that a
    customer's bytes appear nowhere.
    """

    seed: int = 0
    every: int = 1
    marker: bytes = b""
    marker_lbas: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """A marker fits behind the first line of the smallest sector."""
        if len(self.marker) > 512 - LINE_BYTES or self.every < 1:
            raise ValueError("a marker has at most 448 bytes, every is at least 1")

    @property
    def signature(self) -> bytes:
        """What each of its lines begins with."""
        return b"nullbay old data, seed %016x, LBA " % (self.seed % 2**64)

    def sector(self, lba: int, sector_bytes: int) -> bytes:
        """The content of one sector; zeros where nothing was left."""
        if lba % self.every and lba not in self.marker_lbas:
            return bytes(sector_bytes)
        line = b"%s%012d......\n" % (self.signature, lba)
        content = line * (sector_bytes // LINE_BYTES)
        if lba in self.marker_lbas:
            end = LINE_BYTES + len(self.marker)
            return content[:LINE_BYTES] + self.marker + content[end:]
        return content

    def fill(self, image: Path, sectors: int, sector_bytes: int) -> None:
        """Write it into a sparse image; sectors that hold nothing stay holes."""
        with image.open("r+b") as file:
            if self.every > 1:
                lbas = {*range(0, sectors, self.every), *self.marker_lbas}
                for lba in sorted(lba for lba in lbas if lba < sectors):
                    file.seek(lba * sector_bytes)
                    file.write(self.sector(lba, sector_bytes))
                return
            for start in range(0, sectors, CHUNK_SECTORS):
                chunk = range(start, min(start + CHUNK_SECTORS, sectors))
                file.write(b"".join(self.sector(lba, sector_bytes) for lba in chunk))

    def left_on(self, image: Path, sector_bytes: int) -> tuple[ByteRange, ...]:
        """Sectors of an image in which any line of it, or the marker, still stands. Reads all."""
        found = RangeSet()
        with image.open("rb") as file:
            base = 0
            while chunk := file.read(CHUNK_SECTORS * sector_bytes):
                for at in _hits(chunk, self.signature, sector_bytes):
                    found.add(base + at, base + at + sector_bytes)
                if self.marker:
                    for at in _hits(chunk, self.marker, sector_bytes):
                        found.add(base + at, base + at + sector_bytes)
                base += len(chunk)
        return found.frozen()


def _hits(chunk: bytes, text: bytes, sector_bytes: int) -> Iterator[int]:
    """Starts of the sectors that hold the text."""
    at = chunk.find(text)
    while at >= 0:
        start = at - at % sector_bytes
        yield start
        at = chunk.find(text, start + sector_bytes)
