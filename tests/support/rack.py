"""A station on virtual time, whose processes die wherever a test wants: for tests/sim.

Everything is the product but the drives, the host and the clock. The station is a pair: an agent (a
conductor with all its parts) and a bench (with drive processes of its own); they die together, or
one alone. To kill one is to let nothing of it happen any more: no write, no message, no
transaction. What stays is what stays after `kill -9`: files, and the drives.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nullbay.agent.certify import Certifier, Station
from nullbay.agent.conduct import Conductor, WipeRequest, WipeResult
from nullbay.agent.journal.store import Journal
from nullbay.certs import archive, ledger, transcript, verify
from nullbay.certs.keys import FileSigner, PublicKey, load_or_create
from nullbay.config import policies
from nullbay.domain.drive import Drive
from nullbay.domain.ids import BayId, JobId, PolicyId
from nullbay.domain.patterns import Keyed
from nullbay.domain.plan import OverwriteStep
from nullbay.domain.policy import Policy
from nullbay.domain.ports import BlockPort, DriveAccess, Geometry
from nullbay.domain.record import Build, Transcript
from nullbay.domain.verdict import Verdict
from nullbay.lab import hands
from nullbay.lab.clock import VirtualClock
from nullbay.lab.description_file import read_description
from nullbay.lab.files import open_file_drive
from nullbay.lab.host import SimulatedHostFacts
from nullbay.lab.olddata import OldData
from nullbay.wipers import bench_protocol as b
from nullbay.wipers import protocol as p
from nullbay.wipers.bench_connection import Connection
from nullbay.wipers.bench_server import BenchService
from nullbay.wipers.channel import Channel, local_pair
from nullbay.wipers.client import BenchClient
from nullbay.wipers.guard import Pin
from nullbay.wipers.lanes import InlineExecutor
from nullbay.wipers.service import Bench, Host, Placement
from nullbay.wipers.session import DriveSession, Surroundings
from nullbay.wipers.steps import Sizes
from nullbay.wipers.stream import stream_of

KIB = 1024
SMALL = Sizes(block_bytes=64 * KIB, flush_bytes=128 * KIB, flush_s=5.0)
REWIND_BYTES = 128 * KIB
LETS_GO_S = 300.0
BUILD = Build("0.0-simulation", "", "", "")

Listener = Callable[[p.FromDrive], object]
T = TypeVar("T")


class Killed(BaseException):
    """This process is dead; whatever it would do next does not happen."""


class Fate:
    """Names the moments of a process and ends it at one of them: the `at`-th, or one by name."""

    def __init__(self, at: int | None = None, *, name: str | None = None) -> None:
        self._at, self._name = at, name
        self.moments: list[str] = []
        self.died = asyncio.Event()

    def __call__(self, moment: str) -> None:
        """One moment."""
        self.check()
        self.moments.append(moment)
        if len(self.moments) - 1 == self._at or moment == self._name:
            self.dead = True
            raise Killed(moment)

    @property
    def dead(self) -> bool:
        return self.died.is_set()

    @dead.setter
    def dead(self, _: bool) -> None:
        self.died.set()

    def check(self) -> None:
        """Nothing happens to the dead."""
        if self.dead:
            raise Killed


class MortalChannel:
    """A channel whose end belongs to a process that may die. What is only shown is no moment.

    `counted` False: its messages are no moments, since the other end dies at the same time.
    """

    def __init__(self, inner: Channel, fate: Fate, who: str = "", *, counted: bool = True) -> None:
        self._inner, self._fate, self._who, self._counted = inner, fate, who, counted

    async def send(self, message: Any) -> None:
        self._moment("send", message)
        await self._inner.send(message)
        self._moment("sent", message)

    async def receive(self) -> Any:
        self._fate.check()
        message = await self._inner.receive()
        self._moment("received", message)
        return message

    def close(self) -> None:
        self._inner.close()

    def _moment(self, what: str, message: Any) -> None:
        if isinstance(message, p.Progress | b.Heard) or not self._counted:
            self._fate.check()
        else:
            self._fate(f"{self._who}{what} {message.kind}")


class MortalAccess:
    """A drive held by a process that may die: then no further command reaches it."""

    def __init__(self, inner: DriveAccess, fate: Fate) -> None:
        self._inner, self._fate = inner, fate

    def observe(self) -> Drive:
        self._fate.check()
        return self._inner.observe()

    def port(self, unit_id: str) -> BlockPort:
        return MortalPort(self._inner.port(unit_id), self._fate)

    def temperature_celsius(self) -> int | None:
        self._fate.check()
        return self._inner.temperature_celsius()

    def close(self) -> None:
        self._inner.close()  # the kernel does it for the dead


class MortalPort:
    """Its block port; what was done to the drive is counted for whoever wants to act in between."""

    def __init__(self, inner: BlockPort, fate: Fate) -> None:
        self._inner, self._fate = inner, fate

    @property
    def geometry(self) -> Geometry:
        return self._inner.geometry

    @property
    def reads(self) -> str:
        return self._inner.reads

    def current_size_bytes(self) -> int:
        return self._inner.current_size_bytes()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self._fate("drive read")
        self._inner.read_into(offset, buffer)

    def write_from(self, offset: int, buffer: memoryview) -> None:
        self._fate("drive write")
        self._inner.write_from(offset, buffer)
        self._fate("drive written")

    def flush(self) -> None:
        self._fate("drive flush")
        self._inner.flush()
        self._fate("drive flushed")

    def deallocate(self, offset: int, length: int) -> None:
        self._fate("drive deallocate")
        self._inner.deallocate(offset, length)
        self._fate("drive deallocated")

    def close(self) -> None:
        self._inner.close()


class SimulatedDriveProcess:
    """A drive process as a task, killed as one is: at once, with the drive let go of."""

    def __init__(self, around: Surroundings, bench: Fate, own: Fate) -> None:
        ours, theirs = local_pair()
        self._ours, self._own, self._theirs = ours, own, theirs
        self.channel: Channel = MortalChannel(ours, bench)
        session = DriveSession(MortalChannel(theirs, own, "drive "), around)
        self._task = asyncio.create_task(self._serve(session))

    async def _serve(self, session: DriveSession) -> None:
        try:
            await session.serve()
        except Killed:
            pass
        finally:
            self._theirs.close()

    def kill(self) -> None:
        """As SIGKILL."""
        self._own.dead = True
        self._task.cancel()
        self._theirs.close()

    def is_gone(self) -> bool:
        return self._task.done()

    async def ended(self) -> None:
        """The bench is gone: it must end by itself, in time, and without a fault."""
        self._ours.close()
        done, _ = await asyncio.wait({self._task}, timeout=LETS_GO_S)
        assert done, "a drive process outlives its bench"
        if not self._task.cancelled():
            self._task.result()


Launch = Callable[[Fate, Fate, int], Any]
"""Makes a drive process for a bench's fate and its own; the number counts them per process."""


