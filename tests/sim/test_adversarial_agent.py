"""A stolen agent asks for what it must not have: each time a code, and an untouched drive."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nullbay.domain.ids import BayId, JobId, LotRef
from nullbay.domain.lot import DataCategory, Lot, Person
from nullbay.domain.outcome import JobEnd, SessionEnd
from nullbay.domain.plan import OverwriteStep, SanitizationPlan
from nullbay.domain.policy import Policy
from nullbay.lab import clock as virtual
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.wipers import bench_protocol as b
from nullbay.wipers import protocol as p
from nullbay.wipers.bench_connection import HELLO_S, IN_FLIGHT_MAX, OUTGOING_MAX, Connection
from nullbay.wipers.channel import ChannelClosedError, LocalChannel, local_pair
from nullbay.wipers.planner import plan as make_plan
from support.crashes import NIST_CLEAR, OLD, drive, scratch, signers, variant
from support.rack import BenchProcess, Rack, shipped

SIGNERS = signers()
AGENT_UID = 990
PURGE = shipped("nist-purge")
TWO_PEOPLE = variant(NIST_CLEAR, "two-people", two_person_approval=True)
HELLO = b.AgentHello(b.PROTOCOL, "stolen")
JOB = JobId("j-20260105T060000-0123456789ab")


class Stolen:
    """The agent's end of a connection, in the hands of somebody else."""

    def __init__(self, rack: Rack, bench: BenchProcess, path: Path, uid: int) -> None:
        self.rack, self.bench, self.path = rack, bench, path
        self.channel, theirs = local_pair(b.FromBench, b.ToBench)
        self.serving = asyncio.create_task(Connection(bench.service, theirs, uid).serve())
        self._number = 0

    async def greet(self) -> None:
        await self.channel.send(HELLO)
        assert isinstance(await self.channel.receive(), b.BenchHello)

    async def ask(self, make: Callable[[int], Any]) -> Any:
        self._number += 1
        await self.channel.send(make(self._number))
        while True:
            answer = await self.channel.receive()
            if answer.request == self._number and not isinstance(answer, b.Heard | b.Part):
                return answer

    async def refused(self, make: Callable[[int], Any]) -> set[str]:
        answer = await self.ask(make)
        if isinstance(answer, b.FailedAnswer):
            return {answer.code}
        assert isinstance(answer, b.RefusedAnswer), answer
        return {one.code for one in answer.refusals}

    async def held(self, device: str | None = None) -> b.Held:
        answer = await self.ask(lambda n: b.Open(n, device or str(self.path), None, 0, False))
        assert isinstance(answer, b.HeldAnswer), answer
        return answer.held

    async def approval(self, held: b.Held, **changes: Any) -> Callable[[int], b.Create]:
        """A true one, but for `changes`."""
        ticket = (await self.ask(lambda n: b.AskTicket(n, held.handle))).ticket
        plan = planned(held, NIST_CLEAR)
        made = b.Create(
            0, ticket, held.handle, plan.policy_id, plan.policy_sha256, plan.sha256, None, ()
        )
        return lambda n: replace(made, request=n, **changes)


def play(act: Callable[[Stolen], Awaitable[None]], uid: int = AGENT_UID, **more: Any) -> None:
    """Let somebody act; nothing of the drive may have changed, whatever it was."""

    async def main(clock: VirtualClock) -> None:
        path = hands.make_file_drive(folder / "drive.json", drive(), old_data=OLD)
        before = digest(path)
        rack = Rack(folder, clock, signers=SIGNERS, **more)
        rack.policies |= {one.policy_id: one for one in (PURGE, TWO_PEOPLE)}
        bench = rack.bench()
        stolen = Stolen(rack, bench, path, uid)
        await act(stolen)
        stolen.channel.close()
        await asyncio.gather(stolen.serving, return_exceptions=False)
        await bench.end()
        assert digest(path) == before, "the drive was changed"

    with scratch() as folder:
        virtual.run(main)


