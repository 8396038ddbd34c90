"""What a station that starts again says of drives it finished: only what it can know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from nullbay.domain.status import Action, BayState
from nullbay.domain.verdict import Verdict
from nullbay.lab import clock as virtual
from nullbay.lab.clock import VirtualClock
from support.crashes import signers
from support.rack import Rack
from support.station import OPERATOR, Bench, drive

SIGNERS = signers()


def play(folder: Path, day: Callable[[Bench], Awaitable[None]]) -> None:
    async def main(clock: VirtualClock) -> None:
        bench = Bench(Rack(folder, clock, signers=SIGNERS), clock, {"A1": drive("S-1")})
        try:
            await day(bench)
        finally:
            await bench.end()

    virtual.run(main, seed=1)


async def finished(bench: Bench) -> None:
    await bench.start()
    bench.insert("A1")
    await bench.until("A1", BayState.PLANNED)
    await bench.approve("A1")
    shown = await bench.until("A1", BayState.CONCLUDED)
    assert shown.verdict is Verdict.SANITIZED
    await bench.stop()


def test_a_drive_that_never_left_ships_after_a_restart(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        await finished(bench)
        station = await bench.start()
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert (shown.action, shown.verdict) == (Action.SHIP, Verdict.SANITIZED)
        await bench.clock.sleep(3_600)
        assert bench.kinds().count("job-started") == 1
        await station.scan("BAY:A1", OPERATOR)
        answer = await station.scan("S/N: S-1", OPERATOR)
        assert not answer.alarm
        assert answer.label[0] == "SHIP"

    play(tmp_path, day)


def test_a_bench_that_died_is_replaced_also_where_nothing_is_under_way(tmp_path: Path) -> None:
    async def day(bench: Bench) -> None:
        await finished(bench)
        station = await bench.start()
        await bench.until("A1", BayState.CONCLUDED)
        bench.bench.fate.dead = True
        await bench.bench.die(with_drive_processes=True)
        await bench.until("A1", BayState.SETTLING)
        bench.bench = bench.rack.bench()
        shown = await bench.until("A1", BayState.CONCLUDED)
        assert shown.action is Action.SHIP
        await bench.clock.sleep(2)
        assert "bench.away" not in {one.code for one in station.status().problems}
        assert bench.kinds().count("job-started") == 1

    play(tmp_path, day)


def test_one_that_was_away_meanwhile_does_not_however_much_it_looks_the_same(
    tmp_path: Path,
) -> None:
    async def day(bench: Bench) -> None:
        await finished(bench)
        bench.pull("A1")
        bench.insert("A1")
        station = await bench.start()
        shown = await bench.until("A1", BayState.KNOWN)
        assert shown.action is Action.CALL
        await station.scan("BAY:A1", OPERATOR)
        answer = await station.scan("S/N: S-1", OPERATOR)
        assert answer.label == ()
        assert answer.code != "removal.agrees"

    play(tmp_path, day)
