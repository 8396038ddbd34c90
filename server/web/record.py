"""One record as a page: what the signed statement says, told as the printed record tells it.

The words come from the same place as the PDF's, so that page and paper never differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from nullbay.certs import bundle, pdf, pdf_words, statement
from nullbay.certs.dsse import base64_bytes
from nullbay.certs.keys import SPKI_MAX_BYTES
from nullbay.certs.pdf_annex import Signed
from nullbay.certs.pdf_blocks import Fact, fact
from nullbay.certs.pdf_readback import Readback
from nullbay.certs.pdf_view import Headline, View, view_of
from nullbay.certs.predicate import Predicate
from nullbay.certs.predicate import Reason as Stated
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.ids import JOB_ID_FORM
from nullbay.domain.reasons import CATALOGUE, text_of
from nullbay.domain.text import show
from nullbay.domain.verdict import Effect
from nullbay.server.cards import CheckResult, EntryCard, RecordCard, RecordPage
from nullbay.server.web import words
from nullbay.server.web.lots import path_of
from nullbay.server.web.words import Moment, Sign

REASONS_MAX = 200
_SIGNS = {Effect.DEFINITE: "cross", Effect.UNKNOWN: "question", Effect.EXCEPTION: "triangle"}

KINDS = {
    "job-started": "Job started",
    "job-concluded": "Job concluded",
    "insertion-closed": "Insertion closed",
    "station-event": "Station event",
}

# In the order in which `certs.verify` goes: whatever stands before a failed check has passed.
CHECKS = (
    ("form", "It is the file that was received, of a known form and size"),
    ("signature", "A key of this station signed it, and not a byte has changed since"),
    ("bench-key", "The bench that did the work has a key of its own, known here"),
    ("transcript", "The bench signed the transcript of the work that stands inside"),
    ("verdict", "The verdict, computed again from the transcript, is the one it states"),
    ("field", "Everything it says of drive, work and verification follows from the transcript"),
    ("simulated", "Its key may sign for this kind of drive, real or made of software"),
    ("archive", "The evidence archive kept here is the one that was signed"),
)
NOTES = {
    "bench-key-vouched-by-station": "The bench key is vouched for by the station alone",
    "archive-not-checked": "The evidence archive is not here, or was not looked at",
    "signed-by-demo-key": "Signed by a demonstration key: drives made of software",
    "key-name-differs": "The key is known here by another name than the record gives it",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One check and how it went."""

    kind: str
    sign: str
    word: str
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Check:
    """A check made just now, step by step. `warning` stands in place of a verdict that failed."""

    warning: str
    headline: str
    at: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    authentic: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason or exception with what to do."""

    sign: str
    code: str
    text: str
    next_step: str


@dataclass(frozen=True, slots=True)
class File:
    """Something to download."""

    href: str
    words: str
    told: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger entry of the record's job."""

    sequence: str
    at: Moment | None
    words: str
    detail: str
    signed: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Other:
    """Another record of the same drive."""

    href: str
    verdict: Sign
    at: Moment | None
    told: str


@dataclass(frozen=True, slots=True)
class Page:
    """The whole page. `head` is None where the statement contradicts itself: then `broken` says."""

    subject: str
    title: str
    simulated: bool
    head: Headline | None
    broken: str
    verdict: Sign
    drive: tuple[Fact, ...]
    owner: tuple[Fact, ...]
    method: tuple[Fact, ...]
    work: tuple[Fact, ...]
    readback: Readback | None
    reasons_title: str
    reasons: tuple[Reason, ...]
    limits: str
    files: tuple[File, ...]
    ledger: tuple[Entry, ...]
    receipt: tuple[Fact, ...]
    others: tuple[Other, ...]
    here: str
    lot_href: str


