"""The auditor who tries to break a certificate: every attack is pinned here.

Threats 1, 10, 17 and 18 of the threat model, and those of a stolen station key: whoever holds it
can withhold, and lie about what only the station knows, but never about the drive.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nullbay.certs import bundle, dsse, keys, statement, verify
from nullbay.certs.issue import issue
from nullbay.certs.keys import PublicKey
from nullbay.certs.transcript import sign_transcript
from nullbay.domain.canonical import canonical_json
from nullbay.domain.drive import Unit
from nullbay.domain.errors import MalformedError, TooLargeError, UnknownSchemaError
from nullbay.domain.policy import Confidence
from nullbay.domain.record import ArchiveReference
from nullbay.domain.verdict import Verdict, conclude
from support import evidence_factory as factory
from support.evidence_factory import Certified, certify

VERDICTS = {
    "good": Verdict.SANITIZED,
    "sampled": Verdict.SANITIZED,
    "excepted": Verdict.SANITIZED_WITH_EXCEPTIONS,
    "mismatched": Verdict.NOT_SANITIZED,
    "unwritable": Verdict.NOT_SANITIZED,
    "absent": Verdict.INDETERMINATE,
    "resumed": Verdict.SANITIZED,
    "multi-unit": Verdict.SANITIZED,
}
GOOD = certify()


def forge(made: Certified, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The statement changed by whoever holds the station key, and signed anew."""
    value = json.loads(made.payload)
    change(value)
    return sealed(made, json.dumps(value, ensure_ascii=False).encode())


def setting(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """The change that puts a value at a dotted path."""

    def change(box: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for name in way:
            box = box[name]
        box[last] = value

    return change


def sealed(made: Certified, payload: bytes, payload_type: str = statement.PAYLOAD_TYPE) -> bytes:
    """Any payload, as a bundle signed by the station."""
    value = json.loads(made.bundle)
    value["dsseEnvelope"] = dsse.seal(payload_type, payload, made.station).plain()
    return canonical_json(value)


def refused(data: bytes, trust: tuple[PublicKey, ...], check: str) -> None:
    with pytest.raises(verify.NotAuthenticError) as caught:
        verify.verify(data, trust)
    assert caught.value.code == f"certificate.{check}"


# --- good ones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", factory.EVIDENCE)
def test_every_ending_has_an_authentic_record_with_its_verdict(name: str) -> None:
    made = certify(factory.EVIDENCE[name]())
    checked = verify.verify(made.bundle, made.trust)
    assert checked.verdict is VERDICTS[name]
    assert checked.statement.predicate.result is VERDICTS[name]
    assert checked.transcript == made.transcript
    assert checked.station_key.key_id == made.station.public_key.key_id
    assert checked.notes == (verify.NOTE_NO_ARCHIVE,)


def test_one_trusted_key_leaves_the_bench_to_the_stations_word() -> None:
    checked = verify.verify(GOOD.bundle, (GOOD.station.public_key,))
    assert verify.NOTE_BENCH_VOUCHED in checked.notes


def test_the_archive_is_checked_where_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "job.evidence.tar.zst"
    path.write_bytes(b"archive")
    assert verify.verify(GOOD.bundle, GOOD.trust, path).notes == ()
    path.write_bytes(b"archivf")
    with pytest.raises(verify.NotAuthenticError) as caught:
        verify.verify(GOOD.bundle, GOOD.trust, path)
    assert caught.value.code == "certificate.archive"


def test_issuing_gives_what_verifies() -> None:
    made = certify()
    issued = issue(made.context, made.station)
    assert verify.verify(issued.bundle, made.trust).verdict is issued.conclusion.verdict


# --- the file ----------------------------------------------------------------------------------


def test_no_flipped_byte_gives_another_meaning() -> None:
    """Every byte of the frame, and of the payload those that stand a prime apart."""
    data = GOOD.bundle
    begin = data.index(b'"payload":"') + len(b'"payload":"')
    end = data.index(b'"', begin)
    places = [*range(begin), *range(begin, end, 53), *range(end, len(data))]
    right = verify.verify(data, GOOD.trust)
    authentic = 0
    for place in places:
        for mask in (0x01, 0x20, 0x80):
            flipped = bytearray(data)
            flipped[place] ^= mask
            try:
                found = verify.verify(bytes(flipped), GOOD.trust)
            except (verify.NotAuthenticError, MalformedError):
                continue
            assert found == right
            authentic += 1
    # The hint is nobody's word and may read otherwise; if nothing at all may, this test is blind.
    assert 0 < authentic < 200


@pytest.mark.parametrize("cut", [0, 1, 100, 5000, -1])
def test_a_cut_file_is_malformed(cut: int) -> None:
    with pytest.raises(MalformedError):
        verify.verify(GOOD.bundle[:cut], GOOD.trust)


def test_a_file_beyond_the_cap_is_not_parsed() -> None:
    with pytest.raises(TooLargeError):
        verify.verify(GOOD.bundle + b" " * bundle.BUNDLE_MAX_BYTES, GOOD.trust)


def test_the_hint_is_only_a_hint() -> None:
    value = json.loads(GOOD.bundle)
    value["verificationMaterial"]["publicKey"]["hint"] = factory.signer().public_key.key_id
    assert verify.verify(json.dumps(value).encode(), GOOD.trust).verdict is Verdict.SANITIZED


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle.v0.2+json"),
            UnknownSchemaError,
        ),
        (lambda b: b.pop("mediaType"), UnknownSchemaError),
        (lambda b: b.pop("verificationMaterial"), MalformedError),
        (lambda b: b["verificationMaterial"].update(publicKey={}), MalformedError),
        (lambda b: b["verificationMaterial"].update(publicKey={"hint": "x" * 201}), MalformedError),
        (lambda b: b.pop("dsseEnvelope"), MalformedError),
        (
            lambda b: b["dsseEnvelope"]["signatures"].append(b["dsseEnvelope"]["signatures"][0]),
            MalformedError,
        ),
        (lambda b: b["dsseEnvelope"]["signatures"][0].update(keyid="x"), MalformedError),
        (lambda b: b["dsseEnvelope"].update(payloadType="text/plain"), MalformedError),
    ],
)
def test_other_files_are_malformed(
    change: Callable[[dict[str, Any]], object], error: type[Exception]
) -> None:
    value = json.loads(GOOD.bundle)
    change(value)
    with pytest.raises(error):
        verify.verify(json.dumps(value).encode(), GOOD.trust)


