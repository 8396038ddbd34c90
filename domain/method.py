"""Methods and techniques of SP 800-88r2 and IEEE 2883, and which technique reaches which method.

The table is reference/standards.md section 2, last column: what a careful station claims, which is
never more than the standards allow for that medium.
"""

from __future__ import annotations

import enum


class Method(enum.StrEnum):
    """Sanitization methods (SP 800-88r2 3.1): what kind of recovery is made infeasible."""

    CLEAR = "clear"
    PURGE = "purge"
    DESTROY = "destroy"

    @property
    def rank(self) -> int:
        """Order of strength."""
        return _RANK[self]

    def satisfies(self, required: Method) -> bool:
        """Whether reaching this method meets the required one."""
        return self.rank >= required.rank


_RANK = {Method.CLEAR: 1, Method.PURGE: 2, Method.DESTROY: 3}


class MediaKind(enum.StrEnum):
    """What the data lie on. `virtual`: a kernel device with a file beneath; `unknown` is honest."""

    MAGNETIC = "magnetic"
    FLASH = "flash"
    HYBRID = "hybrid"
    EMMC = "emmc"
    VIRTUAL = "virtual"
    UNKNOWN = "unknown"


class Transport(enum.StrEnum):
    """How the drive is attached."""

    SATA = "sata"
    SAS = "sas"
    SCSI = "scsi"
    NVME = "nvme"
    USB = "usb"
    MMC = "mmc"
    VIRTIO = "virtio"
    LOOP = "loop"
    FABRICS = "fabrics"
    UNKNOWN = "unknown"


class Technique(enum.StrEnum):
    """What is done to the drive."""

    HOST_OVERWRITE = "host-overwrite"
    ATA_SANITIZE_CRYPTO = "ata-sanitize-crypto-scramble"
    ATA_SANITIZE_BLOCK = "ata-sanitize-block-erase"
    ATA_SANITIZE_OVERWRITE = "ata-sanitize-overwrite"
    ATA_SECURITY_ERASE_ENHANCED = "ata-security-erase-enhanced"
    ATA_SECURITY_ERASE_NORMAL = "ata-security-erase"
    NVME_SANITIZE_CRYPTO = "nvme-sanitize-crypto-erase"
    NVME_SANITIZE_BLOCK = "nvme-sanitize-block-erase"
    NVME_SANITIZE_OVERWRITE = "nvme-sanitize-overwrite"
    NVME_FORMAT_CRYPTO = "nvme-format-ses2"
    NVME_FORMAT_USER_DATA = "nvme-format-ses1"
    SCSI_SANITIZE_CRYPTO = "scsi-sanitize-crypto-erase"
    SCSI_SANITIZE_BLOCK = "scsi-sanitize-block-erase"
    SCSI_SANITIZE_OVERWRITE = "scsi-sanitize-overwrite"
    SCSI_FORMAT_UNIT = "scsi-format-unit"
    TCG_REVERT = "tcg-revert"


_SANITIZE_PURGES_ANY = frozenset(
    {
        Technique.ATA_SANITIZE_CRYPTO,
        Technique.ATA_SANITIZE_BLOCK,
        Technique.NVME_SANITIZE_CRYPTO,
        Technique.NVME_SANITIZE_BLOCK,
        Technique.SCSI_SANITIZE_CRYPTO,
        Technique.SCSI_SANITIZE_BLOCK,
    }
)
_PURGES_MAGNETIC_ONLY = frozenset(
    {
        Technique.ATA_SANITIZE_OVERWRITE,
        Technique.NVME_SANITIZE_OVERWRITE,
        Technique.SCSI_SANITIZE_OVERWRITE,
        Technique.ATA_SECURITY_ERASE_ENHANCED,
    }
)


def reaches(technique: Technique, media: MediaKind) -> Method:
    """The strongest method a technique may claim on a medium (reference/standards.md section 2).

    A TCG revert alone reaches Clear: verdicts.md section 2 lets no certificate call it Purge.
    """
    if technique in _SANITIZE_PURGES_ANY:
        return Method.PURGE
    if technique in _PURGES_MAGNETIC_ONLY and media is MediaKind.MAGNETIC:
        return Method.PURGE
    return Method.CLEAR
