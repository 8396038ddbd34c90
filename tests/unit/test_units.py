"""What the units must say, must not say, and must explain."""

from __future__ import annotations

import re

import pytest

from nullbay.config.credentials import Credential
from support.tree import TOP, shown
from support.units import AGENT, ALL, FOLDER, SERVER, WIPERD, Unit

# Settings that would blind the daemon, with a word of the reason that its comment must name.
BLINDING = [
    (WIPERD, "ProcSubset", "/proc/swaps"),
    (WIPERD, "ProtectProc", "other people's programs"),
    (WIPERD, "ProtectKernelTunables", "rescans"),
    (WIPERD, "ProtectClock", "adjtimex"),
    (WIPERD, "PrivateDevices", "drives"),
    (WIPERD, "PrivateUsers", "no rights over drives"),
    (WIPERD, "PrivateMounts", "unmount"),
    (WIPERD, "MountFlags", "unmount"),
    (AGENT, "PrivateNetwork", "netlink"),
    (AGENT, "ProcSubset", "boot id"),
    (AGENT, "ProtectClock", "adjtimex"),
    (SERVER, "ProcSubset", "boot id"),
    (SERVER, "PrivateNetwork", "network service"),
]


@pytest.mark.parametrize(("name", "setting", "reason"), BLINDING)
def test_what_would_blind_it_is_absent_and_the_unit_says_why(
    name: str, setting: str, reason: str
) -> None:
    unit = Unit.named(name)
    assert unit.values(setting) == []
    said = re.search(
        rf"{setting}[^:.]*: (.*?)(?: [A-Z]\w+[A-Za-z]*(?:=\w+|, \w+=\w+)?: |$)", unit.comments()
    )
    assert said, f"no comment names {setting}"
    assert reason in said[1]


def test_wiperd_has_four_capabilities_each_with_its_reason() -> None:
    unit = Unit.named(WIPERD)
    (given,) = unit.values("CapabilityBoundingSet")
    names = given.split()
    assert names == ["CAP_SYS_RAWIO", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"]
    for name in names:
        assert name.removeprefix("CAP_") in unit.comments()
    filters = unit.values("SystemCallFilter")
    assert any(line.startswith("~") and "@debug" in line for line in filters), "ptrace stays shut"
    assert not any("@debug" in line or "ptrace" in line for line in filters if line[0] != "~")


def test_wiperd_has_no_network() -> None:
    unit = Unit.named(WIPERD)
    assert unit.value("PrivateNetwork") == "yes"
    assert unit.value("RestrictAddressFamilies") == "AF_UNIX"
    assert unit.value("IPAddressDeny") == "any"


def test_the_others_are_nobody_with_no_capability() -> None:
    for name, user in ((AGENT, "nullbay"), (SERVER, "nullbay-server")):
        unit = Unit.named(name)
        assert unit.value("User") == user
        assert unit.values("CapabilityBoundingSet") == [""]
        assert unit.value("PrivateDevices") == "yes"
    assert "AF_NETLINK" in Unit.named(AGENT).value("RestrictAddressFamilies")


def test_wiperd_drains_and_one_drive_does_not_take_the_others_along() -> None:
    unit = Unit.named(WIPERD)
    assert unit.value("KillMode") == "mixed"
    assert unit.value("OOMPolicy") == "continue"
    assert unit.value("TimeoutStopSec")
    assert unit.value("AssertPathExists") == "/var/lib/nullbay-wiperd/pins.toml"


@pytest.mark.parametrize("name", ALL)
def test_every_daemon_is_ready_watched_restarted_and_reads_no_other_state(name: str) -> None:
    unit = Unit.named(name)
    assert unit.value("Type") == "notify"
    assert unit.value("WatchdogSec")
    assert unit.value("Restart") == "on-failure"
    assert unit.value("RestartPreventExitStatus") == "2"
    assert unit.value("NoNewPrivileges") == "yes"
    assert unit.value("UMask") == "0077"
    assert unit.value("StateDirectoryMode") == "0700"
    state = f"/var/lib/{unit.value('StateDirectory')}"
    assert f"--state-dir {state} " in unit.value("ExecStart") + " "
    assert unit.value("ExecStart").startswith("/usr/bin/nullbay ")


def test_agent_and_wiperd_meet_at_one_socket() -> None:
    folder = Unit.named(WIPERD).value("RuntimeDirectory")
    assert Unit.named(WIPERD).value("Group") == Unit.named(AGENT).value("Group") == "nullbay"
    for name in (WIPERD, AGENT):
        assert f"--socket /run/{folder}/wiperd.sock" in Unit.named(name).value("ExecStart")


def test_units_load_the_credentials_that_the_program_knows() -> None:
    loaded = {value for name in ALL for value in Unit.named(name).values("LoadCredential")}
    assert loaded == {credential.value for credential in Credential}


def test_the_users_and_places_of_the_units_are_made() -> None:
    users, places = (
        (FOLDER / "nullbay.sysusers").read_text(),
        (FOLDER / "nullbay.tmpfiles").read_text(),
    )
    for name in ALL:
        unit = Unit.named(name)
        user, group = unit.value("User") or "root", unit.value("Group")
        assert f"\ng {group} " in users
        assert user == "root" or f"\nu {user} " in users
        state = rf"^d /var/lib/{unit.value('StateDirectory')} +0700 {user} +{group} "
        assert re.search(state, places, re.MULTILINE)
        assert f"disable {name}" in (FOLDER / "nullbay.preset").read_text()


def test_lines_stay_readable() -> None:
    long = [
        f"{shown(path)}:{number}"
        for path in (*FOLDER.iterdir(), *(TOP / "debian").iterdir())
        if path.is_file() and path.suffix != ".py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 130
    ]
    assert not long