def page_of(
    page: RecordPage, data: bytes, entries: Sequence[EntryCard], *, may_audit: bool
) -> Page:
    """The page of a record whose bundle is `data`."""
    card, said, seen, broken = page.card, None, None, ""
    try:
        said, seen = _seen(data)
    except NullbayError as error:
        broken = error.told()
    here = f"/records/{card.envelope_sha256}"
    return Page(
        subject=f"{card.model} {card.serial or 'without serial number'}".strip(),
        title=seen.title if seen else "Record",
        simulated=card.simulated,
        head=seen.verdict if seen else None,
        broken=broken,
        verdict=words.VERDICTS[card.verdict],
        drive=seen.drive if seen else (),
        owner=seen.owner if seen else (),
        method=(*seen.method, *_policy(card)) if seen else (),
        work=(*seen.work, fact("Attempt", str(card.attempt)), fact("Job", card.job, "mono"))
        if seen
        else (),
        readback=seen.readback if seen else None,
        reasons_title=(seen.findings_title or "") if seen else "",
        reasons=_reasons(said) if said else (),
        limits=seen.limits if seen else "",
        files=_files(page, may_audit=may_audit),
        ledger=tuple(_entry(one) for one in entries),
        receipt=_receipt(page),
        others=tuple(_other(one) for one in page.others),
        here=here,
        lot_href=path_of(card.lot) if card.lot else "",
    )


def check_of(result: CheckResult, at: str) -> Check:
    """A check result as steps: those before the one that failed have passed."""
    failed = len(CHECKS)
    if not result.authentic:
        codes = [f"certificate.{name}" for name, _ in CHECKS]
        failed = codes.index(result.code) if result.code in codes else 0
        if result.code.startswith("evidence."):
            failed = codes.index("certificate.archive")
    steps = []
    for number, (name, what) in enumerate(CHECKS):
        without = name == "archive" and "archive-not-checked" in result.notes
        if number == failed:
            steps.append(Step("fail", "fail", "FAILED", what, _reason(result)))
        elif number > failed or without:
            why = "The evidence archive is not here" if without else "Not reached"
            steps.append(Step("skip-it", "dash", "not shown", what, why))
        else:
            steps.append(Step("pass", "pass", "passed", what, _vouched(name, result)))
    if result.authentic:
        missing = "archive-not-checked" in result.notes
        warning = ""
        told = "Authentic, but its evidence archive is not here." if missing else "Authentic."
    elif result.code == "station.removed":
        warning = "CANNOT BE CHECKED"
        told = "Not authentic as far as can be told: the keys of its station are not here any more."
    else:
        warning, told = "NOT AUTHENTIC", "Not authentic: do not rely on this record."
    return Check(
        warning,
        told,
        pdf_words.when(at),
        tuple(steps),
        tuple(NOTES.get(one, one) for one in result.notes),
        result.authentic,
    )


def _reason(result: CheckResult) -> str:
    return f"{show(result.message, 300)} ({result.code})"


def _vouched(name: str, result: CheckResult) -> str:
    if name == "bench-key" and "bench-key-vouched-by-station" in result.notes:
        return NOTES["bench-key-vouched-by-station"]
    if name == "simulated" and "signed-by-demo-key" in result.notes:
        return NOTES["signed-by-demo-key"]
    return ""


def _seen(data: bytes) -> tuple[Predicate, View]:
    """The statement and its printed words. Raises MalformedError and its kinds."""
    file = bundle.read(data)
    said = statement.read(file.envelope.payload)
    digest = hashlib.sha256(file.envelope.payload).hexdigest()
    bench = base64_bytes(said.predicate.bench_key.spki, SPKI_MAX_BYTES, "the bench key")
    token = pdf.token(said.predicate, digest)
    signed = Signed(digest, file.key_hint, hashlib.sha256(bench).hexdigest(), token)
    return said.predicate, view_of(said, signed)


def _policy(card: RecordCard) -> tuple[Fact, ...]:
    return (fact("Policy", card.policy_id, "mono"),)


def _reasons(said: Predicate) -> tuple[Reason, ...]:
    order = list(_SIGNS)
    found: list[Stated] = [*said.reasons, *said.exceptions]
    found.sort(key=lambda one: order.index(one.effect))
    return tuple(_told(one) for one in found[:REASONS_MAX])


