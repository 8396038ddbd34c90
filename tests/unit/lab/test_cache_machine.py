"""Any order of writes, flushes, power cuts, pulls and kills: what was flushed is there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nullbay.domain.clock import SystemClock
from nullbay.lab.description import CacheSpec, DriveDescription, FlushKind, LbaSpan, LossKind
from nullbay.lab.files import FileDrive, abandon, open_file_drive
from nullbay.lab.hands import cut_power, look, make_file_drive, pull, put_back

SECTORS, SECTOR = 61, 4096
CACHE_BYTES = 65_536
IGNORED = range(20, 25)
CLOCK = SystemClock()


class DriveMachine(RuleBasedStateMachine):
    """Beside the drive, for each sector: what is on the medium for sure, and what may be."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "drive.json"
        self.sure = [0] * SECTORS
        self.since: list[list[int]] = [[] for _ in range(SECTORS)]
        self.writes = 0
        self.insertions = 0

    @initialize(
        cache=st.sampled_from([None, CACHE_BYTES]),
        loss=st.sampled_from(LossKind),
        flush=st.sampled_from([FlushKind.HONEST, FlushKind.HONEST, FlushKind.IGNORED]),
        physical=st.sampled_from([4096, 16384]),
        seed=st.integers(0, 1000),
    )
    def make(
        self, cache: int | None, loss: LossKind, flush: FlushKind, physical: int, seed: int
    ) -> None:
        self.cached, self.honest = cache is not None, flush is FlushKind.HONEST
        description = DriveDescription(
            sectors=SECTORS,
            model="LAB",
            logical_sector_bytes=SECTOR,
            physical_sector_bytes=physical,
            cache=CacheSpec(cache, loss) if cache else None,
            flush=flush,
            seed=seed,
            ignored_writes=(LbaSpan(IGNORED[0], IGNORED[-1]),),
        )
        make_file_drive(self.path, description)
        self.drive = open_file_drive(self.path, CLOCK)
        self.diskseq = self.diskseq_now()

    def diskseq_now(self) -> int:
        return look(self.path, CLOCK).attachment.nodes[0].diskseq

    @rule(lba=st.integers(0, SECTORS - 1), sectors=st.integers(1, SECTORS))
    def write(self, lba: int, sectors: int) -> None:
        self.writes += 1
        lbas = range(lba, min(lba + sectors, SECTORS))
        data = b"".join(content(self.writes, one) for one in lbas)
        self.drive.port("disk").write_from(lba * SECTOR, memoryview(data))
        for one in lbas:
            self.since[one].append(self.writes)
        if not self.cached:
            self.settle()

    @rule()
    def flush(self) -> None:
        self.drive.port("disk").flush()
        if self.honest:
            self.settle()

    def settle(self) -> None:
        """All that was taken is on the medium, but for what is ignored there."""
        for lba, values in enumerate(self.since):
            if values and lba not in IGNORED:
                self.sure[lba] = values[-1]
            values.clear()

    @rule()
    def power_cut(self) -> None:
        cut_power(self.path)
        self.settle_as_found()

    @rule()
    def pull_and_put_back(self) -> None:
        pull(self.path)
        put_back(self.path)
        assert self.diskseq_now() > self.diskseq
        self.diskseq = self.diskseq_now()
        self.reopen()
        self.settle_as_found()

    @rule()
    def kill(self) -> None:
        abandon(self.path)
        self.drive = open_file_drive(self.path, CLOCK)

    def reopen(self) -> None:
        self.drive.close()
        self.drive = open_file_drive(self.path, CLOCK)

    def settle_as_found(self) -> None:
        """After a power cut each sector holds what was sure, or something written since."""
        for lba, value in enumerate(self.medium()):
            allowed = {self.sure[lba]} | (set(self.since[lba]) if lba not in IGNORED else set())
            assert value in allowed, f"LBA {lba}"
            self.sure[lba] = value
            self.since[lba].clear()

    def medium(self) -> list[int]:
        """What the image itself holds, sector by sector; each is whole."""
        image = self.path.with_suffix(".img").read_bytes()
        assert len(image) == SECTORS * SECTOR
        return found_in(image)

    @invariant()
    def reads_show_the_latest(self) -> None:
        drive: FileDrive | None = getattr(self, "drive", None)
        if drive is None:
            return
        buffer = bytearray(SECTORS * SECTOR)
        drive.port("disk").read_into(0, memoryview(buffer))
        for lba, value in enumerate(found_in(bytes(buffer))):
            latest = self.since[lba][-1] if self.since[lba] else self.sure[lba]
            assert value == latest or (lba in IGNORED and value == 0), f"LBA {lba}"

    @invariant()
    def the_medium_holds_what_is_sure_or_newer(self) -> None:
        if not hasattr(self, "drive"):
            return
        for lba, value in enumerate(self.medium()):
            assert value == 0 if lba in IGNORED else value in {self.sure[lba], *self.since[lba]}

    def teardown(self) -> None:
        if hasattr(self, "drive"):
            self.drive.close()
        self.folder.cleanup()


def content(number: int, lba: int) -> bytes:
    """A sector as the write of that number fills it."""
    return (number * 100 + lba).to_bytes(4, "big") * (SECTOR // 4)


def found_in(image: bytes) -> list[int]:
    """The write each sector is from; no sector is ever a mix, or stands in another's place."""
    numbers = []
    for lba in range(SECTORS):
        sector = image[lba * SECTOR : (lba + 1) * SECTOR]
        number = int.from_bytes(sector[:4], "big") // 100
        assert sector == (content(number, lba) if number else bytes(SECTOR))
        numbers.append(number)
    return numbers


TestDriveMachine = DriveMachine.TestCase
TestDriveMachine.settings = settings(max_examples=60, stateful_step_count=25)
