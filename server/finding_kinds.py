"""Every kind of finding: its stable code, how much it matters, what it means, what to do."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How much it matters. `alarm`: somebody may be hiding or inventing something."""

    ALARM = "alarm"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a code means. `lasting`: it happened, and is over only when a person says so."""

    code: str
    severity: Severity
    lasting: bool
    text: str
    next_step: str


_A, _W = Severity.ALARM, Severity.WARNING
_CONDITIONS = (
    (
        "station.silent",
        _W,
        "Nothing was heard of the station for longer than the settings allow.",
        "See whether it is switched on and reaches the network; its records wait there.",
    ),
    (
        "station.wrong-clock",
        _W,
        "The station's clock and the centre's differ by more than five minutes.",
        "Set the station's time source right; its records say when it was not synchronised.",
    ),
    (
        "station.removed",
        _W,
        "The station has records here and is in the settings no more.",
        "Put it back into the settings, or acknowledge that it was retired.",
    ),
    (
        "ledger.gap",
        _A,
        "Entries of the station's ledger are missing, and later ones are waiting.",
        "See the station's outbox; run `nullbay ledger check` there.",
    ),
    (
        "job.open-too-long",
        _A,
        "A job was started, is not concluded, and the station does not show it any more.",
        "Look for the drive and for the job on the station; a job must never just disappear.",
    ),
    (
        "job.never-started",
        _A,
        "A job was concluded that was never started on the ledger.",
        "Compare with the station's journal.",
    ),
    (
        "job.doubled",
        _A,
        "A job was started or concluded more than once.",
        "Compare with the station's journal; only the first conclusion counts here.",
    ),
    (
        "insertion.open-too-long",
        _W,
        "A drive was worked on, its stay was never closed, and the station shows it no more.",
        "Look for the drive and for the insertion on the station.",
    ),
    (
        "insertion.doubled",
        _A,
        "A stay of a drive was closed more than once.",
        "Compare with the station's journal.",
    ),
    (
        "record.missing",
        _A,
        "A job was concluded on the ledger, and its record was never delivered.",
        "See the station's outbox; the record's files are in its state directory.",
    ),
    (
        "evidence.lost",
        _A,
        "The evidence archive of a record is no longer in the evidence folder, or not whole.",
        "Restore it from a copy, or from the station's state directory.",
    ),
)
_HAPPENED = (
    (
        "ledger.fork",
        _A,
        "The station sent another ledger entry in a place that already had one.",
        "Somebody rewrote history, or its journal was restored from a copy: compare both chains.",
    ),
    (
        "ledger.broken",
        _A,
        "A ledger entry does not bear the station's signature, or not what was signed.",
        "Keep the station's journal as it is and run `nullbay ledger check` there.",
    ),
    (
        "head.backwards",
        _A,
        "The station says that its ledger ends before an entry it had already told of.",
        "Its journal was restored from a copy, or its tail was cut off: find out which, and why.",
    ),
    (
        "head.forked",
        _A,
        "The station says that an entry has another content than the one delivered or told of.",
        "Somebody rewrote its ledger: keep its journal and compare it with what is here.",
    ),
    (
        "record.not-authentic",
        _A,
        "The station sent a record that does not check: forged, damaged, or by an unknown key.",
        "Find out where it came from; its digest is kept.",
    ),
    (
        "record.contradicts-ledger",
        _A,
        "The station sent a record that says something else than its own ledger.",
        "Compare record and ledger; the digest is kept.",
    ),
    (
        "lot.contradicts-ledger",
        _A,
        "The station sent a lot's document that says something else than its own ledger.",
        "Compare the document in its journal with its ledger; the digest is kept.",
    ),
    (
        "record.replayed",
        _A,
        "A record that is already here came again in another form.",
        "Find out who sent it; the first one stands.",
    ),
    (
        "station.other",
        _A,
        "The station sent something that names another station.",
        "Look for exchanged tokens or copied state directories.",
    ),
    (
        "simulated.refused",
        _W,
        "The station sent something made by drives of software; this centre takes none.",
        "Point demonstrations at a centre of their own.",
    ),
    (
        "digest.wrong",
        _W,
        "Something arrived that is not what its address says.",
        "Look for a damaged disk or a proxy that changes what it carries.",
    ),
    (
        "input.malformed",
        _W,
        "Something arrived that cannot be read.",
        "Look for a damaged disk, a proxy, or a station of another version.",
    ),
    (
        "input.too-large",
        _W,
        "Something arrived that is larger than anything of its kind.",
        "Find out what the station tried to send.",
    ),
    (
        "input.unknown-schema",
        _W,
        "Something arrived in a form that this version does not know.",
        "Bring centre and station to the same version, the centre first.",
    ),
)
_INTRO = (
    "What the centre finds out by itself. An alarm means that somebody may be hiding or inventing"
    " something. A condition is over when it no longer holds; what happened stays until a person"
    " acknowledges it with a note. Nothing is ever deleted. How long a condition may hold before it"
    " is told stands in the settings of the centre (`[findings]`)."
)
CATALOGUE: dict[str, Kind] = {
    code: Kind(code, severity, lasting, text, next_step)
    for lasting, kinds in ((False, _CONDITIONS), (True, _HAPPENED))
    for code, severity, text, next_step in kinds
}


def catalogue_markdown() -> str:
    """The whole of docs/findings.md."""
    lines = [
        "# Findings",
        "",
        "Generated: `python -m nullbay.server.finding_kinds > docs/findings.md`.",
        "",
        _INTRO,
    ]
    for lasting, title in ((False, "Conditions"), (True, "What happened")):
        lines += ["", f"## {title}", "", "| code | severity | meaning | what to do |"]
        lines += ["|---|---|---|---|"]
        lines += [
            f"| `{kind.code}` | {kind.severity.value} | {kind.text} | {kind.next_step} |"
            for kind in CATALOGUE.values()
            if kind.lasting is lasting
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(catalogue_markdown())