def planned(held: b.Held, policy: Policy) -> SanitizationPlan:
    made = make_plan(held.drive, policy)
    assert isinstance(made, SanitizationPlan)
    return made


def digest(path: Path) -> str:
    return hashlib.sha256(path.with_suffix(".img").read_bytes()).hexdigest()


# --- plans and approvals -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"policy_id": PURGE.policy_id, "policy_sha256": PURGE.sha256},
         "plan.held-for-destruction"),
        ({"policy_id": PURGE.policy_id}, "policy.changed"),
        ({"policy_id": "made-up/1"}, "policy.unknown"),
        ({"policy_sha256": "0" * 64}, "policy.changed"),
        ({"plan_sha256": "0" * 64}, "plan.changed"),
        ({"lot": Lot(LotRef("L"), data_category=DataCategory.HIGH)}, "plan.held-for-destruction"),
        ({"policy_id": TWO_PEOPLE.policy_id, "policy_sha256": TWO_PEOPLE.sha256}, "plan.changed"),
        ({"handle": "h-0000000000000000"}, "drive.not-held"),
        ({"ticket": "0" * 32}, "approval.replayed"),
    ],
)  # fmt: skip
def test_only_what_was_approved_is_done(changes: dict[str, Any], code: str) -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        held = await stolen.held()
        assert code in await stolen.refused(await stolen.approval(held, **changes))
        assert stolen.bench.service.jobs("") == ((), False)

    play(act)


@pytest.mark.parametrize("people", [(), ("a",), ("a", "a")])
def test_two_people_are_two_people(people: tuple[str, ...]) -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        held = await stolen.held()
        plan = planned(held, TWO_PEOPLE)
        approval = await stolen.approval(
            held,
            policy_id=TWO_PEOPLE.policy_id,
            policy_sha256=TWO_PEOPLE.sha256,
            plan_sha256=plan.sha256,
            people=tuple(Person("operator", one) for one in people),
        )
        assert await stolen.refused(approval) == {"plan.approval-missing"}

    play(act)


def test_nobody_is_made_up_who_approved() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        held = await stolen.held()
        for name in ("op-2", "\u202eop-1", ""):
            people = (Person("operator", "op-1"), Person("operator", name))
            approval = await stolen.approval(held, people=people)
            assert await stolen.refused(approval) == {"approval.unknown-person"}
        assert stolen.bench.service.jobs("") == ((), False)

    play(act, people=frozenset({"op-1"}))


def test_an_approval_serves_once() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        held = await stolen.held()
        approval = await stolen.approval(held)
        assert isinstance(await stolen.ask(approval), b.ViewAnswer)
        assert await stolen.refused(approval) == {"approval.replayed"}
        assert await stolen.refused(await stolen.approval(held)) == {"job.open"}
        assert len(stolen.bench.service.jobs("")[0]) == 1

    play(act)


def test_an_approval_is_for_one_drive_on_one_attachment() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        other = hands.make_file_drive(
            stolen.path.with_name("other.json"), drive(serial="OTHER"), old_data=OLD
        )
        held, beside = await stolen.held(), await stolen.held(str(other))
        approval = await stolen.approval(held)
        moved = approval(0)
        assert await stolen.refused(lambda n: replace(moved, request=n, handle=beside.handle)) == {
            "approval.replayed"
        }
        hands.pull(stolen.path)
        hands.put_back(stolen.path)
        again = await stolen.held()
        assert again.handle != held.handle
        assert await stolen.refused(approval) == {"drive.not-held"}
        assert await stolen.refused(lambda n: replace(moved, request=n, handle=again.handle)) == {
            "approval.replayed"
        }

    play(act)


# --- drives ------------------------------------------------------------------------------------


