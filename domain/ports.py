"""The seams to hardware and host. Everything beyond them is Linux, or a drive made of software."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

from nullbay.domain.drive import Drive
from nullbay.domain.errors import NullbayError


class PortErrorKind(enum.StrEnum):
    """What an error of a port means for the one who called."""

    MEDIUM = "medium"
    GONE = "gone"
    READ_ONLY = "read-only"
    TIMEOUT = "timeout"
    OTHER = "other"


class PortError(NullbayError):
    """A drive did not do what it was told. `errno` is the name, such as ENODATA, or empty."""

    code = "port.error"

    def __init__(self, kind: PortErrorKind, message: str, *, errno: str = "") -> None:
        """Say what the drive answered."""
        super().__init__(message, next_step="See the job's record for the drive's answers")
        self.kind = kind
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Geometry:
    """Size and sector sizes in bytes, as pinned when the port was opened."""

    size_bytes: int
    logical_sector_bytes: int
    physical_sector_bytes: int


class BlockPort(Protocol):
    """Aligned reads, writes and flushes at byte offsets of one unit.

    Offsets and lengths are multiples of the logical sector; buffers are page-aligned. A call either
    moved every byte or raises PortError: short transfers, size 0 and ENOSPC of a vanished device
    are errors here (reference/lab.md 2.3).
    """

    @property
    def geometry(self) -> Geometry:
        """Pinned at open."""
        ...

    @property
    def reads(self) -> str:
        """How reads reach the medium: `direct`, `direct+fua`, `buffered`, `simulated`."""
        ...

    def current_size_bytes(self) -> int:
        """The size the device reports now; 0 once it is gone."""
        ...

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from the medium, with FUA where the drive has it."""
        ...

    def write_from(self, offset: int, buffer: memoryview) -> None:
        """Write all of `buffer`; durable only after `flush`."""
        ...

    def flush(self) -> None:
        """Return only after the drive said that its cache is on the medium."""
        ...

    def deallocate(self, offset: int, length: int) -> None:
        """Tell the drive that a range is not needed; what it then reads as is its own affair."""
        ...

    def close(self) -> None:
        """Give the device back."""
        ...


@dataclass(frozen=True, slots=True)
class AtaTaskfile:
    """48-bit ATA registers to send."""

    command: int
    feature: int = 0
    count: int = 0
    lba: int = 0
    device: int = 0


@dataclass(frozen=True, slots=True)
class AtaAnswer:
    """Registers after a command (None where the path returned none), raw sense, data-in."""

    status: int | None
    error: int | None
    count: int | None
    lba: int | None
    sense: bytes
    data: bytes


class AtaPort(Protocol):
    """ATA commands with their registers (Linux: SG_IO, ATA PASS-THROUGH(16), CK_COND)."""

    def ata(
        self, taskfile: AtaTaskfile, *, data_in_bytes: int, data_out: bytes, timeout_s: float
    ) -> AtaAnswer:
        """Send one command. Raises PortError where no answer came."""
        ...


@dataclass(frozen=True, slots=True)
class ScsiAnswer:
    """SCSI status byte, raw sense, data-in, and how many bytes were not transferred."""

    status: int
    sense: bytes
    data: bytes
    residual_bytes: int


class ScsiPort(Protocol):
    """SCSI commands (Linux: SG_IO on the sg node)."""

    def scsi(
        self, cdb: bytes, *, data_in_bytes: int, data_out: bytes, timeout_s: float
    ) -> ScsiAnswer:
        """Send one command. Raises PortError where no answer came."""
        ...


@dataclass(frozen=True, slots=True)
class NvmeCommand:
    """Fields of an admin submission queue entry."""

    opcode: int
    nsid: int = 0
    cdw10: int = 0
    cdw11: int = 0
    cdw12: int = 0
    cdw13: int = 0
    cdw14: int = 0
    cdw15: int = 0


@dataclass(frozen=True, slots=True)
class NvmeAnswer:
    """Status field (SCT<<8 | SC, without DNR and phase), completion dword 0, data-in."""

    status: int
    result: int
    data: bytes


class NvmePort(Protocol):
    """NVMe admin commands (Linux: NVME_IOCTL_ADMIN_CMD)."""

    def admin(
        self, command: NvmeCommand, *, data_in_bytes: int, data_out: bytes, timeout_s: float
    ) -> NvmeAnswer:
        """Send one command. Raises PortError where no answer came."""
        ...


class UseKind(enum.StrEnum):
    """How the host uses a block device."""

    MOUNT = "mount"
    SWAP = "swap"
    HOLDER = "holder"
    SYSTEM = "system"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a node or of a partition of it: which node, how, and the evidence."""

    node: str
    kind: UseKind
    evidence: str


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """Uses that were found, and questions that could not be answered: those count as uses."""

    uses: tuple[Use, ...]
    undetermined: tuple[str, ...]


class HostFacts(Protocol):
    """What the host does with its block devices, in every mount namespace."""

    def uses_of(self, drive: Drive) -> HostAnswer:
        """Every use of every node of the drive and of everything built on it."""
        ...

    def root_drive(self) -> Drive | None:
        """The drive that carries the root file system; None where it cannot be determined."""
        ...


@dataclass(frozen=True, slots=True)
class Arrived:
    """A drive is there.

    `after_reset`: it was here just before, in the same place (a link reset, a re-enumeration), or
    was here before anybody could look. Such a drive never starts by itself (bench.md).
    """

    kind: ClassVar[str] = "arrived"
    drive: Drive
    after_reset: bool = False


@dataclass(frozen=True, slots=True)
class Departed:
    """The drive of that device path is no longer there."""

    kind: ClassVar[str] = "departed"
    device_path: str


DriveEvent: TypeAlias = Arrived | Departed


class DriveSource(Protocol):
    """Arrivals and departures, and what is there now."""

    def present(self) -> tuple[Drive, ...]:
        """Every drive that is there now."""
        ...

    def events(self) -> AsyncIterator[DriveEvent]:
        """Arrivals and departures as they happen."""
        ...


class Signer(Protocol):
    """A private key that signs and never shows itself."""

    @property
    def key_name(self) -> str:
        """Its name; keys for drives made of software have names beginning with `demo`."""
        ...

    @property
    def public_key_pem(self) -> bytes:
        """SubjectPublicKeyInfo in PEM."""
        ...

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 with SHA-256 over the message, in DER."""
        ...


class DriveAccess(Protocol):
    """One drive, opened and held by one drive process until it lets go.

    Linux: every node of the drive opened O_EXCL and locked. Drives made of software do the same.
    """

    def observe(self) -> Drive:
        """Ask the drive itself, on the open descriptors, who and how it is. Raises PortError."""
        ...

    def port(self, unit_id: str) -> BlockPort:
        """The block port of one unit. Raises KeyError for a unit it does not have."""
        ...

    def temperature_celsius(self) -> int | None:
        """The drive's temperature now, None where it does not tell."""
        ...

    def close(self) -> None:
        """Let go of every node."""
        ...
