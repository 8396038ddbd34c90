"""Pass-through commands on an open descriptor: the ATA, SCSI and NVMe ports on Linux.

An ioctl that succeeds proves only that the kernel took the command. What the drive said is in
status, sense and registers, and where a host adapter gave up it is in none of them: that raises.
"""

from __future__ import annotations

import errno
import os

from nullbay.domain.ports import (
    AtaAnswer,
    AtaTaskfile,
    NvmeAnswer,
    NvmeCommand,
    PortError,
    PortErrorKind,
    ScsiAnswer,
)
from nullbay.wipers.platform import ata, ioctls, scsi

_ATTEMPTS = 3
_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOLINK, errno.ESHUTDOWN})
# NVMe: the kernel gave the command up (EINTR), or the controller is reconnecting (EAGAIN).
_LATE = frozenset({errno.ETIMEDOUT, errno.EINTR, errno.EAGAIN})
# Host bytes of the SCSI midlayer (scsi/scsi_status.h).
_DID_NO_CONNECT, _DID_TIME_OUT, _DID_BAD_TARGET = 0x01, 0x03, 0x04
_DRIVER_TIMEOUT = 0x06
_NVME_STATUS_MASK = 0x07FF


class LinuxScsiPort:
    """ScsiPort by SG_IO on a descriptor it does not own."""

    def __init__(self, fd: int, name: str) -> None:
        """`name` is for messages."""
        self._fd, self._name = fd, name

    def scsi(
        self, cdb: bytes, *, data_in_bytes: int, data_out: bytes, timeout_s: float
    ) -> ScsiAnswer:
        """Send one command; a UNIT ATTENTION is the drive's news, not an answer: asked again.

        Raises PortError where no drive answered: GONE, TIMEOUT, or OTHER with the reason.
        """
        for _ in range(_ATTEMPTS):
            answer = self._once(cdb, data_in_bytes, data_out, timeout_s)
            if scsi.sense_key(answer.sense) != scsi.UNIT_ATTENTION:
                break
        return answer

    def _once(
        self, cdb: bytes, data_in_bytes: int, data_out: bytes, timeout_s: float
    ) -> ScsiAnswer:
        try:
            told = ioctls.sg_io(
                self._fd, cdb, data_in_bytes=data_in_bytes, data_out=data_out, timeout_s=timeout_s
            )
        except OSError as error:
            raise _not_sent(self._name, f"SCSI command {cdb[0]:02X}h", error) from error
        if told.host_status in (_DID_NO_CONNECT, _DID_BAD_TARGET):
            raise PortError(PortErrorKind.GONE, f"{self._name} is not connected any more")
        if told.host_status == _DID_TIME_OUT or told.driver_status & 0x0F == _DRIVER_TIMEOUT:
            raise PortError(
                PortErrorKind.TIMEOUT, f"{self._name} did not answer SCSI command {cdb[0]:02X}h"
            )
        if told.host_status:
            message = f"{self._name}: the host adapter ended command {cdb[0]:02X}h"
            raise PortError(PortErrorKind.OTHER, f"{message} with {told.host_status:02X}h")
        return ScsiAnswer(told.status, told.sense, told.data, told.residual_bytes)


class LinuxAtaPort:
    """AtaPort by ATA PASS-THROUGH(16) on a SCSI port."""

    def __init__(self, port: LinuxScsiPort) -> None:
        """The port to the translation layer."""
        self._port = port

    def ata(
        self, taskfile: AtaTaskfile, *, data_in_bytes: int, data_out: bytes, timeout_s: float
    ) -> AtaAnswer:
        """Send one command. Data of a command that ended in an error are left out."""
        cdb = ata.pass_through_16(taskfile, data_in_bytes=data_in_bytes, data_out=data_out)
        answer = self._port.scsi(
            cdb, data_in_bytes=data_in_bytes, data_out=data_out, timeout_s=timeout_s
        )
        good = answer.status == scsi.GOOD
        return ata.answer_of(answer.sense, answer.data if good else b"")


class LinuxNvmePort:
    """NvmePort by NVME_IOCTL_ADMIN_CMD on a namespace's or controller's descriptor."""

    def __init__(self, fd: int, name: str) -> None:
        """`name` is for messages."""
        self._fd, self._name = fd, name

    def admin(
        self, command: NvmeCommand, *, data_in_bytes: int, data_out: bytes, timeout_s: float
    ) -> NvmeAnswer:
        """Send one command. Raises PortError where no completion came; a status is an answer."""
        cdws = (
            command.cdw10,
            command.cdw11,
            command.cdw12,
            command.cdw13,
            command.cdw14,
            command.cdw15,
        )
        try:
            status, result, data = ioctls.nvme_admin(
                self._fd,
                command.opcode,
                command.nsid,
                cdws,
                data_in_bytes=data_in_bytes,
                data_out=data_out,
                timeout_s=timeout_s,
            )
        except OSError as error:
            raise _not_sent(self._name, f"NVMe command {command.opcode:02X}h", error) from error
        return NvmeAnswer(status & _NVME_STATUS_MASK, result, b"" if status else data)


def _not_sent(name: str, what: str, error: OSError) -> PortError:
    number = error.errno or 0
    kind = PortErrorKind.OTHER
    if number in _GONE:
        kind = PortErrorKind.GONE
    elif number in _LATE:
        kind = PortErrorKind.TIMEOUT
    return PortError(
        kind,
        f"{name} did not answer {what}: {os.strerror(number)}",
        errno=ioctls.errno_name(number),
    )
