"""The agent's side of the bench: what it believes, and what becomes of those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nullbay.domain.errors import NullbayError, UnknownSchemaError
from nullbay.domain.ids import JobId
from nullbay.domain.outcome import SessionEnd
from nullbay.domain.plan import Refusal
from nullbay.domain.record import Build
from nullbay.wipers import bench_protocol as b
from nullbay.wipers import protocol as p
from nullbay.wipers.channel import ChannelClosedError, LocalChannel, local_pair
from nullbay.wipers.client import BenchClient, connect
from nullbay.wipers.service import RefusedError, WrongConfirmationError

JOB = JobId("j-20260105T060000-0123456789ab")
HELLO = b.BenchHello(b.PROTOCOL, Build("1", "", "", ""), b"a key")
PROGRESS = p.Progress(1, 1, "write", 1, 2, 3, None, 0, None, ())
LIMIT_S = 30
"""No test waits for this: it ends one that hangs."""


def asked(
    act: Callable[[BenchClient], Awaitable[None]],
    bench: Callable[[LocalChannel], Awaitable[None]],
    hello: Any = HELLO,
) -> None:
    async def main() -> None:
        ours, theirs = local_pair(b.FromBench, b.ToBench)

        async def play() -> None:
            assert isinstance(await theirs.receive(), b.AgentHello)
            await theirs.send(hello)
            await bench(theirs)

        client = BenchClient(ours, "test")
        async with asyncio.timeout(LIMIT_S):
            playing = asyncio.create_task(play())
            try:
                await act(client)
            finally:
                await client.aclose()
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)

    asyncio.run(main())


async def silent(_: LocalChannel) -> None:
    await asyncio.Event().wait()


def answering(*answers: Callable[[int], Any]) -> Callable[[LocalChannel], Awaitable[None]]:
    """To each request, all of these."""

    async def bench(theirs: LocalChannel) -> None:
        while True:
            request = await theirs.receive()
            for make in answers:
                await theirs.send(make(request.request))

    return bench


def test_what_is_told_comes_before_the_answer_and_to_whom_it_concerns() -> None:
    async def act(client: BenchClient) -> None:
        await client.hello()
        held = b.Held("h", "d", None)  # type: ignore[arg-type]
        heard: list[p.FromDrive] = []
        result = await client.work(JOB, held, heard.append)
        assert heard == [PROGRESS]
        assert (result.end, result.code, result.same_drive) == (SessionEnd.STOPPED, "x", None)

    asked(
        act,
        answering(
            lambda n: b.Heard(n + 1, PROGRESS),
            lambda n: b.Heard(n, PROGRESS),
            lambda n: b.WorkAnswer(n, SessionEnd.STOPPED, "x", None),
            lambda n: b.WorkAnswer(n, SessionEnd.FINISHED, "twice", same_drive=True),
        ),
    )


def test_members_come_in_pieces() -> None:
    async def act(client: BenchClient) -> None:
        await client.hello()
        assert await client.members(JOB) == {"a": b"one two", "b": b""}

    asked(
        act,
        answering(
            lambda n: b.Part(n, "a", b"one "),
            lambda n: b.Part(n, "b", b""),
            lambda n: b.Part(n, "a", b"two"),
            b.DoneAnswer,
        ),
    )


def test_refusals_and_errors_keep_their_codes() -> None:
    refusal = Refusal("guard.mounted", "at /mnt")

    async def act(client: BenchClient) -> None:
        await client.hello()
        with pytest.raises(RefusedError) as caught:
            await client.look(JOB)
        assert caught.value.refusals == (refusal,)

    asked(act, answering(lambda n: b.RefusedAnswer(n, (refusal,), None)))
    for code, kind in (("usage.confirm", WrongConfirmationError), ("job.unknown", NullbayError)):

        async def failing(
            client: BenchClient, code: str = code, kind: type[NullbayError] = kind
        ) -> None:
            await client.hello()
            with pytest.raises(kind) as caught:
                await client.look(JOB)
            assert (caught.value.code, caught.value.next_step) == (code, "do")

        asked(failing, answering(partial(failed, code)))


def failed(code: str, number: int) -> b.FailedAnswer:
    return b.FailedAnswer(number, code, "why", "do")


def test_everybody_who_waits_learns_that_the_bench_is_gone() -> None:
    async def act(client: BenchClient) -> None:
        await client.hello()
        waiting = [asyncio.create_task(client.look(JOB)) for _ in range(3)]
        for task in waiting:
            with pytest.raises(ChannelClosedError):
                await task
        await client.ended()
        assert not client.is_open
        with pytest.raises(ChannelClosedError):
            await client.jobs()

    async def dying(theirs: LocalChannel) -> None:
        for _ in range(3):
            await theirs.receive()
        theirs.close()

    asked(act, dying)


def test_a_last_word_says_why() -> None:
    async def act(client: BenchClient) -> None:
        await client.hello()
        with pytest.raises(ChannelClosedError, match="too much at once"):
            await client.look(JOB)

    asked(act, answering(lambda _: b.FailedAnswer(0, "x", "too much at once", "")))


@pytest.mark.parametrize(
    "answer",
    [b.DoneAnswer, lambda n: b.JobsAnswer(n, (), more=False), lambda n: b.TicketAnswer(n, "t")],
)
def test_an_answer_to_another_question_ends_it(answer: Callable[[int], Any]) -> None:
    async def act(client: BenchClient) -> None:
        await client.hello()
        with pytest.raises(ChannelClosedError, match="out of order"):
            await client.look(JOB)
        assert not client.is_open

    asked(act, answering(answer))


def test_a_listener_that_fails_fails_its_own_call_alone() -> None:
    async def act(client: BenchClient) -> None:
        await client.hello()

        def heard(_: p.FromDrive) -> None:
            raise ZeroDivisionError

        held = b.Held("h", "d", None)  # type: ignore[arg-type]
        with pytest.raises(ZeroDivisionError):
            await client.work(JOB, held, heard)
        assert client.is_open

    asked(act, answering(lambda n: b.Heard(n, PROGRESS)))


@pytest.mark.parametrize(
    "hello", [b.BenchHello("nullbay.bench/99", HELLO.build, b""), b.DoneAnswer(1)]
)
def test_another_protocol_is_not_spoken(hello: Any) -> None:
    async def act(client: BenchClient) -> None:
        with pytest.raises(UnknownSchemaError):
            await client.hello()
        with pytest.raises(ChannelClosedError):
            await client.jobs()

    asked(act, silent, hello)


def test_a_call_that_is_given_up_is_forgotten() -> None:
    async def act(client: BenchClient) -> None:
        await client.hello()
        waiting = asyncio.create_task(client.look(JOB))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not client._calls
        assert client.is_open

    asked(act, silent)


def test_where_nobody_listens_there_is_no_bench(tmp_path: Path) -> None:
    with pytest.raises(ChannelClosedError, match="no bench answers"):
        asyncio.run(connect(tmp_path / "no.sock", "test"))
