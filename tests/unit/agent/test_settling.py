"""Whatever order events and lists come in: what was told always adds up to what is there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.agent.settling import UNSETTLED_MAX, Pace, Presence, Settling, is_same_stay
from nullbay.domain.drive import Drive, NodeAttachment
from nullbay.domain.ports import Arrived, Departed
from support.stays import SLOTS, stay

PACE = Pace(settle_s=2.0, settle_max_s=10.0, reset_s=30.0)


def told(presence: Presence) -> list[Arrived | Departed]:
    found = []
    while (event := presence.next_event()) is not None:
        found.append(event)
    return found


def began(*drives: Drive) -> Presence:
    presence = Presence(PACE)
    presence.begin(drives)
    return presence


def test_what_was_there_first_does_not_arrive() -> None:
    presence = began(stay(0, "A", 1))
    assert told(presence) == []
    assert [one.identity.serial.raw for one in presence.present()] == [b"A"]
    presence.listed([stay(0, "A", 1)], 60.0)
    assert told(presence) == []


def test_a_swap_between_two_lists_is_a_departure_and_an_arrival() -> None:
    presence = began(stay(0, "A", 1))
    other = stay(0, "B", 2)
    presence.listed([other], 5.0)
    assert told(presence) == [Departed(SLOTS[0]), Arrived(other)]


def test_the_same_drive_back_in_its_place_soon_was_not_plugged_in() -> None:
    presence = began(stay(0, "A", 1))
    back = stay(0, "A", 2)
    presence.listed([back], 5.0)
    assert told(presence) == [Departed(SLOTS[0]), Arrived(back, after_reset=True)]


def test_the_same_drive_back_after_a_while_was() -> None:
    presence = began(stay(0, "A", 1))
    presence.listed([], 5.0)
    assert told(presence) == [Departed(SLOTS[0])]
    presence.listed([stay(0, "A", 2)], 5.0 + PACE.reset_s + 1)
    (event,) = told(presence)
    assert isinstance(event, Arrived)
    assert not event.after_reset


def test_the_same_drive_soon_in_another_place_was_moved_by_somebody() -> None:
    presence = began(stay(0, "A", 1))
    presence.listed([stay(1, "A", 2)], 5.0)
    departed, arrived = told(presence)
    assert departed == Departed(SLOTS[0])
    assert isinstance(arrived, Arrived)
    assert not arrived.after_reset


def test_two_nameless_drives_are_not_taken_for_one() -> None:
    first, second = (
        replace(one, identity=replace(one.identity, wwn="", identify_sha256=digest))
        for one, digest in ((stay(0, "", 1), "aa"), (stay(0, "", 2), "bb"))
    )
    assert first.identity.key == second.identity.key
    presence = began(first)
    presence.listed([second], 5.0)
    assert told(presence) == [Departed(SLOTS[0]), Arrived(second)]


def test_a_drive_that_is_not_quiet_may_leave_but_not_arrive() -> None:
    presence = began(stay(0, "A", 1))
    presence.listed([stay(0, "B", 2)], 5.0, unsettled=frozenset({"sda"}))
    assert told(presence) == [Departed(SLOTS[0])]
    presence.listed([stay(0, "B", 2)], 7.0)
    assert told(presence) == [Arrived(stay(0, "B", 2))]


def test_a_changed_identity_of_the_same_disk_needs_two_lists() -> None:
    presence = began(stay(0, "A", 1))
    assert presence.listed([stay(0, "", 1)], 5.0) == {"sda"}
    assert told(presence) == []
    assert presence.listed([stay(0, "A", 1)], 7.0) == frozenset()
    assert told(presence) == []
    presence.listed([stay(0, "B", 1)], 60.0)
    presence.listed([stay(0, "B", 1)], 62.0)
    # nobody plugged anything in, as far as the kernel knows
    assert told(presence) == [Departed(SLOTS[0]), Arrived(stay(0, "B", 1), after_reset=True)]


def at_path(one: Drive, path: str) -> Drive:
    return replace(one, attachment=replace(one.attachment, device_path=path))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "/sys/devices/pci0000:00/0000:01:00.0/host0/port-0:3/end_device-0:3/target0:0:3/0:0:3:0",
            "/sys/devices/pci0000:00/0000:01:00.0/host0/port-0:9/end_device-0:9/target0:0:8/0:0:8:0",
        ),
        (
            "/sys/devices/pci0000:00/0000:03:00.0/nvme/nvme2",
            "/sys/devices/pci0000:00/0000:03:00.0/nvme/nvme5",
        ),
        (
            "/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0",
            "/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host7/target7:0:0/7:0:0:0",
        ),
    ],
)
def test_a_reset_may_leave_another_path(before: str, after: str) -> None:
    presence = began(at_path(stay(0, "A", 1), before))
    back = at_path(stay(0, "A", 2), after)
    presence.listed([back], 5.0)
    assert told(presence) == [Departed(before), Arrived(back, after_reset=True)]


@pytest.mark.parametrize("unsettled", [frozenset(), frozenset({"sda"})])
def test_a_drive_that_lost_its_first_path_was_not_plugged_in(unsettled: frozenset[str]) -> None:
    presence = began(stay(0, "A", 1))
    other = at_path(stay(0, "A", 1), "/sys/devices/pci0000:00/0000:05:00.0/host9/x")
    presence.listed([other], 5.0, unsettled=unsettled)
    presence.listed([other], 9.0)
    assert told(presence) == [Departed(SLOTS[0]), Arrived(other, after_reset=True)]


def test_a_drive_that_gains_a_namespace_stays() -> None:
    one = stay(0, "A", 1)
    more = replace(
        one,
        attachment=replace(
            one.attachment,
            nodes=(*one.attachment.nodes, NodeAttachment("nsid:2", "sdz", "8:240", 9)),
        ),
    )
    presence = began(one)
    presence.listed([more], 5.0)
    assert told(presence) == []
    assert presence.present() == (more,)


def test_another_boot_is_never_the_same_stay() -> None:
    one = stay(0, "A", 1)
    other = replace(one, attachment=replace(one.attachment, boot_id="later"))
    assert not is_same_stay(one, other)


def test_without_disk_numbers_the_device_number_decides() -> None:
    assert is_same_stay(stay(0, "A", 0), stay(0, "A", 0))
    other = stay(0, "A", 0)
    node = replace(other.attachment.nodes[0], devnum="8:99")
    moved = replace(other, attachment=replace(other.attachment, nodes=(node,)))
    assert not is_same_stay(stay(0, "A", 0), moved)


def test_devices_settle_one_by_one_and_the_restless_in_the_end() -> None:
    settling = Settling(PACE)
    assert settling.due_s() is None
    settling.noticed("sda", 0.0)
    settling.noticed("sdb", 1.0)
    assert settling.due_s() == 2.0
    settling.noticed("sda", 1.5)
    assert not settling.take_settled(2.9)
    assert settling.take_settled(3.0)
    assert settling.names == {"sda"}
    for tenth in range(20, 99):
        settling.noticed("sda", tenth / 10)
        assert not settling.take_settled(tenth / 10)
    assert settling.due_s() == 10.0
    assert settling.take_settled(10.0)
    assert settling.due_s() is None


def test_a_flood_of_devices_is_bounded_and_waited_for_together() -> None:
    settling = Settling(PACE)
    for number in range(3 * UNSETTLED_MAX):
        settling.noticed(f"sd{number}", 0.0)
    assert len(settling.names) == UNSETTLED_MAX
    assert settling.is_overrun
    assert settling.take_settled(2.0)
    assert not settling.is_overrun


occupants = st.one_of(st.none(), st.tuples(st.sampled_from("ABC"), st.integers(0, 6)))
scenes = st.lists(
    st.tuples(
        st.tuples(occupants, occupants, occupants),
        st.sets(st.sampled_from(["sda", "sdb", "sdc"])),
        st.booleans(),
        st.floats(0.1, 40.0),
    ),
    max_size=30,
)


Slot = tuple[str, int] | None


@given(scenes)
def test_in_any_storm_what_was_told_adds_up(
    scenes: list[tuple[tuple[Slot, Slot, Slot], set[str], bool, float]],
) -> None:
    presence = Presence(PACE)
    presence.begin([])
    believed: dict[str, Drive] = {}
    at_s = 0.0
    last: list[Drive] = []

    def hear() -> None:
        for event in told(presence):
            if isinstance(event, Arrived):
                path = event.drive.attachment.device_path
                assert path not in believed, "arrived twice without leaving"
                believed[path] = event.drive
            else:
                assert event.device_path in believed, "left without having been there"
                del believed[event.device_path]

    for slots, unsettled, listens, wait_s in scenes:
        at_s += wait_s
        last = [stay(n, one[0], one[1]) for n, one in enumerate(slots) if one is not None]
        presence.listed(last, at_s, unsettled=frozenset(unsettled))
        if listens:
            hear()
        assert {one.attachment.device_path for one in presence.present()} >= set(believed)
    # two quiet lists settle every doubt
    for _ in range(2):
        at_s += 5.0
        presence.listed(last, at_s)
    hear()
    here = {one.attachment.device_path: one for one in last}
    assert believed.keys() == here.keys()
    assert all(is_same_stay(believed[path], here[path]) for path in here)
    assert set(presence.present()) == set(last)