def test_a_second_payload_under_the_same_name_is_malformed() -> None:
    """Readers disagree on which of two equal keys counts."""
    other = certify(factory.mismatched_evidence()).bundle
    envelope = json.dumps(json.loads(other)["dsseEnvelope"]).encode()
    doubled = GOOD.bundle[:-1] + b',"dsseEnvelope":' + envelope + b"}"
    with pytest.raises(MalformedError, match="twice"):
        verify.verify(doubled, GOOD.trust)


def test_unknown_fields_are_kept_and_change_nothing() -> None:
    value = json.loads(GOOD.bundle)
    value["verificationMaterial"]["tlogEntries"] = [{"logIndex": "733"}]
    value["note"] = {"text": "ü"}
    data = json.dumps(value).encode()
    assert json.loads(bundle.read(data).encode()) == value
    assert verify.verify(data, GOOD.trust) == verify.verify(GOOD.bundle, GOOD.trust)


# --- who signed --------------------------------------------------------------------------------


def test_nobody_trusted_nothing_authentic() -> None:
    refused(GOOD.bundle, (), "signature")
    refused(GOOD.bundle, (factory.signer().public_key,), "signature")


def test_the_bench_key_does_not_make_statements() -> None:
    """Trusted for transcripts, its own name as station: it would sign for itself."""
    made = certify(bench=GOOD.bench, station=factory.signer(GOOD.bench.key_name))
    swapped = json.loads(made.bundle)
    swapped["dsseEnvelope"] = dsse.seal(statement.PAYLOAD_TYPE, made.payload, GOOD.bench).plain()
    refused(json.dumps(swapped).encode(), GOOD.trust, "bench-key")
    refused(json.dumps(swapped).encode(), (GOOD.bench.public_key,), "bench-key")


def test_a_bench_of_the_thiefs_own_is_seen_where_the_bench_key_is_known() -> None:
    """A stolen station key with an invented transcript: authentic only for who trusts one key."""
    invented = certify(station=GOOD.station, bench=factory.signer("bench-of-mine"))
    refused(invented.bundle, GOOD.trust, "bench-key")
    checked = verify.verify(invented.bundle, (GOOD.station.public_key,))
    assert verify.NOTE_BENCH_VOUCHED in checked.notes


def test_a_trusted_bench_key_of_another_station_is_no_excuse_for_a_wrong_signature() -> None:
    other = factory.signer("bench-8")
    spki = base64.b64encode(other.public_key.spki).decode()
    forged = forge(GOOD, lambda s: s["predicate"]["benchKey"].update(spki=spki))
    refused(forged, (*GOOD.trust, other.public_key), "transcript")