def _told(one: Stated) -> Reason:
    known = CATALOGUE.get(one.code)
    detail = f" ({pdf_words.shown(one.detail, 200)})" if one.detail else ""
    return Reason(
        _SIGNS[one.effect],
        one.code,
        pdf_words.sentence(text_of(one.code) + detail),
        pdf_words.sentence(known.next_step) if known else "",
    )


def _files(page: RecordPage, *, may_audit: bool) -> tuple[File, ...]:
    size, at = pdf_words.human, f"/v1/records/{page.card.envelope_sha256}"
    found = [
        File(f"{at}/pdf", "PDF to print", "the same words on paper, the certificate inside"),
        File(
            f"{at}/bundle",
            "Certificate",
            f"what counts: the signed file, {size(page.bundle_bytes)}",
        ),
    ]
    if page.archive_bytes is not None and may_audit:
        told = f"{size(page.archive_bytes)}, SHA-256 {page.card.archive_sha256}"
        found.append(File(f"{at}/evidence", "Evidence archive", told))
    found.append(File(f"{at}/receipt", "Receipt", "this centre's signed word that it keeps it"))
    return tuple(found)


def _entry(one: EntryCard) -> Entry:
    return Entry(
        f"{one.sequence:,}",
        words.moment(one.at),
        KINDS.get(one.kind, one.kind),
        one.subject,
        "no" if one.kind == "station-event" else "by the station",
        one.sha256,
    )


def _other(card: RecordCard) -> Other:
    return Other(
        f"/records/{card.envelope_sha256}",
        words.VERDICTS[card.verdict],
        words.moment(card.issued_at),
        f"{card.station}, attempt {card.attempt}",
    )


def _receipt(page: RecordPage) -> tuple[Fact, ...]:
    """What the receipt says; its signature is this centre's own."""
    try:
        envelope = json.loads(page.receipt)
        payload = base64_bytes(envelope["payload"], 16 * 1024, "the receipt")
        said = json.loads(payload)
        head = f"entry {int(said['head_sequence']):,}, {said['head_sha256']}"
    except (ValueError, KeyError, TypeError, MalformedError):
        return ()
    return (
        Fact("Received", pdf_words.when(page.card.received.at)),
        fact("Record", page.card.envelope_sha256, "mono"),
        fact("Head seen then", show(head, 120), "mono"),
    )


def command(card: RecordCard) -> str:
    """How nullbay itself checks it. A name that could do more in a shell is not printed."""
    return f"nullbay cert verify {_name(card)}.sigstore.json --trust station.pub.pem"


def shell(card: RecordCard) -> str:
    """The commands that check signature, transcript and archive with openssl and jq alone."""
    name = _name(card)
    return f"""\
set -eu
pae() {{ # what a DSSE signature is over: type and payload, each with its length in front
  jq -j .payload "$1" | base64 -d > "$2.payload"
  jq -j '.signatures[0].sig' "$1" | base64 -d > "$2.sig"
  kind=$(jq -j .payloadType "$1")
  size=$(wc -c < "$2.payload")
  {{ printf 'DSSEv1 %d %s %d ' "${{#kind}}" "$kind" "$size"; cat "$2.payload"; }} > "$2.pae"
}}
jq -e .dsseEnvelope {name}.sigstore.json > statement.json
pae statement.json statement
openssl dgst -sha256 -verify station.pub.pem -signature statement.sig statement.pae
jq -j .predicate.benchKey.spki statement.payload | base64 -d > bench.der
openssl pkey -pubin -inform DER -in bench.der -out bench.said.pem
jq -e .predicate.transcript statement.payload > transcript.json
pae transcript.json transcript
openssl dgst -sha256 -verify bench.said.pem -signature transcript.sig transcript.pae
digest=$(jq -r '.subject[0].digest.sha256' statement.payload)
printf '%s  {name}.evidence.tar.zst\\n' "$digest" | sha256sum --check --strict
jq -r .predicate.result statement.payload
"""


def _name(card: RecordCard) -> str:
    """The file name of a record's downloads, without its ending."""
    return card.job if JOB_ID_FORM.fullmatch(card.job) else "certificate"


file_name = _name
