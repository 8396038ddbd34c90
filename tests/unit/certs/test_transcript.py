"""The bench's transcript: read back exactly, by the right key, in the one canonical form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nullbay.certs import dsse, keys, statement
from nullbay.certs.transcript import PAYLOAD_TYPE, read_transcript, sign_transcript
from nullbay.domain.errors import MalformedError, UnknownSchemaError
from support import evidence_factory as factory

BENCH = factory.signer("bench-7")


@pytest.mark.parametrize("name", factory.EVIDENCE)
def test_it_is_read_back_as_it_was(name: str) -> None:
    transcript = factory.transcript(factory.EVIDENCE[name]())
    envelope = sign_transcript(transcript, BENCH)
    assert read_transcript(envelope, BENCH.public_key) == transcript
    assert sign_transcript(transcript, BENCH) != envelope, "ECDSA is randomised; payloads are not"
    assert dsse.read(sign_transcript(transcript, BENCH)).payload == dsse.read(envelope).payload


def test_another_key_or_another_type_is_refused() -> None:
    envelope = sign_transcript(factory.transcript(), BENCH)
    with pytest.raises(keys.SignatureInvalidError):
        read_transcript(envelope, factory.signer().public_key)
    payload = dsse.read(envelope).payload
    with pytest.raises(MalformedError, match="type"):
        read_transcript(dsse.sign(statement.PAYLOAD_TYPE, payload, BENCH), BENCH.public_key)


def resigned(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A transcript changed by the holder of the bench key."""
    plain = json.loads(dsse.read(sign_transcript(factory.transcript(), BENCH)).payload)
    change(plain)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return dsse.sign(PAYLOAD_TYPE, text.encode(), BENCH)


def drop_list_of_bad_sectors(plain: dict[str, Any]) -> None:
    del plain["evidence"]["outcomes"][0]["unwritable"]


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain.update(schema="nullbay.transcript/2"),
        lambda plain: plain["evidence"].update(schema="nullbay.job-evidence/2"),
        lambda plain: plain["evidence"]["plan"].update(schema="nullbay.plan/9"),
        lambda plain: plain.pop("schema"),
    ],
)
def test_unknown_schemas_are_refused(change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(UnknownSchemaError):
        read_transcript(resigned(change), BENCH.public_key)


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain.update(more=1),
        lambda plain: plain["evidence"].pop("end"),
        lambda plain: plain["evidence"].pop("schema"),
        drop_list_of_bad_sectors,  # a default would stand in for it
        lambda plain: plain["evidence"].update(exchanges=4711),
        lambda plain: plain["evidence"].update(exchanges="04711"),
        lambda plain: plain["evidence"].update(end="COMPLETED"),
        lambda plain: plain["evidence"]["identity"].update(wwn=None),
        lambda plain: plain["evidence"]["identity"]["serial"].update(raw="53 36"),
        lambda plain: plain["evidence"]["outcomes"][0].update(flushed=[{"start": "8", "end": "8"}]),
    ],
)
def test_other_forms_are_malformed(change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(MalformedError):
        read_transcript(resigned(change), BENCH.public_key)


def test_white_space_is_another_form() -> None:
    payload = dsse.read(sign_transcript(factory.transcript(), BENCH)).payload
    spaced = dsse.sign(PAYLOAD_TYPE, payload + b"\n", BENCH)
    with pytest.raises(MalformedError, match="canonical"):
        read_transcript(spaced, BENCH.public_key)


def test_a_real_bench_key_signs_nothing_made_of_software() -> None:
    simulated = factory.transcript(factory.good_evidence(simulated=True))
    with pytest.raises(keys.SimulatedKeyError):
        sign_transcript(simulated, BENCH)
    assert sign_transcript(simulated, factory.signer("demo-bench"))


def test_what_could_not_be_read_back_is_not_signed() -> None:
    good = factory.transcript()
    broken = replace(good, build=replace(good.build, version="\udcff"))
    with pytest.raises(MalformedError):
        sign_transcript(broken, BENCH)
    newer = replace(good, schema="nullbay.transcript/2")
    with pytest.raises(UnknownSchemaError):
        sign_transcript(newer, BENCH)
