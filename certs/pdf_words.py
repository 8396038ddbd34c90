"""Words, figures and safe text for the printed record: how codes and numbers are told to a person.

Decimal units as on the drive's label (1 TB = 10^12 bytes), always with the exact bytes beside them.
Rounding never flatters: what was done is rounded down, what might have been missed is rounded up.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

from nullbay.domain.drive import HiddenState
from nullbay.domain.lot import DataCategory, Destination
from nullbay.domain.method import MediaKind, Method, Technique, Transport
from nullbay.domain.outcome import Content, JobEnd, OutcomeKind, SessionEnd
from nullbay.domain.text import show

NOT_STATED = "not stated"

# What the fonts of the document can draw, beyond ASCII: Latin, Greek, Cyrillic and punctuation. A
# fixed list: the look of a record must not hang on a machine's fonts, and PDF/A forbids a character
# without a glyph. Right-to-left scripts are left out, because they would reorder their neighbours.
DRAWABLE = frozenset(
    chr(point)
    for first, last in (
        (0x20, 0x7E),
        (0xA1, 0xAC),
        (0xAE, 0x148),
        (0x14A, 0x17F),
        (0x218, 0x21B),
        (0x386, 0x386),
        (0x388, 0x38A),
        (0x38C, 0x38C),
        (0x38E, 0x3A1),
        (0x3A3, 0x3CE),
        (0x400, 0x45F),
        (0x490, 0x491),
        (0x2013, 0x2014),
        (0x2018, 0x201A),
        (0x201C, 0x201E),
        (0x2022, 0x2022),
        (0x2026, 0x2026),
        (0x2039, 0x203A),
        (0x20AC, 0x20AC),
        (0x2116, 0x2116),
        (0x2122, 0x2122),
    )
    for point in range(first, last + 1)
)

METHODS = {Method.CLEAR: "Clear", Method.PURGE: "Purge", Method.DESTROY: "Destroy"}

TECHNIQUES = {
    Technique.HOST_OVERWRITE: "overwriting by the station",
    Technique.ATA_SANITIZE_CRYPTO: "crypto scramble by the drive (ATA Sanitize)",
    Technique.ATA_SANITIZE_BLOCK: "block erase by the drive (ATA Sanitize)",
    Technique.ATA_SANITIZE_OVERWRITE: "overwriting by the drive (ATA Sanitize)",
    Technique.ATA_SECURITY_ERASE_ENHANCED: "enhanced secure erase by the drive (ATA Security)",
    Technique.ATA_SECURITY_ERASE_NORMAL: "secure erase by the drive (ATA Security)",
    Technique.NVME_SANITIZE_CRYPTO: "crypto erase by the drive (NVMe Sanitize)",
    Technique.NVME_SANITIZE_BLOCK: "block erase by the drive (NVMe Sanitize)",
    Technique.NVME_SANITIZE_OVERWRITE: "overwriting by the drive (NVMe Sanitize)",
    Technique.NVME_FORMAT_CRYPTO: "crypto erase by the drive (NVMe Format)",
    Technique.NVME_FORMAT_USER_DATA: "user data erase by the drive (NVMe Format)",
    Technique.SCSI_SANITIZE_CRYPTO: "crypto erase by the drive (SCSI Sanitize)",
    Technique.SCSI_SANITIZE_BLOCK: "block erase by the drive (SCSI Sanitize)",
    Technique.SCSI_SANITIZE_OVERWRITE: "overwriting by the drive (SCSI Sanitize)",
    Technique.SCSI_FORMAT_UNIT: "formatting by the drive (SCSI Format Unit)",
    Technique.TCG_REVERT: "revert of the self-encrypting drive (TCG)",
}

MEDIA = {
    MediaKind.MAGNETIC: "magnetic disk",
    MediaKind.FLASH: "flash",
    MediaKind.HYBRID: "magnetic disk with flash",
    MediaKind.EMMC: "flash (eMMC)",
    MediaKind.VIRTUAL: "virtual device",
    MediaKind.UNKNOWN: "unknown medium",
}

TRANSPORTS = {
    Transport.SATA: "SATA",
    Transport.SAS: "SAS",
    Transport.SCSI: "SCSI",
    Transport.NVME: "NVMe",
    Transport.USB: "USB",
    Transport.MMC: "MMC",
    Transport.VIRTIO: "virtio",
    Transport.LOOP: "loop device",
    Transport.FABRICS: "NVMe over fabrics",
    Transport.UNKNOWN: "unknown attachment",
}

OUTCOMES = {
    OutcomeKind.SUCCEEDED: "succeeded",
    OutcomeKind.REFUSED: "refused by the drive",
    OutcomeKind.FAILED: "failed",
    OutcomeKind.INTERRUPTED: "interrupted",
    OutcomeKind.INDETERMINATE: "nobody knows",
}

SESSION_ENDS = {
    SessionEnd.FINISHED: "finished",
    SessionEnd.DRIVE_GONE: "the drive went away",
    SessionEnd.STOPPED: "the station was stopped",
    SessionEnd.ABORTED: "aborted by an operator",
    SessionEnd.CRASHED: "the process ended unexpectedly",
}

JOB_ENDS = {
    JobEnd.COMPLETED: "completed",
    JobEnd.STOPPED_ON_ERRORS: "stopped because of the drive's errors",
    JobEnd.ABORTED: "aborted by an operator",
    JobEnd.DEADLINE: "the time allowed was over",
    JobEnd.ABSENT_PAST_DEADLINE: "the drive did not come back in time",
    JobEnd.CRASHED: "nullbay itself failed",
}

CONTENTS = {
    Content.ZERO: "all zeros",
    Content.FF: "all ones (FF)",
    Content.CONSTANT: "one byte repeated",
    Content.OTHER_PASS: "another pass of this job",
    Content.TEXT: "looks like text",
    Content.OTHER: "something else",
}

HIDDEN_STATES = {
    HiddenState.ABSENT: "none",
    HiddenState.PRESENT: "present",
    HiddenState.UNKNOWN: "unknown",
    HiddenState.NOT_APPLICABLE: "does not apply",
}

CATEGORIES = {
    DataCategory.LOW: "low",
    DataCategory.MODERATE: "moderate",
    DataCategory.HIGH: "high",
}

DESTINATIONS = {
    Destination.RETAINED: "stays with the organization",
    Destination.LEAVING: "leaves the organization",
    Destination.NOT_REUSED: "not reused",
}

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")


def shown(text: str, limit: int = 4000) -> str:
    r"""Text of people or drives as the document prints it: what it cannot draw stands as \uNNNN.

    At most `limit` characters. Composed first (NFC): accents typed as two characters survive.
    """
    parts = [
        one if one in DRAWABLE else _escaped(one) for one in unicodedata.normalize("NFC", text)
    ]
    return clipped("".join(parts), limit)


def clipped(text: str, limit: int) -> str:
    """Cut to `limit` characters with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _escaped(character: str) -> str:
    """The one escape of domain.text where it applies, and the same form where it would print."""
    form = show(character, 16)
    if form != character:
        return form
    point = ord(character)
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def counted(number: int, thing: str, plural: str = "") -> str:
    """`1 sector`, `1,234 sectors`."""
    return f"{number:,} {thing if number == 1 else plural or thing + 's'}"


