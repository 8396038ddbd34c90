"""The station's chain: any edit, gap, exchange or cut tail shows, and where."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.certs import dsse, ledger
from nullbay.certs.ledger import LedgerBody, LedgerEntry, LedgerEvent
from nullbay.domain.errors import MalformedError, TooLargeError, UnknownSchemaError
from nullbay.domain.lot import InsertionEnd, Person
from nullbay.domain.outcome import JobEnd
from nullbay.domain.verdict import Verdict
from support import evidence_factory as factory

STATION = factory.signer("station-7")
KEYS = (STATION.public_key,)


def started(job: str = "j-1") -> ledger.JobStarted:
    return ledger.JobStarted(
        job_id=job,
        insertion_id="i-1",
        identity_key="aa" * 32,
        identify_sha256="bb" * 32,
        plan_sha256="cc" * 32,
        policy_id="nist-clear/1",
        bay="A1",
        approvals=(Person("operator", "op-117"),),
        simulated=False,
    )


def concluded(job: str = "j-1", verdict: Verdict = Verdict.NOT_SANITIZED) -> ledger.JobConcluded:
    return ledger.JobConcluded(
        job_id=job,
        verdict=verdict,
        end=JobEnd.COMPLETED,
        reasons=("verification.mismatch",),
        statement_id="urn:uuid:1",
        statement_sha256="dd" * 32,
        archive_sha256="ee" * 32,
    )


def closed(insertion: str = "i-1") -> ledger.InsertionClosed:
    return ledger.InsertionClosed(
        insertion_id=insertion,
        identity_key="aa" * 32,
        scanned="AT-0099123",
        bay="A1",
        cause=InsertionEnd.REMOVED,
        jobs=("j-1",),
        refusals=(),
    )


def event(code: str = "station.started") -> ledger.StationEvent:
    return ledger.StationEvent(code, "")


def chain(*events: LedgerEvent) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for second, one in enumerate(events):
        body = LedgerBody(factory.stamp(second), one)
        entries.append(ledger.append(entries[-1] if entries else None, body, STATION))
    return entries


DAY = chain(
    event(), started(), event("clock.stepped"), concluded(), closed(), event(), closed("i-2")
)


def broken(entries: list[LedgerEntry], sequence: int, expected: ledger.Head | None = None) -> None:
    with pytest.raises(ledger.LedgerBrokenError) as caught:
        ledger.check_chain(entries, KEYS, expected=expected)
    assert caught.value.sequence == sequence


def test_a_whole_chain_passes_and_tells_its_head() -> None:
    assert ledger.check_chain(DAY, KEYS) == DAY[-1].head
    assert ledger.check_chain(DAY, KEYS, expected=DAY[3].head) == DAY[-1].head
    assert ledger.check_chain([], KEYS) == ledger.EMPTY
    assert ledger.check_chain(DAY[4:], KEYS, after=DAY[3].head) == DAY[-1].head


def test_what_opens_or_closes_something_is_signed() -> None:
    assert [entry.envelope is not None for entry in DAY] == [
        False, True, False, True, True, False, True,
    ]  # fmt: skip


def test_the_hash_is_the_documented_one() -> None:
    """Recomputed here from its description, so that anyone can."""
    body = DAY[0].body
    parts = b"nullbay/ledger-entry/1" + (1).to_bytes(8, "big") + bytes(32)
    assert DAY[0].sha256 == hashlib.sha256(parts + hashlib.sha256(body).digest()).hexdigest()
    assert json.loads(body)["schema"] == "nullbay.ledger-entry/1"


@pytest.mark.parametrize("number", range(len(DAY)))
def test_an_edit_shows_where_it_is(number: int) -> None:
    """Hashes left as they were, or mended to the end of the chain by who has the disk."""
    other = LedgerBody(factory.stamp(99), event("invented")).encode()
    left = replace(DAY[number], body=other)
    broken([*DAY[:number], left, *DAY[number + 1 :]], number + 1)
    mended = replace(left, sha256=ledger.entry_hash(number + 1, left.previous, other))
    edited = [*DAY[:number], mended]
    for entry in DAY[number + 1 :]:
        before = edited[-1].sha256
        digest = ledger.entry_hash(entry.sequence, before, entry.body)
        edited.append(replace(entry, previous=before, sha256=digest))
    if any(entry.envelope for entry in DAY[number:]):
        with pytest.raises(ledger.LedgerBrokenError):
            ledger.check_chain(edited, KEYS)


@pytest.mark.parametrize("number", range(len(DAY) - 1))
def test_a_removed_entry_shows(number: int) -> None:
    broken([*DAY[:number], *DAY[number + 1 :]], number + 1)


@pytest.mark.parametrize("number", range(len(DAY) - 1))
def test_exchanged_entries_show(number: int) -> None:
    swapped = [*DAY[:number], DAY[number + 1], DAY[number], *DAY[number + 2 :]]
    broken(swapped, number + 1)


@pytest.mark.parametrize("number", range(len(DAY)))
def test_a_doubled_entry_shows(number: int) -> None:
    broken([*DAY[: number + 1], *DAY[number:]], number + 2)


@pytest.mark.parametrize("length", range(len(DAY)))
def test_a_removed_tail_shows_to_who_knows_a_later_head(length: int) -> None:
    cut = DAY[:length]
    assert ledger.check_chain(cut, KEYS) == (cut[-1].head if cut else ledger.EMPTY)
    broken(cut, length, expected=DAY[-1].head)


def test_a_rewritten_tail_shows_to_who_knows_the_old_head() -> None:
    """The thief holds the station key and writes another end: only others' memory helps."""
    again = DAY[:3]
    again.append(
        ledger.append(
            again[-1],
            LedgerBody(factory.stamp(3), concluded(verdict=Verdict.SANITIZED)),
            STATION,
        )
    )
    assert ledger.check_chain(again, KEYS).sequence == 4
    broken(again, 4, expected=DAY[3].head)


