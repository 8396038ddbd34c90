"""Giving up what an overwrite lane does not need."""

from __future__ import annotations

import ctypes
import enum
import errno
import os

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITIES = range(64)


class _Header(ctypes.Structure):
    """struct __user_cap_header_struct; pid 0 is the calling thread."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    """struct __user_cap_data_struct, twice: capabilities 0 to 31 and 32 to 63."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


class Dropped(enum.StrEnum):
    """What became of the capabilities."""

    DROPPED = "dropped"
    NOT_ROOT = "not-root"


def drop_capabilities() -> Dropped:
    """Drop every capability of the calling thread for good, and of what it starts; the uid stays.

    Open descriptors keep working, so reads and writes go on; pass-through commands and opening
    other people's files do not. Linux holds capabilities per thread: call it in each lane. With
    uid 0 kept, a privileged parent can still signal the process. Not root: nothing to drop. Raises
    OSError where the kernel refuses.
    """
    if os.geteuid() != 0:
        return Dropped.NOT_ROOT
    no_new_privileges()
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in _CAPABILITIES:
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError as error:
            # EINVAL: past the last capability this kernel has. EPERM: CAP_SETPCAP is gone already,
            # and with no new privileges the bounding set no longer matters.
            if error.errno not in (errno.EINVAL, errno.EPERM):
                raise
            break
    header = _Header(version=_CAPABILITY_VERSION_3, pid=0)
    if _libc.capset(ctypes.byref(header), ctypes.byref((_Sets * 2)())) != 0:
        raise _last_error("capset")
    return Dropped.DROPPED


def no_new_privileges() -> None:
    """PR_SET_NO_NEW_PRIVS: nothing this thread starts can gain what it has not."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def end_with_parent(signal_number: int) -> None:
    """PR_SET_PDEATHSIG: get this signal when the thread that started this process ends."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def _prctl(option: int, argument: int) -> None:
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero) != 0:
        raise _last_error("prctl")


def _last_error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