@pytest.mark.parametrize("payload_type", ["application/vnd.nullbay.transcript+json", "text/plain"])
def test_an_envelope_of_another_kind_is_no_statement(payload_type: str) -> None:
    with pytest.raises(MalformedError):
        verify.verify(sealed(GOOD, GOOD.payload, payload_type), GOOD.trust)


def test_a_statement_of_another_kind_is_unknown() -> None:
    for path, other in (("predicateType", "https://slsa.dev/provenance/v1"), ("_type", "x")):
        with pytest.raises(MalformedError):
            verify.verify(forge(GOOD, setting(path, other)), GOOD.trust)


# --- the transcript inside ---------------------------------------------------------------------


def test_a_flipped_byte_in_the_transcript_is_seen_behind_a_valid_signature() -> None:
    payload = base64.b64decode(json.loads(GOOD.payload)["predicate"]["transcript"]["payload"])
    for place in range(0, len(payload), 11):
        flipped = bytearray(payload)
        flipped[place] ^= 0x01
        text = base64.b64encode(bytes(flipped)).decode()
        forged = forge(GOOD, setting("predicate.transcript.payload", text))
        refused(forged, GOOD.trust, "transcript")


def test_a_transcript_of_another_job_does_not_fit() -> None:
    """Replay: the good transcript of another drive under this drive's statement, and back."""
    other = certify(factory.good_evidence(serial="ANOTHER"), station=GOOD.station, bench=GOOD.bench)
    bad = certify(factory.mismatched_evidence(), station=GOOD.station, bench=GOOD.bench)
    theirs = json.loads(other.payload)["predicate"]["transcript"]
    refused(forge(GOOD, lambda s: s["predicate"].update(transcript=theirs)), GOOD.trust, "field")
    refused(forge(bad, lambda s: s["predicate"].update(transcript=theirs)), GOOD.trust, "verdict")
    ours = json.loads(GOOD.payload)["predicate"]["transcript"]
    refused(forge(bad, lambda s: s["predicate"].update(transcript=ours)), GOOD.trust, "verdict")


def test_a_better_verdict_is_not_believed() -> None:
    for name in ("mismatched", "unwritable", "absent", "excepted"):
        made = certify(factory.EVIDENCE[name](), station=GOOD.station, bench=GOOD.bench)
        for word in set(Verdict) - {VERDICTS[name]}:
            forged = forge(made, setting("predicate.result", word.value))
            refused(forged, GOOD.trust, "verdict")


def test_an_unknown_word_is_malformed() -> None:
    for path, word in (
        ("predicate.result", "ERASED"),
        ("predicate.result", "sanitized"),
        ("predicate.result", None),
        ("predicate.sanitization.method.required", "wipe"),
        ("predicate.sanitization.technique", "magic"),
    ):
        with pytest.raises(MalformedError):
            verify.verify(forge(GOOD, setting(path, word)), GOOD.trust)


# What a verifier can't know better than the station that says it. Everything else is compared.
STATIONS_WORD = {
    "subject[].name",
    "subject[].digest.sha256",
    "predicate.id",
    "predicate.nonce",
    "predicate.organization",
    "predicate.destination",
    "predicate.lot.reference",
    "predicate.lot.customer",
    "predicate.lot.site",
    "predicate.lot.source",
    "predicate.lot.workOrder",
    "predicate.attempt.number",
    "predicate.attempt.previous",
    "predicate.attempt.previous[]",
    "predicate.media.assetTag",
    "predicate.media.labelSerial",
    "predicate.environment.station",
    "predicate.environment.stationKeyName",
    "predicate.environment.keyProtection",
    "predicate.environment.clock.issuedAt",
    "predicate.environment.clock.issuedBoottimeUs",
    "predicate.environment.clock.issuedBootId",
    "predicate.environment.clock.issuedSync",
    "predicate.chain.sequence",
    "predicate.chain.previous",
    "predicate.people",
    "predicate.people[].role",
    "predicate.people[].id",
    "predicate.people[].title",
}


def leaves(
    value: Any, path: str = "", box: Any = None, key: Any = None
) -> Iterator[tuple[str, Any, Any]]:
    """Every value with its path, what holds it, and under which key."""
    if box is not None:
        yield path, box, key
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}".strip("."), value, name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}[]", value, number)