def test_a_milestone_without_or_with_a_foreign_signature_shows() -> None:
    other = factory.signer("station-8")
    body = LedgerBody(factory.stamp(0), started())
    theirs = ledger.append(DAY[0], body, other)
    broken([DAY[0], theirs], 2)
    assert ledger.check_chain([DAY[0], theirs], (*KEYS, other.public_key)).sequence == 2
    broken([DAY[0], replace(DAY[1], envelope=None)], 2)
    broken([DAY[0], replace(DAY[1], envelope=DAY[3].envelope)], 2)
    broken([DAY[0], replace(DAY[1], envelope=b"{}")], 2)
    broken([replace(DAY[0], envelope=DAY[1].envelope)], 1)


@pytest.mark.parametrize("payload_type", ["application/vnd.in-toto+json", "text/plain"])
def test_a_signature_of_another_kind_is_none(payload_type: str) -> None:
    other = dsse.sign(payload_type, DAY[1].head.encode(), STATION)
    broken([DAY[0], replace(DAY[1], envelope=other)], 2)


def test_a_chain_of_another_station_does_not_continue_ours() -> None:
    other = chain(event("other"), started("j-9"))
    broken([DAY[0], other[1]], 2)


@given(
    st.lists(
        st.sampled_from(["edit", "drop", "swap", "resequence", "rehash"]), min_size=1, max_size=3
    ),
    st.data(),
)
def test_no_series_of_tamperings_gives_a_chain(kinds: list[str], data: st.DataObject) -> None:
    entries = list(DAY)
    for kind in kinds:
        at = data.draw(st.integers(0, len(entries) - 2))
        match kind:
            case "edit":
                text = data.draw(st.binary(max_size=20))
                entries[at] = replace(entries[at], body=entries[at].body + text)
            case "drop":
                del entries[at]
            case "swap":
                entries[at], entries[at + 1] = entries[at + 1], entries[at]
            case "resequence":
                entries[at] = replace(entries[at], sequence=data.draw(st.integers(0, 2**70)))
            case _:
                entries[at] = replace(entries[at], sha256=data.draw(st.sampled_from(DAY)).sha256)
    if entries == DAY:
        return
    with pytest.raises(ledger.LedgerBrokenError):
        ledger.check_chain(entries, KEYS, expected=DAY[-1].head)


# --- bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", [started(), concluded(), closed(), event()])
def test_bodies_are_read_as_they_were_written(one: LedgerEvent) -> None:
    body = LedgerBody(factory.stamp(5), one)
    assert ledger.read_body(body.encode()) == body
    assert json.loads(body.encode())["event"]["kind"] == one.kind


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda b: b.replace(b"entry/1", b"entry/2"), UnknownSchemaError),
        (lambda b: b.replace(b'"kind":"station-event"', b'"kind":"rumour"'), MalformedError),
        (lambda b: b + b" ", MalformedError),
        (lambda b: b.replace(b'"detail":""', b'"detail":"","more":1'), MalformedError),
        (lambda b: b + b" " * ledger.BODY_MAX_BYTES, TooLargeError),
    ],
)
def test_other_bodies_are_refused(change: Callable[[bytes], bytes], error: type[Exception]) -> None:
    body = change(LedgerBody(factory.stamp(5), event()).encode())
    with pytest.raises(error):
        ledger.read_body(body)
    digest = ledger.entry_hash(1, ledger.GENESIS, body)
    broken([LedgerEntry(1, ledger.GENESIS, body, digest)], 1)


def test_a_body_beyond_the_cap_is_not_written() -> None:
    huge = ledger.StationEvent("x", "y" * ledger.BODY_MAX_BYTES)
    with pytest.raises(TooLargeError):
        LedgerBody(factory.stamp(0), huge).encode()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_body_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        ledger.read_body(data)


@given(
    st.tuples(
        st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32), st.binary(max_size=50)
    ),
    st.tuples(
        st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32), st.binary(max_size=50)
    ),
)
def test_no_two_entries_share_a_hash(
    a: tuple[int, bytes, bytes], b: tuple[int, bytes, bytes]
) -> None:
    hashes = {ledger.entry_hash(seq, prev.hex(), body) for seq, prev, body in (a, b)}
    assert (len(hashes) == 1) == (a == b)


@pytest.mark.parametrize(
    ("sequence", "previous"), [(-1, "00" * 32), (2**64, "00" * 32), (1, "00"), (1, "x")]
)
def test_what_is_no_place_in_a_chain_has_no_hash(sequence: int, previous: str) -> None:
    with pytest.raises(ValueError, match=r"sequence|hash|hex"):
        ledger.entry_hash(sequence, previous, b"")


# --- completeness ------------------------------------------------------------------------------


def test_nothing_dropped_out_of_a_good_day() -> None:
    assert ledger.check_jobs(DAY) == ledger.JobsReport((), (), ())


def test_open_jobs_doubles_and_conclusions_from_nowhere_are_named() -> None:
    entries = chain(
        started("j-1"),
        started("j-2"),
        concluded("j-2"),
        concluded("j-2"),
        concluded("j-3"),
        closed(),
        closed(),
    )
    assert ledger.check_jobs(entries) == ledger.JobsReport(
        unconcluded=("j-1",), never_started=("j-3",), doubled=("j-2", "i-1")
    )