def test_a_drive_outside_the_bays_is_not_opened_whoever_says_so() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        device = str(stolen.path)
        inside = await stolen.refused(lambda n: b.Open(n, device, None, 0, False))
        assert inside == {"guard.outside-bays"}
        asked = await stolen.refused(lambda n: b.Open(n, device, None, 0, True))
        assert asked == {"bench.not-root"}
        assert stolen.bench.children == []

    play(act, bay_of=lambda _: None)


def test_root_may_say_so_and_an_agent_does_not_get_that_drive() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        device = str(stolen.path)
        answer = await stolen.ask(lambda n: b.Open(n, device, None, 0, True))
        assert isinstance(answer, b.HeldAnswer)
        agent = Stolen(stolen.rack, stolen.bench, stolen.path, AGENT_UID)
        await agent.greet()
        refused = await agent.refused(lambda n: b.Open(n, device, None, 0, False))
        assert refused == {"guard.outside-bays"}
        agent.channel.close()
        await agent.serving

    play(act, uid=0, bay_of=lambda _: None)


def test_the_systems_own_drive_is_refused() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        device = str(stolen.path)
        own = hands.look(device, stolen.rack.clock)
        stolen.rack.facts._root = own
        assert "guard.system-drive" in await stolen.refused(
            lambda n: b.Open(n, device, None, 0, False)
        )

    play(act)


def test_a_drive_that_is_not_there_is_told_so() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        hands.pull(stolen.path)
        device = str(stolen.path)
        found = await stolen.refused(lambda n: b.Open(n, device, None, 0, False))
        assert found == {"device.not-found"}
        hands.put_back(stolen.path)

    play(act)


def test_only_root_stops_the_bench() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        assert await stolen.refused(lambda n: b.Stop(n, True)) == {"bench.not-root"}
        assert not stolen.bench.service.stopped.is_set()

    play(act)