def others(value: Any) -> list[Any]:
    """Values of about the same kind that say something else."""
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, 0] if value else [1]
        case str() if value.isdigit():
            return [str(int(value) + 1), "0" if value != "0" else "7"]
        case str() if len(value) >= 32:
            return [("1" if value[0] == "0" else "0") + value[1:]]
        case str() if value.endswith("Z"):
            return [value.replace("2026", "2025")]
        case str():
            return [
                value + "x",
                "x" if value != "x" else "y",
                "clear",
                "flash",
                "failed",
                "low",
                "retained",
                "unknown",
                "",
            ]
        case list():
            return [[], [*value, *value[-1:]], value[1:], list(reversed(value))]
        case None:
            return ["clear", 1, "0", {"kind": "full", "confidencePpm": None, "residuePpm": None}]
        case _:
            return [None]


@pytest.mark.parametrize(
    ("name", "only", "least"),
    [
        ("good", "", 300),
        ("mismatched", "", 300),
        ("resumed", "predicate.sessions", 60),
        ("sampled", "predicate.verification", 30),
    ],
)
def test_a_stolen_station_key_can_lie_only_about_what_the_station_alone_knows(
    name: str, only: str, least: int
) -> None:
    made = certify(factory.EVIDENCE[name]())
    value = json.loads(made.payload)
    believed: set[str] = set()
    tried = 0
    for path, box, key in list(leaves(value)):
        right = box[key]
        for wrong in others(right) if path.startswith(only) else []:
            if wrong == right and type(wrong) is type(right):
                continue
            tried += 1
            box[key] = wrong
            data = sealed(made, json.dumps(value).encode())
            box[key] = right
            with contextlib.suppress(verify.NotAuthenticError, MalformedError):
                verify.verify(data, made.trust)
                believed.add(path)
    assert tried > least
    believed -= {"predicate.limitations"}  # may grow: below
    assert believed <= STATIONS_WORD, believed - STATIONS_WORD
    if not only:
        assert believed == STATIONS_WORD


def test_a_limitation_may_be_added_never_left_out() -> None:
    count = len(json.loads(GOOD.payload)["predicate"]["limitations"])
    assert count == 4
    all_of_them = json.loads(GOOD.payload)["predicate"]["limitations"]
    for number in range(count):
        fewer = all_of_them[:number] + all_of_them[number + 1 :]
        refused(forge(GOOD, setting("predicate.limitations", fewer)), GOOD.trust, "field")
    more = forge(GOOD, lambda s: s["predicate"]["limitations"].append("limit.more"))
    assert verify.verify(more, GOOD.trust).verdict is Verdict.SANITIZED


def test_every_field_is_required() -> None:
    """An absent field never upgrades a record; version 1 has no optional ones."""
    value = json.loads(GOOD.payload)
    for path, box, key in list(leaves(value)):
        if not isinstance(box, dict):
            continue
        right = box.pop(key)
        with pytest.raises(MalformedError):
            verify.verify(sealed(GOOD, json.dumps(value).encode()), GOOD.trust)
        box[key] = right
        assert path


def test_unknown_fields_of_a_newer_station_are_kept_and_not_believed() -> None:
    def add(value: dict[str, Any]) -> None:
        value["predicate"]["verdict"] = "NOT_SANITIZED"
        value["predicate"]["media"]["serial_hex"] = "00"
        value["predicate"]["media"]["units"][0]["colour"] = "blue"

    checked = verify.verify(forge(GOOD, add), GOOD.trust)
    assert checked.verdict is Verdict.SANITIZED
    assert checked.statement.predicate.model_extra == {"verdict": "NOT_SANITIZED"}
    assert checked.statement.predicate.media.serial_hex == b"S6EPNX0T123456".hex()
    assert checked.statement.predicate.media.units[0].model_extra == {"colour": "blue"}
    dumped = checked.statement.model_dump(mode="json", by_alias=True)
    assert dumped["predicate"]["media"]["serial_hex"] == "00"


def test_models_write_what_they_read() -> None:
    for make in factory.EVIDENCE.values():
        payload = certify(make()).payload
        dumped = statement.read(payload).model_dump(mode="json", by_alias=True)
        assert canonical_json(dumped) == payload


def test_a_subject_may_not_be_added_or_renamed() -> None:
    more = {"name": "drive:naa.5000000000000000", "digest": {"sha256": "00" * 32}}
    refused(forge(GOOD, lambda s: s["subject"].append(more)), GOOD.trust, "field")
    refused(forge(GOOD, lambda s: s["subject"].pop()), GOOD.trust, "field")
    refused(forge(GOOD, lambda s: s["subject"].reverse()), GOOD.trust, "field")


