"""`nullbay.lab-drive/1`: what a drive made of software is and how it misbehaves.

LBAs count logical sectors, spans include both ends. Sectors fail by whole physical sectors, as
their error correction does. docs/lab.md has the table of all keys.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

from nullbay.domain.canonical import SAFE_INTEGER_MAX
from nullbay.domain.drive import HiddenArea, HiddenState
from nullbay.domain.errors import MalformedError
from nullbay.domain.method import MediaKind, Transport
from nullbay.domain.ranges import ByteRange
from nullbay.domain.text import RAW_MAX_BYTES, RawText

SCHEMA = "nullbay.lab-drive/1"
SIZE_MAX_BYTES = 64 * 2**40
SPANS_MAX = 1024
EVENTS_MAX = 32
CURABLE_MAX = 65_536
CACHE_MAX_BYTES = 2**30
PHYSICAL_MAX_BYTES = 65_536
DELAY_MAX_MS = 7 * 86_400_000
CELSIUS_MAX = 200
FIGURE_MAX = 2**48
NAME_FORM = re.compile(r"[a-z][a-z0-9-]{0,30}")


class DescriptionError(MalformedError):
    """A description that cannot be a drive; names file and key."""

    code = "lab.description"


class FlushKind(enum.StrEnum):
    """What a flush does: its work, nothing but acknowledge, or fail."""

    HONEST = "honest"
    IGNORED = "ignored"
    FAILS = "fails"


class LossKind(enum.StrEnum):
    """What a power cut takes from the cache: all of it, or some (drawn from the seed)."""

    ALL = "all"
    SOME = "some"


class DeallocateKind(enum.StrEnum):
    """What a deallocated range reads as, or that the drive cannot do it."""

    UNSUPPORTED = "unsupported"
    ZEROS = "zeros"
    OLD_DATA = "old-data"


class EventKind(enum.StrEnum):
    """What happens to a drive on its own.

    `gone` is a pull: power lost, handles dead. `power-cut` loses the cache and nobody notices.
    `another-drive`: the drive of `[other]` answers under the same handle, with its own content.
    """

    GONE = "gone"
    POWER_CUT = "power-cut"
    READ_ONLY = "read-only"
    SERIAL_CHANGES = "serial-changes"
    CAPACITY_SHRINKS = "capacity-shrinks"
    ANOTHER_DRIVE = "another-drive"


def _check_span(first_lba: int, last_lba: int) -> None:
    if not 0 <= first_lba <= last_lba:
        raise ValueError(f"not a span of sectors: {first_lba} to {last_lba}")


def _check_between(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {least} to {most}, not {value}")


def _check_text(name: str, text: str, raw: bytes) -> None:
    if text and raw:
        raise ValueError(f"{name} or {name}_hex, not both")
    if len(text.encode("utf-8", "surrogateescape")) > RAW_MAX_BYTES or len(raw) > RAW_MAX_BYTES:
        raise ValueError(f"{name} has at most {RAW_MAX_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class LbaSpan:
    """Logical sectors from `first_lba` to `last_lba`, both included."""

    first_lba: int
    last_lba: int

    def __post_init__(self) -> None:
        """Refuse backward spans."""
        _check_span(self.first_lba, self.last_lba)


@dataclass(frozen=True, slots=True)
class SlowSpan:
    """Each command that touches these sectors takes so much longer."""

    first_lba: int
    last_lba: int
    delay_ms: int

    def __post_init__(self) -> None:
        """Refuse backward spans and delays beyond a week."""
        _check_span(self.first_lba, self.last_lba)
        _check_between("delay_ms", self.delay_ms, 0, DELAY_MAX_MS)


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """A volatile write cache: what is written is on the medium only after a flush.

    Full, it writes its oldest half back.
    """

    bytes: int
    loss: LossKind = LossKind.ALL

    def __post_init__(self) -> None:
        """Bounded."""
        _check_between("bytes", self.bytes, PHYSICAL_MAX_BYTES, CACHE_MAX_BYTES)


@dataclass(frozen=True, slots=True)
class HealthSpec:
    """Health figures. Reallocated sectors grow by one per `reallocated_every_bytes` written.

    Sectors that are to be rewritten are counted as pending besides `pending_sectors`.
    """

    reallocated_sectors: int = 0
    reallocated_every_bytes: int = 0
    pending_sectors: int = 0
    media_errors: int = 0
    percentage_used: int = 0
    power_on_hours: int = 0

    def __post_init__(self) -> None:
        """Nothing negative."""
        for name in ("reallocated_sectors", "reallocated_every_bytes", "pending_sectors"):
            _check_between(name, getattr(self, name), 0, FIGURE_MAX)
        for name in ("media_errors", "percentage_used", "power_on_hours"):
            _check_between(name, getattr(self, name), 0, FIGURE_MAX)


@dataclass(frozen=True, slots=True)
class TemperatureSpec:
    """Degrees Celsius: up with each minute of work, down with each minute of rest."""

    idle_celsius: int = 30
    most_celsius: int = 30
    up_per_busy_minute: int = 5
    down_per_idle_minute: int = 5

    def __post_init__(self) -> None:
        """The most is not below the least."""
        _check_between("idle_celsius", self.idle_celsius, -CELSIUS_MAX, CELSIUS_MAX)
        _check_between("most_celsius", self.most_celsius, self.idle_celsius, CELSIUS_MAX)
        _check_between("up_per_busy_minute", self.up_per_busy_minute, 0, 60_000)
        _check_between("down_per_idle_minute", self.down_per_idle_minute, 0, 60_000)


@dataclass(frozen=True, slots=True)
class EventSpec:
    """One thing that happens once: at exactly one of the three moments.

    After so many bytes written or read in the drive's life; after so long since it was opened.
    `sectors` is the new capacity for `capacity-shrinks`.
    """

    what: EventKind
    after_written_bytes: int | None = None
    after_read_bytes: int | None = None
    after_ms: int | None = None
    sectors: int | None = None

    def __post_init__(self) -> None:
        """Exactly one moment; a capacity where it shrinks and only there."""
        moments = (self.after_written_bytes, self.after_read_bytes, self.after_ms)
        given = [moment for moment in moments if moment is not None]
        if len(given) != 1:
            raise ValueError("exactly one of after_written_bytes, after_read_bytes, after_ms")
        _check_between("the moment", given[0], 0, FIGURE_MAX)
        if (self.sectors is not None) != (self.what is EventKind.CAPACITY_SHRINKS):
            raise ValueError("sectors goes with capacity-shrinks, and only there")


@dataclass(frozen=True, slots=True)
class HiddenSpec:
    """Capacity outside the addressable range, as the drive tells it."""

    name: str
    state: HiddenState
    hidden_bytes: int = 0


@dataclass(frozen=True, slots=True)
class OtherDrive:
    """Who answers after `another-drive`, or is put back in place of the drive.

    Its serial alone shows after `serial-changes`. Geometry and faults are those of the drive, the
    content is its own.
    """

    model: str
    serial: str = ""
    serial_hex: bytes = b""
    wwn: str = ""

    def __post_init__(self) -> None:
        """One spelling of the serial."""
        _check_text("serial", self.serial, self.serial_hex)
        _check_text("model", self.model, b"")


@dataclass(frozen=True, slots=True)
class DriveDescription:
    """One drive. Only `model` and `sectors` must be there; the rest describes a well-behaved disk.

    `serial_hex` and `model_hex` are for bytes that are no text. `speed_mb_s` 0 takes no time.
    """

    sectors: int
    model: str = ""
    model_hex: bytes = b""
    name: str = ""
    vendor: str = ""
    serial: str = ""
    serial_hex: bytes = b""
    firmware: str = "LAB1"
    wwn: str = ""
    eui64: str = ""
    nguid: str = ""
    media: MediaKind = MediaKind.MAGNETIC
    transport: Transport = Transport.SATA
    logical_sector_bytes: int = 512
    physical_sector_bytes: int = 512
    removable: bool = False
    read_only: bool = False
    seed: int = 0
    speed_mb_s: int = 0
    error_delay_ms: int = 0
    flush: FlushKind = FlushKind.HONEST
    deallocate: DeallocateKind = DeallocateKind.UNSUPPORTED
    cache: CacheSpec | None = None
    health: HealthSpec = HealthSpec()
    temperature: TemperatureSpec | None = None
    unreadable: tuple[LbaSpan, ...] = ()
    unreadable_until_rewritten: tuple[LbaSpan, ...] = ()
    unwritable: tuple[LbaSpan, ...] = ()
    ignored_writes: tuple[LbaSpan, ...] = ()
    slow: tuple[SlowSpan, ...] = ()
    event: tuple[EventSpec, ...] = ()
    hidden: tuple[HiddenSpec, ...] = (HiddenSpec("hidden capacity", HiddenState.ABSENT),)
    other: OtherDrive | None = None
    schema: str = field(default=SCHEMA, kw_only=True)

    def __post_init__(self) -> None:
        """What must hold between the keys."""
        if not (self.model or self.model_hex):
            raise ValueError("missing field 'model'")
        for name in ("model", "serial"):
            _check_text(name, getattr(self, name), getattr(self, f"{name}_hex"))
        for name in ("vendor", "firmware", "wwn", "eui64", "nguid"):
            _check_text(name, getattr(self, name), b"")
        if self.name and not NAME_FORM.fullmatch(self.name):
            raise ValueError("name is a lower-case letter, then up to 30 letters, digits or -")
        if self.logical_sector_bytes not in {512, 4096}:
            raise ValueError("logical_sector_bytes is 512 or 4096")
        physical, logical = self.physical_sector_bytes, self.logical_sector_bytes
        if not logical <= physical <= PHYSICAL_MAX_BYTES or physical & (physical - 1):
            raise ValueError(
                "physical_sector_bytes is a power of two from the logical one to 65536"
            )
        _check_between("sectors", self.sectors, 0, SIZE_MAX_BYTES // logical)
        _check_between("seed", self.seed, 0, SAFE_INTEGER_MAX)
        _check_between("speed_mb_s", self.speed_mb_s, 0, 1_000_000)
        _check_between("error_delay_ms", self.error_delay_ms, 0, DELAY_MAX_MS)
        self._check_spans()
        if len(self.event) > EVENTS_MAX:
            raise ValueError(f"at most {EVENTS_MAX} events")
        needs = {EventKind.ANOTHER_DRIVE, EventKind.SERIAL_CHANGES}
        if self.other is None and any(one.what in needs for one in self.event):
            raise ValueError("another-drive and serial-changes need the table [other]")

    def _check_spans(self) -> None:
        for name in (
            "unreadable",
            "unreadable_until_rewritten",
            "unwritable",
            "ignored_writes",
            "slow",
        ):
            spans: tuple[LbaSpan | SlowSpan, ...] = getattr(self, name)
            if len(spans) > SPANS_MAX:
                raise ValueError(f"{name} has at most {SPANS_MAX} spans")
            for span in spans:
                if span.last_lba >= self.sectors:
                    raise ValueError(f"{name}: LBA {span.last_lba} is beyond the end")
        curable = sum(one.length for one in self.physical(self.unreadable_until_rewritten))
        if curable > CURABLE_MAX * self.physical_sector_bytes:
            raise ValueError(f"unreadable_until_rewritten has at most {CURABLE_MAX} sectors")

    @property
    def size_bytes(self) -> int:
        """Addressable bytes."""
        return self.sectors * self.logical_sector_bytes

    @property
    def raw_model(self) -> RawText:
        """The model as the drive gives it."""
        return RawText.of(self.model_hex or self.model)

    @property
    def raw_serial(self) -> RawText:
        """The serial as the drive gives it."""
        return RawText.of(self.serial_hex or self.serial)

    @property
    def hidden_areas(self) -> tuple[HiddenArea, ...]:
        """What the drive says of hidden capacity."""
        return tuple(
            HiddenArea(one.name, one.state, one.hidden_bytes, "simulated") for one in self.hidden
        )

    @property
    def other_identity(self) -> OtherDrive:
        """Who else may answer. Raises DescriptionError where the description names nobody."""
        if self.other is None:
            raise DescriptionError("this drive has no table [other]", next_step="Add one")
        return self.other

    def logical(self, spans: tuple[LbaSpan, ...]) -> tuple[ByteRange, ...]:
        """Spans as byte ranges, exactly."""
        size = self.logical_sector_bytes
        return tuple(ByteRange(one.first_lba * size, (one.last_lba + 1) * size) for one in spans)

    def physical(self, spans: tuple[LbaSpan, ...]) -> tuple[ByteRange, ...]:
        """Spans as byte ranges, widened to whole physical sectors within the drive."""
        size = self.physical_sector_bytes
        return tuple(
            ByteRange(one.start // size * size, min(-(-one.end // size) * size, self.size_bytes))
            for one in self.logical(spans)
        )