def test_a_step_that_may_not_be_interrupted_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such step exists yet: one that says so is played by any other."""

    async def main(clock: VirtualClock) -> None:
        path = hands.make_file_drive(folder / "drive.json", drive(), old_data=OLD)
        bench = Rack(folder, clock, signers=SIGNERS).bench()
        root = Stolen(bench.rack, bench, path, 0)
        await root.greet()
        held = await root.held()
        job = (await root.ask(await root.approval(held))).view.job_id
        await root.channel.send(b.Work(99, job, held.handle, 64 * 1024))
        while True:
            heard = await root.channel.receive()
            if isinstance(heard, b.Heard) and isinstance(heard.message, p.Intent):
                break
        with monkeypatch.context() as patched:
            patched.setattr(OverwriteStep, "may_be_interrupted", False)
            assert await root.refused(lambda n: b.Stop(n, False)) == {"bench.uninterruptible"}
        assert not bench.service.stopped.is_set()
        assert isinstance(await root.ask(lambda n: b.Stop(n, False)), b.DoneAnswer)
        assert bench.service.stopped.is_set()
        assert await root.refused(lambda n: b.Open(n, str(path), None, 0, False)) == {
            "bench.stopping"
        }
        root.channel.close()
        await root.serving
        await bench.end()

    with scratch() as folder:
        virtual.run(main)


# --- jobs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", sorted(set(JobEnd) - {JobEnd.ABORTED}))
def test_a_job_ends_as_its_own_journal_says(end: JobEnd) -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        job = (await stolen.ask(await stolen.approval(await stolen.held()))).view.job_id
        assert await stolen.refused(lambda n: b.Conclude(n, job, end)) == {"job.other-end"}
        assert await stolen.refused(lambda n: b.AskMembers(n, job)) == {"job.open"}

    play(act)


def test_a_job_is_worked_on_with_its_own_drive() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        other = hands.make_file_drive(
            stolen.path.with_name("other.json"), drive(serial="OTHER"), old_data=OLD
        )
        before = digest(other)
        job = (await stolen.ask(await stolen.approval(await stolen.held()))).view.job_id
        beside = await stolen.held(str(other))
        refused = await stolen.refused(lambda n: b.Work(n, job, beside.handle, 0))
        assert refused == {"identity.changed"}
        assert digest(other) == before
        assert not (await stolen.ask(lambda n: b.Look(n, job))).view.begun

    play(act)


def test_a_job_that_may_yet_begin_is_not_forgotten() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        job = (await stolen.ask(await stolen.approval(await stolen.held()))).view.job_id
        await stolen.ask(lambda n: b.Forget(n, (job,)))
        assert stolen.bench.service.jobs("")[0] == (job,)
        later = Stolen(stolen.rack, stolen.bench, stolen.path, AGENT_UID)
        await later.greet()
        await later.ask(lambda n: b.Forget(n, (job,)))
        assert stolen.bench.service.jobs("")[0] == (), "its maker is not among the connected"
        later.channel.close()
        await later.serving

    play(act)


def test_a_folder_goes_only_against_the_digest_of_its_result() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        held = await stolen.held()
        job = (await stolen.ask(await stolen.approval(held))).view.job_id
        assert await stolen.refused(lambda n: b.Acknowledge(n, job, "")) == {"job.other-result"}
        view = (await stolen.ask(lambda n: b.Conclude(n, job, JobEnd.ABORTED))).view
        wrong = "0" * 64
        assert await stolen.refused(lambda n: b.Acknowledge(n, job, wrong)) == {"job.other-result"}
        assert isinstance(await stolen.ask(lambda n: b.Forget(n, (job,))), b.DoneAnswer)
        assert stolen.bench.service.jobs("")[0] == (job,)
        assert await stolen.refused(lambda n: b.Work(n, job, held.handle, 0)) == {"job.concluded"}
        right = view.result_sha256
        for _ in range(2):
            assert isinstance(
                await stolen.ask(lambda n: b.Acknowledge(n, job, right)), b.DoneAnswer
            )
        assert stolen.bench.service.jobs("")[0] == ()

    play(act)


@pytest.mark.parametrize("job", [JOB, "../../etc", "", "j-20260105T060000-0123456789ab/../x", "."])
def test_a_job_that_is_none_is_unknown(job: str) -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        held = await stolen.held()
        for make in (
            lambda n: b.Look(n, JobId(job)),
            lambda n: b.Work(n, JobId(job), held.handle, 0),
            lambda n: b.RecheckJob(n, JobId(job), held.handle),
            lambda n: b.Conclude(n, JobId(job), JobEnd.ABORTED),
            lambda n: b.AskMembers(n, JobId(job)),
        ):
            assert await stolen.refused(make) == {"job.unknown"}
        assert isinstance(
            await stolen.ask(lambda n: b.Acknowledge(n, JobId(job), "x")), b.DoneAnswer
        )
        assert isinstance(await stolen.ask(lambda n: b.Forget(n, (JobId(job),))), b.DoneAnswer)

    play(act)


# --- messages ----------------------------------------------------------------------------------


FRAMES = {
    "no-json": b"\0\0\0\2{{",
    "no-object": b"\0\0\0\2[]",
    "deep": b"\0\0\x10\0" + b"[" * 4096,
    "forged-bay": b'\0\0\0\x74{"bay":"A1","confirm":null,"device":"x","kind":"open",'
    b'"outside_bays":false,"patience_ms":0,"request":1}',
    "second-hello": b'\0\0\0\x3a{"build":"x","kind":"hello","protocol":"nullbay.bench/1"}',
    "of-the-bench": b'\0\0\0\x1b{"kind":"done","request":1}',
    "float": b'\0\0\0\x29{"kind":"look","job":"x","request":1.5}',
}


@pytest.mark.parametrize("frame", FRAMES)
def test_what_is_not_understood_ends_the_connection_with_a_word(frame: str) -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        body = FRAMES[frame][4:]
        await sent(stolen.channel, body)
        last = await stolen.channel.receive()
        assert isinstance(last, b.FailedAnswer)
        assert (last.request, last.code) == (0, "input.malformed")
        with pytest.raises(ChannelClosedError):
            await stolen.channel.receive()
        fresh = Stolen(stolen.rack, stolen.bench, stolen.path, AGENT_UID)
        await fresh.greet()
        await fresh.held()
        fresh.channel.close()
        await fresh.serving

    play(act)


async def sent(channel: LocalChannel, body: bytes) -> None:
    """Bytes that no message makes."""
    channel._outgoing.append(len(body).to_bytes(4, "big") + body)
    channel._pair.change()


@pytest.mark.parametrize(
    "hello", [b.AgentHello("nullbay.bench/99", "x"), b.Look(1, JOB), b.AgentHello("", "")]
)
def test_another_protocol_is_refused_before_anything_else(hello: Any) -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.channel.send(hello)
        last = await stolen.channel.receive()
        assert (last.request, last.code) == (0, "input.unknown-schema")
        with pytest.raises(ChannelClosedError):
            await stolen.channel.receive()

    play(act)


def test_one_that_never_greets_is_not_waited_for() -> None:
    async def act(stolen: Stolen) -> None:
        started = stolen.rack.clock.boottime()
        with pytest.raises(ChannelClosedError):
            await stolen.channel.receive()
        assert stolen.rack.clock.boottime() - started <= HELLO_S + 1

    play(act)


def test_one_that_asks_for_too_much_at_once_loses_its_connection() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        device = str(stolen.path)
        hands.pull(stolen.path)
        hands.put_back(stolen.path)
        async with asyncio.TaskGroup() as group:
            group.create_task(_flood(stolen, device))
        await stolen.serving

    play(act)


async def _flood(stolen: Stolen, device: str) -> None:
    with pytest.raises(ChannelClosedError):  # noqa: PT012 - which of them it is, nobody knows
        for number in range(4 * (IN_FLIGHT_MAX + OUTGOING_MAX)):
            await stolen.channel.send(b.Open(number, device, None, 600_000, False))


def test_one_that_does_not_read_holds_nobody_up() -> None:
    """Its job goes on without it, and the next connection hears the rest."""

    async def main(clock: VirtualClock) -> None:
        path = hands.make_file_drive(folder / "drive.json", drive(), old_data=OLD)
        bench = Rack(folder, clock, signers=SIGNERS).bench()
        deaf = Stolen(bench.rack, bench, path, AGENT_UID)
        await deaf.greet()
        held = await deaf.held()
        job = (await deaf.ask(await deaf.approval(held))).view.job_id
        await deaf.channel.send(b.Work(99, job, held.handle, 2 * 1024))
        await deaf.serving  # it is given up
        other = Stolen(bench.rack, bench, path, AGENT_UID)
        await other.greet()
        assert (await other.held()).handle == held.handle
        answer = await other.ask(lambda n: b.Look(n, job))
        assert answer.view.running
        await other.ask(lambda n: b.Work(n, job, held.handle, 0))
        assert (await other.ask(lambda n: b.Look(n, job))).view.end is JobEnd.COMPLETED
        before = (bench.rack.state / "jobs" / job / "events").read_bytes()
        again = await other.ask(lambda n: b.Work(n, job, held.handle, 0))
        assert (again.end, again.code) == (SessionEnd.FINISHED, "")
        assert (bench.rack.state / "jobs" / job / "events").read_bytes() == before
        other.channel.close()
        await other.serving
        await bench.end()

    with scratch() as folder:
        virtual.run(main)


def test_a_bay_is_what_the_bench_says() -> None:
    async def act(stolen: Stolen) -> None:
        await stolen.greet()
        held = await stolen.held()
        assert held.drive.attachment.bay == BayId("B7")

    play(act, bay_of=lambda _: BayId("B7"))