def exact(size_bytes: int) -> str:
    """`2,000,398,934,016 bytes`."""
    return counted(size_bytes, "byte")


def human(size_bytes: int, *, upwards: bool = False) -> str:
    """Three significant digits in decimal units, rounded down (or up): `2.00 TB`."""
    if size_bytes < 1000:
        return exact(size_bytes)
    power = min((len(str(size_bytes)) - 1) // 3, len(_UNITS))
    for digits in (2, 1, 0):
        step = 1000**power // 10**digits
        value = -(-size_bytes // step) if upwards else size_bytes // step
        if value < 1000:
            break
    else:  # 999.6 MB, rounded up
        value, digits, power = 100, 2, power + 1
    shown_digits = f"{value:0{digits + 1}d}"
    number = f"{shown_digits[:-digits]}.{shown_digits[-digits:]}" if digits else shown_digits
    return f"{number} {_UNITS[power - 1]}"


def both(size_bytes: int, *, upwards: bool = False) -> str:
    """Human and exact: `2.00 TB (2,000,398,934,016 bytes)`."""
    if size_bytes < 1000:
        return exact(size_bytes)
    return f"{human(size_bytes, upwards=upwards)} ({exact(size_bytes)})"


def percent(part: int, whole: int) -> str:
    """`40.6 %` rounded down; `100 %` only for all of it."""
    if whole <= 0 or part >= whole:
        return "100 %"
    tenths = part * 1000 // whole
    if tenths == 0:
        return "under 0.1 %" if part else "0 %"
    return f"{tenths // 10}.{tenths % 10} %"


def of_whole(part: int, whole: int) -> str:
    """`all 2.00 TB`, `812 GB of 2.00 TB (40.6 %)`, or `none of 2.00 TB`."""
    if part >= whole:
        return f"all {human(whole)}"
    if not part:
        return f"none of {human(whole)}"
    return f"{human(part)} of {human(whole)} ({percent(part, whole)})"


def when(time: str | None) -> str:
    """`2026-11-21 19:51:08 UTC` for an RFC 3339 time of the record."""
    return NOT_STATED if time is None else f"{time[:10]} {time[11:19]} UTC"


def moment(time: str) -> datetime | None:
    """The same as a value; None for a date no calendar has (2026-02-31)."""
    try:
        return datetime.fromisoformat(time[:26]).replace(tzinfo=UTC)
    except ValueError:
        return None


def duration(start: str | None, end: str | None) -> str:
    """`5 h 12 min` between two wall times, empty where they do not tell."""
    first, last = (moment(start or ""), moment(end or ""))
    if first is None or last is None or last < first:
        return ""
    seconds = int((last - first).total_seconds())
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def sentence(text: str) -> str:
    """With a capital letter and a full stop; the name nullbay keeps its small letter."""
    trimmed = text.strip().rstrip(".")
    if trimmed.startswith("nullbay"):
        return trimmed + "."
    return trimmed[:1].upper() + trimmed[1:] + "." if trimmed else ""
