"""Rules for udevd: every bay in them, nothing else, and no way in for hostile names."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.agent.udev_rules import UdevRulesError, udev_rules
from nullbay.domain.drive import Bay
from nullbay.domain.ids import BayId

PORT = "/sys/devices/pci0000:00/0000:00:1f.2/ata3"
DISK = f"{PORT}/host2/target2:0:0/2:0:0:0"
HBA = "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0"

# A rule file by its grammar (udev(7)): comments, blank lines, and keys with a quoted value each.
_KEY = r'[A-Z]+(?:\{[A-Za-z0-9_./]+\})?(?:==|!=|:=|\+=|=)"[^"\\\n]*"'
_LINE = re.compile(rf"(?:#[^\n]*|{_KEY}(?:, {_KEY})*|)")


def bay(name: str, match: str) -> Bay:
    return Bay(BayId(name), 1, 1, match)


def reached(text: str, devpath: str) -> bool:
    """Whether a block device of that path is treated as one in a bay, read as udev reads it."""
    for line in text.splitlines():
        found = re.fullmatch(
            r'DEVPATH=="([^"]*)"(?:, DEVPATH!="([^"]*)")?, ENV\{\.NULLBAY_BAY\}="[^"]+"', line
        )
        if found is None:
            continue
        hit = any(fnmatchcase(devpath, one) for one in found[1].split("|"))
        if hit and not any(fnmatchcase(devpath, one) for one in (found[2] or "").split("|") if one):
            return True
    return False


def test_a_drive_in_a_bay_and_its_partitions_are_reached_and_nothing_else() -> None:
    text = udev_rules([bay("A1", DISK), bay("A2", f"{HBA}/host*/port-*:[0-3]/end_device-*/*")]).text
    disk = DISK.removeprefix("/sys")
    assert reached(text, f"{disk}/block/sdb")
    assert reached(text, f"{disk}/block/sdb/sdb1")
    assert not reached(text, f"{disk}1/block/sdc")
    assert not reached(text, f"{PORT.removesuffix('3')}4/host3/target3:0:0/3:0:0:0/block/sda")
    sas = HBA.removeprefix("/sys")
    assert reached(text, f"{sas}/host9/port-9:2/end_device-9:2/target9:0:2/9:0:2:0/block/sdq")
    assert not reached(text, f"{sas}/host9/port-9:4/end_device-9:4/target9:0:4/9:0:4:0/block/sdr")


def test_fabric_and_virtual_disks_are_reached_only_where_named_literally() -> None:
    wide = udev_rules([bay("A1", f"{HBA}/*")]).text
    inside = HBA.removeprefix("/sys")
    for path in (
        f"{inside}/host5/session1/target5:0:0/5:0:0:0/block/sdx",
        f"{inside}/host5/rport-5:0-0/target5:0:0/5:0:0:0/block/sdx",
        f"{inside}/virtio3/block/vdb",
    ):
        assert not reached(wide, path)
        named = "/sys" + path.rpartition("/block/")[0]
        assert reached(udev_rules([bay("A1", named)]).text, path)
    assert reached(wide, f"{inside}/host5/target5:0:0/5:0:0:0/block/sdx")


def test_a_sas_bay_is_matched_by_expander_and_phy() -> None:
    text = udev_rules(
        [
            bay("A1", f"{HBA}/sas-exp0x500056b31234abff-phy5"),
            bay("A2", f"{HBA}/sas-phy1"),
        ]
    ).text
    inside = HBA.removeprefix("/sys")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    asked = f'DEVPATH=="{inside}/*", ENV{{DEVTYPE}}=="disk", IMPORT{{builtin}}="path_id"'
    assert lines.count(asked) == 1
    for name, place in (("A1", "sas-exp0x500056b31234abff-phy5"), ("A2", "sas-phy1")):
        rule = (
            f'DEVPATH=="{inside}/*", ENV{{ID_PATH}}=="pci-0000:01:00.0-{place}-lun-*",'
            f' ENV{{.NULLBAY_BAY}}="{name}"'
        )
        assert lines.index(rule) > lines.index(asked)
    assert "power/control" not in text
    assert all(_LINE.fullmatch(line) for line in text.splitlines())


def test_link_power_management_is_switched_off_on_the_ports_of_bays() -> None:
    text = udev_rules([bay("A1", DISK), bay("A2", DISK.replace("2:0:0:0", "2:0:1:0"))]).text
    lines = [line for line in text.splitlines() if "link_power_management_policy" in line]
    assert len(lines) == 1
    assert f'DEVPATH=="{PORT.removeprefix("/sys")}/host*/scsi_host/host*"' in lines[0]
    assert lines[0].endswith('ATTR{link_power_management_policy}="max_performance"')
    loop = udev_rules([bay("A1", "/sys/devices/virtual/block/loop7")]).text
    assert "link_power_management_policy" not in loop


def test_no_bays_reach_nothing() -> None:
    text = udev_rules([]).text
    assert "from 0 bays" in text
    assert not reached(text, DISK.removeprefix("/sys") + "/block/sdb")


def test_what_is_no_device_path_is_named_and_has_no_rule() -> None:
    rules = udev_rules([bay("A1", DISK), bay("L1", "nqn.2014-08.org:x"), bay("L2", "/lab/a.toml")])
    assert rules.without == ("L1", "L2")
    assert "nqn." not in rules.text
    assert all(_LINE.fullmatch(line) for line in rules.text.splitlines())


@pytest.mark.parametrize(
    "match",
    [
        '/sys/devices/pci0000:00/x", RUN+="/bin/sh -c reboot',
        "/sys/devices/pci0000:00/x/a|/devices/*",
        '/sys/devices/pci0000:00/x\nRUN+="/bin/true"',
        "/sys/devices/pci0000:00/x\\",
        "/sys/devices/pci0000:00/$env{X}",
        "/sys/devices/pci0000:00/%k",
        "/sys/devices/pci0000:00/[[:alpha:]]",
        "/sys/devices/pci0000:00/[^a]",
        "/sys/devices/pci0000:00/[a",
        "/sys/class/block/sda",
    ],
)
def test_a_path_that_would_mean_something_else_is_refused(match: str) -> None:
    with pytest.raises(UdevRulesError) as caught:
        udev_rules([bay("A1", match)])
    assert str(caught.value).isprintable()


@given(st.text(max_size=40), st.text(max_size=60))
def test_no_name_and_no_path_gets_out_of_its_quotes(name: str, path: str) -> None:
    try:
        text = udev_rules([bay(name, f"/sys/devices/{path}")]).text
    except UdevRulesError:
        return
    plain = udev_rules([bay("A1", DISK)]).text
    assert all(_LINE.fullmatch(line) for line in text.splitlines())
    commands = {line for line in text.splitlines() if "RUN" in line or "PROGRAM" in line}
    assert commands == {line for line in plain.splitlines() if "RUN" in line}