def test_the_bay_is_the_one_the_bench_saw() -> None:
    refused(forge(GOOD, setting("predicate.environment.bay", "B2")), GOOD.trust, "field")
    outside = factory.good_evidence()
    (only,) = outside.sessions
    nowhere = replace(only.attachment, bay=None)
    outside = replace(
        outside, sessions=(replace(only, attachment=nowhere, attachment_end=nowhere),)
    )
    for bay in ("", "bench in the yard"):
        made = certify(outside, bay=bay)
        assert verify.verify(made.bundle, made.trust).statement.predicate.environment.bay == bay


# --- drives made of software -------------------------------------------------------------------


def test_a_simulated_record_is_authentic_only_under_a_demo_key() -> None:
    made = certify(factory.good_evidence(simulated=True))
    checked = verify.verify(made.bundle, made.trust)
    assert checked.statement.predicate.simulated
    assert verify.NOTE_DEMO_KEY in checked.notes
    assert "limit.simulated" in checked.statement.predicate.limitations


def test_a_simulated_record_is_not_signed_by_a_real_key() -> None:
    made = certify(factory.good_evidence(simulated=True))
    real = factory.signer("station-7")
    with pytest.raises(bundle.WrongKeyError):
        bundle.make(made.payload, real)
    payload = statement.build(
        made.context,
        made.transcript,
        made.conclusion,
        station_key_name=real.key_name,
    )
    with pytest.raises(keys.SimulatedKeyError):
        bundle.make(payload, real)
    refused(
        sealed(replace(made, station=real), payload), (real.public_key, made.trust[1]), "simulated"
    )


def test_a_key_the_auditor_knows_by_a_real_name_is_no_demo_key() -> None:
    """The statement may say `demo…`; the auditor's own trust file says otherwise."""
    made = certify(factory.good_evidence(simulated=True))
    named = PublicKey(made.station.public_key.spki, "station-7")
    refused(made.bundle, (named, made.trust[1]), "simulated")


def test_the_mark_cannot_be_taken_off() -> None:
    made = certify(factory.good_evidence(simulated=True))
    refused(forge(made, lambda s: s["predicate"].update(simulated=False)), made.trust, "field")


def test_simulated_reads_show_nothing_of_a_real_drive() -> None:
    good = factory.good_evidence()
    result = good.outcomes[0].verification
    assert result is not None
    faked = replace(
        good, outcomes=(replace(good.outcomes[0], verification=replace(result, reads="simulated")),)
    )
    made = certify(faked)
    assert not verify.verify(made.bundle, made.trust).verdict.is_sanitized


def test_another_name_than_the_trust_file_knows_is_noted() -> None:
    named = PublicKey(GOOD.station.public_key.spki, "station-8")
    checked = verify.verify(GOOD.bundle, (named, GOOD.trust[1]))
    assert verify.NOTE_KEY_NAME in checked.notes


# --- hostile strings, hostile cost -------------------------------------------------------------


HOSTILE = [
    b"\x1b[2J\x1b]0;owned\x07",
    b"$(reboot);`id`|&<>\"'\\",
    b"\xff\xfe\x00\x80",
    "\u202egnp.exe\u2066".encode(),
    "Ünïcödé 序列号".encode(),
    b"S" * 200,
    b"",
    b'","result":"SANITIZED',
    b"\r\nSet-Cookie: x",
]


@pytest.mark.parametrize("serial", HOSTILE)
def test_a_hostile_serial_is_kept_raw_and_shown_safely(serial: bytes) -> None:
    made = certify(factory.good_evidence(serial=serial))
    media = verify.verify(made.bundle, made.trust).statement.predicate.media
    assert bytes.fromhex(media.serial_hex) == made.transcript.evidence.identity.serial.raw
    assert media.serial.rstrip("…").isascii()
    assert media.serial.isprintable()
    assert len(media.serial) <= 64


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "\u202eabc", "a\nb", "x" * 500, "e\u0301", "\udcff", "\U000e0041"]
)
def test_what_people_write_is_made_safe_too(text: str) -> None:
    made = certify(asset_tag=text, organization=text, destination=text, station=GOOD.station)
    media = verify.verify(made.bundle, made.trust).statement.predicate.media
    assert media.asset_tag.isprintable()
    assert len(media.asset_tag) <= 200


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202eabc", "a\nb", "x" * 201, "\x7f", "\u2028"])
def test_unsafe_text_is_malformed_whoever_signed_it(text: str) -> None:
    forged = forge(GOOD, lambda s: s["predicate"].update(organization=text))
    with pytest.raises(MalformedError):
        verify.verify(forged, GOOD.trust)