@dataclass
class Rack:
    """One state directory, its keys, one clock: what outlives every process."""

    folder: Path
    clock: VirtualClock
    seed: int = 0
    sizes: Sizes = SMALL
    launch: Launch | None = None
    facts: SimulatedHostFacts = field(default_factory=SimulatedHostFacts)
    bay_of: Callable[[Drive], BayId] = lambda _: BayId("A1")
    processes: int = 0
    policies: dict[PolicyId, Policy] = field(default_factory=lambda: dict(policies.shipped()))
    pins: tuple[Pin, ...] = ()
    people: frozenset[str] | None = None
    signers: tuple[FileSigner, FileSigner] | None = None

    def __post_init__(self) -> None:
        (self.state / "records").mkdir(parents=True, exist_ok=True)
        if self.signers is None:
            self.signers = (
                load_or_create(self.state / "keys" / "station.pem", "demo-station"),
                load_or_create(self.state / "keys" / "bench.pem", "demo-bench"),
            )

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def trust(self) -> tuple[PublicKey, ...]:
        assert self.signers
        return tuple(PublicKey.from_pem(one.public_key_pem) for one in self.signers)

    def known_jobs(self) -> set[str]:
        """Jobs in the journal."""
        journal = Journal(self.state, self.clock)
        try:
            return {row.job_id for row in journal.jobs()}
        finally:
            journal.close()

    def process(
        self,
        fate: Fate | None = None,
        drive_fate: Fate | None = None,
        *,
        bench: BenchProcess | None = None,
    ) -> Process:
        """A new agent on the state directory, with that bench or with one that dies with it."""
        self.processes += 1
        return Process(self, fate or Fate(), drive_fate, bench)

    def bench(self, fate: Fate | None = None, drive_fate: Fate | None = None) -> BenchProcess:
        """A new bench on the same state directory, which dies alone."""
        self.processes += 1
        return BenchProcess(self, fate or Fate(), drive_fate)


