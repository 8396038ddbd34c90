"""The refusal to touch a block device, as an error that carries the coded reason."""

from __future__ import annotations

from nullbay.domain.errors import NullbayError
from nullbay.domain.plan import Refusal
from nullbay.domain.reasons import CATALOGUE


class ClaimError(NullbayError):
    """A block device that will not be opened. `refusal` has the code and evidence safe to show."""

    code = "guard.undetermined"

    def __init__(self, refusal: Refusal) -> None:
        """Say why; the code of the error is the code of the refusal."""
        reason = CATALOGUE[refusal.code]
        super().__init__(
            f"{reason.text}: {refusal.evidence}", next_step=reason.next_step, code=refusal.code
        )
        self.refusal = refusal


class DeviceNotFoundError(NullbayError):
    """There is no such device, or nothing is attached to it."""

    code = "device.not-found"


class NotABlockDeviceError(NullbayError):
    """A path that is something else."""

    code = "device.not-a-block-device"
