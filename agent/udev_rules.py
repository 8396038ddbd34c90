"""Rules for udevd that keep the host's storage stacks off the drives in bays (bench.md).

Retired disks carry md, LVM, ZFS, LUKS, bcache, multipath, and Linux assembles them within a second.
Which variable stops which stack was read in their own rules: 60-block, 60-persistent-storage,
64-btrfs and 99-systemd of systemd 252; 64-md-raid-assembly of mdadm 4.2; 69-lvm of LVM 2.03;
69-bcache of bcache-tools 1.0; 60-multipath of multipath-tools 0.9; 80-udisks2 of udisks 2.9;
85-hdparm of hdparm 9.65. Matching is by device path, on SAS by expander and phy as udev's path_id
tells them without opening anything: nothing a drive says of itself counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import wrap

from nullbay.domain.drive import Bay
from nullbay.domain.errors import NullbayError
from nullbay.domain.text import show

FILE_NAME = "59-nullbay-bays.rules"
"""Before every file that acts on block devices, so that they find the variables set."""

_BAY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
# Nothing that ends a value, joins alternatives, escapes or substitutes: " | \ $ % and blanks.
_PATH = re.compile(r"/sys/devices/(?:[A-Za-z0-9_/.:,+@=~*?-]|\[!?[A-Za-z0-9_.,+@=~-]+\])+")
_WILDCARDS = frozenset("*?[")
_ATA = re.compile(r"ata(?:[0-9*?-]|\[[0-9-]+\])+")
_SAS = re.compile(r"(.+/([0-9a-f:.]+))/(sas-(?:exp0x[0-9a-f]{16}-)?phy[0-9]{1,3})")
_ONLY_LITERALLY = "/devices/virtual/*|*/virtio[0-9]*|*/session[0-9]*|*/rport-*"

_HEAD = """\
# Written by `nullbay config udev` from {bays}; write it anew when bays change.
# Belongs into /etc/udev/rules.d/{name}; then `udevadm control --reload`, and plug
# the drives in again. The number matters: it has to come before the files named 60 and above.
#
# Drives in bays are the station's alone. Nothing here concerns any other drive.
# What no rule can stop: commands that look for themselves (`vgchange -ay`, `mdadm --assemble
# --scan`, `zpool import`), in the initramfs too. Set `AUTO -all` in mdadm.conf, a devices file or
# filter for LVM, and leave ZFS pools out of the boot; mask udisks2.service where it is installed.
# NVMe drives that share their namespaces between controllers stand below nvme-subsystem, outside
# every bay's path: the station refuses them, and these rules do not reach them.
"""

_VARIABLES: dict[str, str] = {
    'ENV{SYSTEMD_READY}="0"': """systemd makes no unit for it, so nothing mounts it, swaps on it or
        asks for its passphrase; mdadm's rules do not assemble it, btrfs is not told of it.""",
    'ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}="1"': """udev does not open it to ask who it
        is: a sick drive blocks whoever opens it. It gets no links in /dev/disk.""",
    'ENV{UDEV_DISABLE_PERSISTENT_STORAGE_BLKID_FLAG}="1"': """Nor to look for file systems on it,
        where a rule of the machine's own asks for the rest.""",
    'ENV{ID_FS_TYPE}="none"': """A type that no stack takes for its own: LVM, md, LUKS, ZFS and
        btrfs act on theirs, and bcache reads the drive itself where none is given.""",
    'ENV{DM_UDEV_DISABLE_OTHER_RULES_FLAG}="1"': "LVM's and bcache's rules end here.",
    'ENV{nompath}="1"': """multipath's rules end here, and multipathd takes no drive for which udev
        found no ID_SERIAL.""",
    'ENV{UDISKS_IGNORE}="1", ENV{UDISKS_AUTO}="0"': """udisks, and with it every desktop, neither
        shows nor mounts it.""",
    'OPTIONS:="nowatch"': """udev looks at a drive again after every program that wrote to it; not
        here, and no later rule may say otherwise.""",
    'RUN:="/bin/true"': """No program of a later rule runs for it: hdparm's spin-down times,
        vgchange, bcache-register.""",
}


class UdevRulesError(NullbayError):
    """A bay that cannot be written as a rule meaning the same."""

    code = "config.udev"


@dataclass(frozen=True, slots=True)
class UdevRules:
    """The text of the file; bays that need no rule, because they are no device paths."""

    text: str
    without: tuple[str, ...]


