"""Admission: limits hold, the oldest comes first, and nobody is starved."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nullbay.agent import admission, pressure
from nullbay.agent.admission import Asking, Limits, Pressure, Running, decide, expected_bytes_per_s
from nullbay.domain.method import MediaKind, Transport
from nullbay.wipers.platform.topology import Link, Route
from support.drives import drive

CALM = Pressure(1 << 40, Decimal(0), 1 << 40)
LINK = Link("0000:01:00.0", 1000)
ON_HBA = Route("0000:01:00.0 mpt3sas", "", (LINK,))
ELSEWHERE = Route("0000:02:00.0 mpt3sas", "", (Link("0000:02:00.0", 1000),))
TOPOLOGY = {**{f"h{n}": ON_HBA for n in range(9)}, **{f"e{n}": ELSEWHERE for n in range(9)}}


def asks(name: str, path: str, rate: int = 100, since: float = 0.0) -> Asking:
    return Asking(name, since, path, rate)


def codes(decision: admission.Decision) -> dict[str, str]:
    return {one.name: one.why.code for one in decision.waits}


def test_without_limits_everybody_starts_oldest_first() -> None:
    waiting = [asks("b", "x", since=2), asks("a", "y", since=1), asks("c", "z", since=1)]
    assert decide(waiting, [], Limits(), CALM, {}).start == ("a", "c", "b")


def test_so_many_jobs_and_no_more() -> None:
    waiting = [asks(name, name) for name in "abc"]
    decision = decide(waiting, [Running("r", "q", 5)], Limits(jobs_max=2), CALM, {})
    assert decision.start == ("a",)
    assert codes(decision) == {"b": "queue.jobs-max", "c": "queue.jobs-max"}


def test_an_adapter_carries_what_its_link_carries() -> None:
    waiting = [asks(f"j{n}", f"h{n}", 400) for n in range(4)]
    decision = decide(waiting, [], Limits(), CALM, TOPOLOGY)
    assert decision.start == ("j0", "j1")
    assert codes(decision) == {"j2": "queue.hba-bandwidth", "j3": "queue.hba-bandwidth"}
    other = decide([*waiting, asks("z", "e0", 400)], [], Limits(), CALM, TOPOLOGY)
    assert "z" in other.start


def test_measured_speed_takes_the_place_of_what_was_expected() -> None:
    running = [Running(f"r{n}", f"h{n}", 60) for n in range(4)]
    assert decide([asks("j", "h8", 400)], running, Limits(), CALM, TOPOLOGY).start == ("j",)


def test_settings_bound_an_adapter_and_everything_together() -> None:
    waiting = [asks("a", "h0", 60), asks("b", "h1", 60), asks("c", "e0", 60)]
    decision = decide(waiting, [], Limits(bytes_per_s_per_hba=100), CALM, TOPOLOGY)
    assert decision.start == ("a", "c")
    assert codes(decision) == {"b": "queue.hba-bandwidth"}
    decision = decide(waiting, [], Limits(bytes_per_s_total=130), CALM, TOPOLOGY)
    assert decision.start == ("a", "b")
    assert codes(decision) == {"c": "queue.total-bandwidth"}


def test_a_job_larger_than_its_link_gets_it_alone() -> None:
    big = asks("big", "h0", 5000)
    decision = decide([big, asks("small", "h1", 1, 1.0)], [], Limits(), CALM, TOPOLOGY)
    assert decision.start == ("big",)
    busy = decide([big], [Running("r", "h1", 1)], Limits(), CALM, TOPOLOGY)
    assert codes(busy) == {"big": "queue.hba-bandwidth"}


def test_what_the_oldest_waits_for_is_kept_for_it() -> None:
    running = [Running("r", "h0", 500)]
    waiting = [asks("big", "h1", 800), asks("small", "h2", 10, 1.0), asks("far", "e0", 10, 2.0)]
    decision = decide(waiting, running, Limits(), CALM, TOPOLOGY)
    assert decision.start == ("far",)
    assert codes(decision) == {"big": "queue.hba-bandwidth", "small": "queue.hba-bandwidth"}


def test_what_the_oldest_needs_besides_is_not_given_away_meanwhile() -> None:
    running = [Running("r", "h0", 900)]
    limits = Limits(bytes_per_s_total=2000)
    waiting = [asks("big", "h1", 800), asks("next", "e0", 200, 1.0), asks("last", "e1", 200, 2.0)]
    decision = decide(waiting, running, limits, CALM, TOPOLOGY)
    assert decision.start == ("next",)
    assert codes(decision)["last"] == "queue.total-bandwidth"


def test_the_host_itself_may_have_no_room() -> None:
    waiting = [asks("a", "x"), asks("b", "y")]
    per_job = admission.MEMORY_PER_JOB_BYTES
    tight = Pressure(per_job + 150, Decimal("3.5"), 1000)
    memory = decide(waiting, [], Limits(memory_available_min_bytes=100), tight, {})
    assert memory.start == ("a",)
    assert codes(memory) == {"b": "queue.memory"}
    load = decide(waiting, [], Limits(load_per_cpu_max=Decimal(3)), tight, {})
    assert codes(load) == {"a": "queue.load", "b": "queue.load"}
    disk = decide(waiting, [], Limits(disk_free_min_bytes=200, disk_bytes_per_job=500), tight, {})
    assert disk.start == ("a",)
    assert codes(disk) == {"b": "queue.disk"}
    unknown = Pressure(None, None, None)
    limits = Limits(0, 0, 0, 1 << 50, Decimal("0.1"), 1 << 50, 1 << 50)
    assert decide(waiting, [], limits, unknown, {}).start == ("a", "b")


def test_jobs_that_run_already_are_in_the_memory_as_it_is() -> None:
    per_job = admission.MEMORY_PER_JOB_BYTES
    running = [Running(str(n), "x", 1) for n in range(50)]
    limits = Limits(memory_available_min_bytes=100)
    decision = decide([asks("a", "y")], running, limits, Pressure(per_job + 100, None, None), {})
    assert decision.start == ("a",)


def test_flash_is_expected_to_be_faster_than_disks() -> None:
    disk = expected_bytes_per_s(drive(media=MediaKind.MAGNETIC))
    sata = expected_bytes_per_s(drive(media=MediaKind.FLASH))
    nvme = expected_bytes_per_s(drive(media=MediaKind.FLASH, transport=Transport.NVME))
    usb = expected_bytes_per_s(drive(media=MediaKind.MAGNETIC, transport=Transport.USB))
    assert 0 < usb < disk < sata < nvme


paths = st.sampled_from([*sorted(TOPOLOGY), "alone"])
crowds = st.lists(st.tuples(paths, st.integers(1, 3000), st.integers(0, 5)), max_size=12)
limits_of = st.builds(
    Limits,
    jobs_max=st.integers(0, 4),
    bytes_per_s_total=st.sampled_from([0, 500, 2500]),
    bytes_per_s_per_hba=st.sampled_from([0, 700]),
)


@given(crowds, crowds, limits_of)
def test_no_bound_is_broken_and_everybody_is_answered(
    waiting: list[tuple[str, int, int]], running: list[tuple[str, int, int]], limits: Limits
) -> None:
    asking = [asks(f"w{n}", path, rate, since) for n, (path, rate, since) in enumerate(waiting)]
    at_work = [Running(f"r{n}", path, rate) for n, (path, rate, _) in enumerate(running)]
    decision = decide(asking, at_work, limits, CALM, TOPOLOGY)
    assert sorted((*decision.start, *(one.name for one in decision.waits))) == sorted(
        one.name for one in asking
    )
    by_name = {one.name: one for one in asking}
    for name in decision.start:
        route = TOPOLOGY.get(by_name[name].device_path)
        beside: list[Asking | Running] = [*at_work]
        beside += [by_name[other] for other in decision.start if other != name]
        others = [
            one for one in beside if route is not None and TOPOLOGY.get(one.device_path) == route
        ]
        if others and route is not None:
            total = by_name[name].bytes_per_s + sum(one.bytes_per_s for one in others)
            assert total <= 1000
    if limits.jobs_max and decision.start:
        assert len(at_work) + len(decision.start) <= limits.jobs_max
    again = decide(
        [by_name[one.name] for one in decision.waits],
        [
            *at_work,
            *(Running(n, by_name[n].device_path, by_name[n].bytes_per_s) for n in decision.start),
        ],
        limits,
        CALM,
        TOPOLOGY,
    )
    assert again.start == ()


@given(crowds, limits_of, st.integers(1, 3000), paths)
def test_the_oldest_starts_at_last_however_many_small_ones_come(
    running: list[tuple[str, int, int]], limits: Limits, rate: int, path: str
) -> None:
    """New small jobs arrive for ever; each round the job that has run longest ends."""
    at_work = [Running(f"r{n}", p, r) for n, (p, r, _) in enumerate(running)]
    waiting = [asks("big", path, rate, -1.0)]
    for turn in range(len(at_work) + 8):
        waiting += [
            asks(f"s{turn}-{n}", p, 50, float(turn)) for n, p in enumerate(("h1", "e1", "alone"))
        ]
        decision = decide(waiting, at_work, limits, CALM, TOPOLOGY)
        by_name = {one.name: one for one in waiting}
        if "big" in decision.start:
            return
        at_work = at_work[1:] + [
            Running(n, by_name[n].device_path, by_name[n].bytes_per_s) for n in decision.start
        ]
        waiting = [by_name[one.name] for one in decision.waits]
    raise AssertionError("it was starved")


def test_pressure_is_read(tmp_path: Path) -> None:
    now = pressure.read(tmp_path)
    assert now.memory_available_bytes is not None
    assert 1 << 20 < now.memory_available_bytes < 1 << 50
    assert now.load_per_cpu is not None
    assert now.load_per_cpu >= 0
    assert now.disk_free_bytes is not None
    assert pressure.read(tmp_path / "gone").disk_free_bytes is None