def test_a_sample_plan_of_endless_cost_is_refused() -> None:
    good = factory.good_evidence()
    (outcome,) = good.outcomes
    assert outcome.verification is not None
    dear = replace(outcome.verification, profile=Confidence(990_000, 50))
    again = tuple(
        replace(outcome, number=number, verification=dear)
        for number in range(verify.STRATA_MAX // Confidence(990_000, 50).units + 1)
    )
    made = factory.transcript(replace(good, outcomes=again))
    envelope = sign_transcript(made, GOOD.bench)
    payload = statement.build(
        factory.context(envelope, GOOD.bench), made, conclude(good), station_key_name="station-7"
    )
    with pytest.raises(TooLargeError, match="sample plan"):
        verify.verify(sealed(GOOD, payload), GOOD.trust)


def test_impossible_geometry_gives_no_traceback() -> None:
    good = factory.good_evidence()
    odd = Unit("disk", 100, 0, 0, read_only=False)
    evidence = replace(good, plan=replace(good.plan, units=(odd,)))
    made = factory.transcript(evidence)
    payload = statement.build(
        factory.context(sign_transcript(made, GOOD.bench), GOOD.bench),
        made,
        conclude(good),
        station_key_name="station-7",
    )
    with pytest.raises((MalformedError, verify.NotAuthenticError)):
        verify.verify(sealed(GOOD, payload), GOOD.trust)


# --- files and folders -------------------------------------------------------------------------


def test_bundles_of_a_folder_are_found_links_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("b.sigstore.json", "a/c.sigstore.json", "a/c.pdf", "x.json"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = verify.find_bundles(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "a/c.sigstore.json",
        "b.sigstore.json",
    ]


def test_a_folder_without_certificates_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="no certificate"):
        verify.find_bundles(tmp_path)
    with pytest.raises(FileNotFoundError):
        verify.find_bundles(tmp_path / "missing")


def test_folders_and_files_have_caps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "BUNDLES_MAX", 2)
    for number in range(3):
        (tmp_path / f"{number}.sigstore.json").write_bytes(GOOD.bundle)
    with pytest.raises(TooLargeError):
        verify.find_bundles(tmp_path)
    assert verify.read_file(tmp_path / "0.sigstore.json") == GOOD.bundle
    monkeypatch.setattr(bundle, "BUNDLE_MAX_BYTES", 100)
    with pytest.raises(TooLargeError):
        verify.read_file(tmp_path / "0.sigstore.json")


# --- the pattern key ---------------------------------------------------------------------------


def test_the_pattern_key_is_the_one_committed_to() -> None:
    said = verify.verify(GOOD.bundle, GOOD.trust).statement
    assert verify.pattern_key(said, factory.archive_members()) == factory.JOB_KEY
    for members in ({}, factory.archive_members(bytes(32)), {"pattern-key.bin": b""}):
        with pytest.raises(verify.NotAuthenticError) as caught:
            verify.pattern_key(said, members)
        assert caught.value.code == "certificate.pattern-key"


def test_a_key_that_stays_with_the_centre_is_not_asked_for() -> None:
    good = factory.good_evidence()
    assert good.pattern_key is not None
    origin = replace(good.pattern_key, drawn_by="centre", in_evidence=False)
    made = certify(replace(good, pattern_key=origin))
    said = verify.verify(made.bundle, made.trust).statement
    assert verify.pattern_key(said, {}) is None


# --- what a station refuses to state -----------------------------------------------------------


def test_a_statement_names_the_key_that_signs_it() -> None:
    with pytest.raises(bundle.WrongKeyError):
        bundle.make(GOOD.payload, factory.signer("another"))


def test_issuing_refuses_a_bench_key_that_did_not_sign() -> None:
    made = certify()
    context = replace(made.context, bench_public_key_pem=factory.signer().public_key_pem)
    with pytest.raises(keys.SignatureInvalidError):
        issue(context, made.station)


def test_issuing_refuses_one_key_for_both() -> None:
    only = factory.signer("station-7")
    made = certify(bench=only)
    with pytest.raises(verify.NotAuthenticError):
        issue(made.context, only)


def test_an_archive_without_a_digest_is_not_stated() -> None:
    with pytest.raises(MalformedError):
        certify(archive=ArchiveReference("job.evidence.tar.zst", ""))