def udev_rules(bays: Iterable[Bay]) -> UdevRules:
    """Rules for the drives in these bays. Raises UdevRulesError; then there are none at all.

    The names of bays come from files, so whatever could end a line or a value is refused.
    """
    every = tuple(bays)
    for bay in every:
        if not _BAY_ID.fullmatch(bay.bay_id):
            raise UdevRulesError(
                f"{show(bay.bay_id)!r} is no id of a bay",
                next_step='Use 1 to 32 letters, digits, ".", "_" or "-"',
            )
    with_path = tuple(bay for bay in every if bay.match.startswith("/sys/"))
    places = [(bay, _devpath(bay)) for bay in with_path]
    number = f"{len(with_path)} bay{'' if len(with_path) == 1 else 's'}"
    lines = [_HEAD.format(bays=number, name=FILE_NAME)]
    lines += _blocks(places)
    lines += _power(places)
    without = tuple(bay.bay_id for bay in every if bay not in with_path)
    if without:
        lines += ["# No device paths, so no rules: " + ", ".join(without), ""]
    return UdevRules("\n".join(lines), without)


def _blocks(places: list[tuple[Bay, str]]) -> list[str]:
    lines = ['SUBSYSTEM!="block", GOTO="nullbay_power"', 'ENV{.NULLBAY_BAY}=""']
    adapters = {found[1] for _, path in places if (found := _SAS.fullmatch(path))}
    for adapter in sorted(adapters):
        lines += [
            f'DEVPATH=="{adapter}/*", ENV{{DEVTYPE}}=="disk", IMPORT{{builtin}}="path_id"',
            f'DEVPATH=="{adapter}/*", ENV{{DEVTYPE}}=="partition", IMPORT{{parent}}="ID_PATH"',
        ]
    for bay, path in places:
        if found := _SAS.fullmatch(path):
            name = f"pci-{found[2]}-{found[3]}-lun-*"
            lines.append(
                f'DEVPATH=="{found[1]}/*", ENV{{ID_PATH}}=="{name}",'
                f' ENV{{.NULLBAY_BAY}}="{bay.bay_id}"'
            )
            continue
        fence = f', DEVPATH!="{_ONLY_LITERALLY}"' if _WILDCARDS & set(path) else ""
        lines.append(f'DEVPATH=="{path}|{path}/*"{fence}, ENV{{.NULLBAY_BAY}}="{bay.bay_id}"')
    lines += ['ENV{.NULLBAY_BAY}=="", GOTO="nullbay_end"', ""]
    for rule, why in _VARIABLES.items():
        lines += [*(f"# {line}" for line in wrap(" ".join(why.split()), 96)), rule]
    return [*lines, 'GOTO="nullbay_end"', ""]


def _power(places: list[tuple[Bay, str]]) -> list[str]:
    lines = [
        'LABEL="nullbay_power"',
        'ACTION!="add|change", GOTO="nullbay_end"',
        "# A link that is put to sleep may not wake in time, and a port with link power management",
        "# does not notice drives being plugged in. A drive put to sleep loses its pace.",
    ]
    for _, path in places:
        if "virtual" in path.split("/") or _SAS.fullmatch(path):
            continue
        if port := _ata_port(path):
            lines.append(
                f'SUBSYSTEM=="scsi_host", DEVPATH=="{port}/host*/scsi_host/host*",'
                ' TEST=="link_power_management_policy",'
                f' ATTR{{link_power_management_policy}}="max_performance"'
            )
        fence = f', DEVPATH!="{_ONLY_LITERALLY}"' if _WILDCARDS & set(path) else ""
        lines.append(
            f'SUBSYSTEM=="scsi", DEVPATH=="{path}"{fence}, TEST=="power/control",'
            ' ATTR{power/control}="on"'
        )
    return [*dict.fromkeys(lines), 'LABEL="nullbay_end"', ""]


def _devpath(bay: Bay) -> str:
    """The bay's matcher as udev knows paths: without /sys."""
    if not _PATH.fullmatch(bay.match):
        raise UdevRulesError(
            f"bay {bay.bay_id}: a rule for {show(bay.match, 200)!r} would not mean the same",
            next_step="Name the device path with letters, digits, * ? and plain [sets] only",
        )
    return bay.match.removeprefix("/sys")


def _ata_port(path: str) -> str:
    """The path up to its SATA port, empty where it names none: only those have the setting."""
    parts = path.split("/")
    for at, part in enumerate(parts):
        if _ATA.fullmatch(part):
            return "/".join(parts[: at + 1])
    return ""