class BenchProcess:
    """The bench: service, job folders, drive processes."""

    def __init__(self, rack: Rack, fate: Fate, drive_fate: Fate | None) -> None:
        self.rack, self.fate, self._drive_fate = rack, fate, drive_fate
        self._draw = random.Random(f"{rack.seed}/{rack.processes}/bench").randbytes
        self.children: list[Any] = []
        self._connections: list[asyncio.Task[None]] = []
        host = Host(rack.clock, rack.facts, self._find, self._launch)
        bench = Bench(
            rack.state / "jobs",
            host,
            BUILD,
            Placement(pins=rack.pins, bay_of=rack.bay_of),
            draw=self._draw,
            rewind_bytes=REWIND_BYTES,
            fault=fate,
        )
        assert rack.signers
        key = rack.signers[1]
        self.service = BenchService(
            bench,
            rack.policies,
            lambda made: transcript.sign_transcript(made, key),
            key.public_key_pem,
            people=rack.people,
            draw=self._draw,
        )

    def link(self, *, counted: bool) -> Channel:
        """The agent's end of a new connection."""
        ours, theirs = local_pair(b.FromBench, b.ToBench)
        end = MortalChannel(theirs, self.fate, "bench ", counted=counted)
        self._connections.append(asyncio.create_task(Connection(self.service, end, 0).serve()))
        return ours

    async def die(self, *, with_drive_processes: bool = True) -> None:
        """What is left of it goes; its drive processes with it, or by themselves."""
        self.fate.dead = True
        tasks: list[asyncio.Task[Any]] = [*self._connections]
        tasks += [
            one.work.task for one in self.service._kept.values() if one.work and one.work.task
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for child in self.children:
            if with_drive_processes:
                child.kill()
            await child.ended()

    async def end(self) -> None:
        """An orderly end."""
        await self.service.aclose()
        for child in self.children:
            await child.ended()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _find(self, device: str) -> Drive:
        return hands.look(device, self.rack.clock)

    async def _launch(self) -> Any:
        fate = self._drive_fate or Fate()
        if self.children:
            fate = Fate()  # only the first drive process has the fate that was asked for
        if self.rack.launch is not None:
            child = self.rack.launch(self.fate, fate, len(self.children))
        else:
            child = SimulatedDriveProcess(self.around(fate), self.fate, fate)
        self.children.append(child)
        return child

    def around(self, fate: Fate) -> Surroundings:
        """What a drive process of this rack has around it."""
        clock = self.rack.clock
        return Surroundings(
            clock,
            InlineExecutor(clock, clock.take_owed_s),
            lambda device: MortalAccess(open_file_drive(device, clock), fate),
            "simulation",
            draw_seed=self._draw,
            sizes=self.rack.sizes,
        )


class Process:
    """An agent: journal, certifier, conductors; and its bench, unless that lives on its own."""

    def __init__(
        self, rack: Rack, fate: Fate, drive_fate: Fate | None, bench: BenchProcess | None
    ) -> None:
        self.rack, self.fate = rack, fate
        self.alone = bench is not None
        self.bench = bench or BenchProcess(rack, fate, drive_fate)
        self._draw = random.Random(f"{rack.seed}/{rack.processes}").randbytes
        self.conducting: Conductor | None = None
        self.client: BenchClient | None = None
        self._errands: list[asyncio.Task[None]] = []
        assert rack.signers
        station = Station("simulation", "", "", rack.signers[0], rack.signers[1].public_key_pem)
        self.journal = Journal(rack.state, rack.clock, fault=fate)
        self.certifier = Certifier(
            self.journal,
            station,
            BUILD,
            rack.clock,
            rack.state / "records",
            draw=self._draw,
            render=lambda bundle: b"%PDF-" + hashlib.sha256(bundle).hexdigest().encode(),
            fault=fate,
        )

    @property
    def children(self) -> list[Any]:
        return self.bench.children

    def around(self, fate: Fate) -> Surroundings:
        return self.bench.around(fate)

    async def leave_for(self, bench: BenchProcess) -> None:
        """Its bench is gone; it connects to this one when it wants something."""
        if self.client is not None:
            await self.client.aclose()
        self.bench, self.client = bench, None

    async def connect(self) -> None:
        """To its bench."""
        link = self.bench.link(counted=self.alone)
        end = MortalChannel(link, self.fate, "agent ", counted=self.alone)
        self.client = BenchClient(end, "simulation")
        await self.client.hello()

    def conductor(self) -> Conductor:
        assert self.client is not None, "connect first"
        return Conductor(self.client, self.journal, self.certifier, draw=self._draw)

    async def wipe(self, request: WipeRequest, listener: Listener = lambda _: None) -> WipeResult:
        """What `nullbay wipe` does: tidy up, wipe, tell. Raises Killed where that comes between."""
        return await self.living(self._wipe(request, listener))

    async def recover(self) -> None:
        """What every process does first."""
        if self.client is None:
            await self.connect()
        await self.conductor().recover()

    async def living(self, work: Coroutine[Any, Any, T]) -> T:
        """As far as this process lives to do it."""
        main = asyncio.get_running_loop().create_task(work)
        death = asyncio.get_running_loop().create_task(self.fate.died.wait())
        try:
            await asyncio.wait({main, death}, return_when=asyncio.FIRST_COMPLETED)
            if self.fate.dead:
                raise Killed
            return await main
        finally:
            death.cancel()
            main.cancel()
            await asyncio.gather(main, death, return_exceptions=True)

    async def _wipe(self, request: WipeRequest, listener: Listener) -> WipeResult:
        self.rack.policies[request.policy.policy_id] = request.policy
        await self.recover()
        self.conducting = conductor = self.conductor()
        result = await conductor.wipe(request, self.rack.out, listener)
        await self.tell(result)
        return result

    def soon(self, errand: Coroutine[Any, Any, None]) -> None:
        """Somebody does this meanwhile."""
        self._errands.append(asyncio.get_running_loop().create_task(errand))

    async def tell(self, result: WipeResult) -> None:
        """The result reached whoever asked."""
        if result.job is not None and result.recorded is not None:
            self.fate("tell")
            await self.conductor().told(result.job)

    async def die(self, *, with_drive_processes: bool = True) -> None:
        """What is left of a killed process goes, and its bench, where that is a part of it."""
        self.fate.dead = True
        if not self.alone:
            await self.bench.die(with_drive_processes=with_drive_processes)
        if self.client is not None:
            await self.client.aclose()
        self.journal.close()

    async def end(self) -> None:
        """An orderly end."""
        if self.client is not None:
            await self.client.aclose()
        if not self.alone:
            await self.bench.end()
        self.journal.close()


def shipped(name: str) -> Policy:
    """A shipped policy."""
    return policies.resolve(policies.shipped(), name)


def request_for(path: Path, clock: VirtualClock, policy: Policy, **more: Any) -> WipeRequest:
    """What an operator asks for who looked at the listing."""
    return WipeRequest(str(path), policy, hands.look(path, clock).confirm, **more)


@dataclass(frozen=True)
class Audited:
    """A state directory that passed `audit`: verdicts by job, oldest first, and their evidence."""

    verdicts: dict[JobId, Verdict]
    transcripts: dict[JobId, Transcript]
    open_jobs: tuple[JobId, ...]
    ledger: tuple[str, ...]


def audit(rack: Rack, *, allow_open: bool = False) -> Audited:
    """What must hold of every state directory, however often its processes were killed.

    One conclusion and one authentic record for each job, nothing doubled, nothing without a start,
    nothing half-made, no stay unclosed, the pattern key the one that was committed to.
    """
    journal = Journal(rack.state, rack.clock)
    try:
        entries = list(journal.ledger())
        known = {row.job_id for row in journal.jobs()}
        told = {row.job_id for row in journal.jobs() if row.told}
        assert not journal.open_insertions()
    finally:
        journal.close()
    ledger.check_chain(entries, rack.trust[:1])
    report = ledger.check_jobs(entries)
    assert not report.doubled
    assert not report.never_started
    assert allow_open or not report.unconcluded
    folder = rack.state / "jobs"
    folders = {one.name for one in folder.iterdir()} if folder.exists() else set()
    assert known - told <= folders <= known
    bodies = [ledger.read_body(entry.body).event for entry in entries]
    concluded = [one for one in bodies if isinstance(one, ledger.JobConcluded)]
    verdicts, transcripts = {}, {}
    for entry in concluded:
        job = JobId(entry.job_id)
        kept = rack.state / "records" / job
        assert not [one for one in kept.iterdir() if one.name.endswith((".new", ".part"))]
        bundle = (kept / f"{job}.sigstore.json").read_bytes()
        packed = kept / f"{job}.evidence.tar.zst"
        checked = verify.verify(bundle, rack.trust, packed)
        assert checked.verdict is entry.verdict
        assert f"urn:uuid:{entry.statement_id[9:]}" == entry.statement_id
        members = archive.read(packed)
        assert verify.pattern_key(checked.statement, members) == members["pattern-key.bin"]
        if job in told:
            assert (rack.out / f"{job}.sigstore.json").read_bytes() == bundle
        verdicts[job], transcripts[job] = checked.verdict, checked.transcript
    for copy in rack.out.glob("*.sigstore.json"):
        kept = rack.state / "records" / copy.name.split(".")[0]
        assert copy.read_bytes() == (kept / copy.name).read_bytes()
    kinds = tuple(one.kind for one in bodies)
    return Audited(verdicts, transcripts, tuple(map(JobId, report.unconcluded)), kinds)


def pattern_key_of(rack: Rack, job: JobId) -> bytes:
    """What a job's keyed passes were written with: from its record, or from its folder."""
    packed = rack.state / "records" / job / f"{job}.evidence.tar.zst"
    if packed.exists():
        return archive.read(packed)["pattern-key.bin"]
    return (rack.state / "jobs" / job / "keys").read_bytes()[:32]


def holds_stream(rack: Rack, transcript: Transcript, path: Path) -> bool:
    """Whether the medium holds, byte for byte, what the record's last pass says."""
    evidence = transcript.evidence
    step = [one for one in evidence.plan.steps if isinstance(one, OverwriteStep)][-1]
    image = path.with_suffix(".img").read_bytes()
    key = pattern_key_of(rack, evidence.job_id) if isinstance(step.pattern, Keyed) else bytes(32)
    expected = bytearray(len(image))
    stream_of(step.pattern, key, step.number, len(image)).fill(0, memoryview(expected))
    return image == bytes(expected)


def left(path: Path, old_data: OldData) -> int:
    """Bytes of the old data that are still on the medium."""
    sector_bytes = read_description(path).logical_sector_bytes
    return sum(one.length for one in old_data.left_on(path.with_suffix(".img"), sector_bytes))
