"""What page 1 says, verdict by verdict; that it is never milder than the signed statement."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from nullbay.certs import bundle, statement
from nullbay.certs.pdf_annex import Signed
from nullbay.certs.pdf_blocks import Facts, Table
from nullbay.certs.pdf_view import TITLES, View, view_of
from nullbay.certs.pdf_words import DRAWABLE
from nullbay.domain.clock import ClockSync
from nullbay.domain.drive import HiddenArea, HiddenState
from nullbay.domain.errors import MalformedError
from nullbay.domain.lot import Person
from nullbay.domain.outcome import JobEvidence, SectorList
from nullbay.domain.patterns import ZERO, Keyed
from nullbay.domain.plan import OverwriteStep, StepPurpose
from nullbay.domain.policy import Confidence, Full, NistR1
from nullbay.domain.reasons import CATALOGUE
from nullbay.domain.verdict import Verdict
from support import evidence_factory as factory
from support.evidence_factory import Certified, certify
from support.printed import HOSTILE, extreme, hostile, rewritten, simulated

SIGNED = Signed("a" * 64, "b" * 64, "c" * 64, "nullbay:1:…")


def view(made: Certified) -> View:
    return view_of(statement.read(made.payload), SIGNED)


def of(evidence: JobEvidence, **changes: Any) -> View:
    return view(certify(evidence, **changes))


def changed(made: Certified, change: Callable[[dict[str, Any]], object]) -> View:
    file = bundle.read(rewritten(made, change))
    return view_of(statement.read(file.envelope.payload), SIGNED)


def facts(shown: View) -> dict[str, str]:
    rows = (*shown.drive, *shown.owner, *shown.method, *shown.work, *shown.check)
    return {one.label: one.value for one in rows}


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from texts(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from texts(getattr(value, field.name))


@pytest.mark.parametrize(
    ("name", "title", "words", "shape", "action"),
    [
        ("good", "Certificate of sanitization", "SANITIZED", "check", "Release"),
        (
            "excepted",
            "Certificate of sanitization, with exceptions",
            "SANITIZED, WITH EXCEPTIONS",
            "triangle",
            "Hold",
        ),
        (
            "mismatched",
            "Record of unsuccessful sanitization",
            "NOT SANITIZED",
            "cross",
            "Do not release",
        ),
        (
            "absent",
            "Record of unsuccessful sanitization",
            "INDETERMINATE",
            "question",
            "Do not release",
        ),
    ],
)
def test_each_verdict_has_its_title_words_sign_and_next_step(
    name: str, title: str, words: str, shape: str, action: str
) -> None:
    shown = of(factory.EVIDENCE[name]())
    told = (shown.title, shown.verdict.words, shown.verdict.shape, shown.verdict.action)
    assert told == (title, words, shape, action)


def test_the_four_verdicts_differ_in_sign_and_words() -> None:
    headlines = [
        of(factory.EVIDENCE[name]()).verdict
        for name in ("good", "excepted", "mismatched", "absent")
    ]
    assert len({one.shape for one in headlines}) == 4
    assert len({one.words for one in headlines}) == 4
    assert set(TITLES) == set(Verdict)


def test_page_one_says_which_drive_whose_by_whom_where_and_when() -> None:
    told = facts(of(factory.sampled_evidence()))
    assert told["Model"] == "SAMSUNG MZ7L33T8HBLT"
    assert told["Serial number"] == "S6EPNX0T123456"
    assert told["WWN"] == "naa.5002538f12345678"
    assert told["Capacity"] == "4.00 TB (4,000,787,030,016 bytes)"
    assert told["Asset tag"] == "AT-0099123"
    assert told["Organization"] == "Example Recycling B.V."
    assert told["Customer"] == "Müller & Söhne GmbH"
    assert told["Lot"] == "LOT-2026-0417"
    assert told["Work order"] == "WO-88123"
    assert told["Site"] == "Hamburg 2"
    assert told["Operator"] == "op-117 (technician)"
    assert told["Station"] == "ams1-station-07, bay A1"
    assert told["Began"] == "2026-11-21 08:00:01 UTC"
    assert told["Statement, SHA-256"] == "a" * 64


def test_what_nobody_said_is_said_to_be_not_stated() -> None:
    shown = of(
        factory.good_evidence(serial=""),
        organization="",
        lot=None,
        asset_tag="",
        label_serial="",
        destination="",
        people=(),
    )
    assert {one.value for one in shown.owner} == {"not stated"}
    told = facts(shown)
    assert told["Serial number"] == "none given by the drive"
    assert told["By"] == "nobody named"


def test_a_label_that_says_another_serial_is_shown_beside_it() -> None:
    assert facts(of(factory.good_evidence(), label_serial="WD-123"))["Serial on label"] == "WD-123"
    assert "Serial on label" not in facts(of(factory.good_evidence()))


def test_required_and_reached_stand_side_by_side() -> None:
    reached = {
        name: facts(of(factory.EVIDENCE[name]()))["Reached"]
        for name in ("good", "excepted", "mismatched", "absent")
    }
    assert reached == {
        "good": "Clear",
        "excepted": "Clear",
        "mismatched": "not reached",
        "absent": "not known",
    }
    assert facts(of(factory.good_evidence()))["Required"] == "Clear"


def test_a_full_reading_leaves_nothing_to_miss() -> None:
    read = of(factory.good_evidence()).readback
    assert read.headline == "Read back in full"
    assert "67,108,864 bytes" in read.text
    assert [one.size for one in read.missed] == ["0 bytes", "0 bytes"]


def test_a_sample_says_in_bytes_what_it_would_have_missed() -> None:
    read = of(factory.sampled_evidence()).readback
    assert read.headline == "Read back by sample: 10.0 %"
    assert "2,000 places" in read.text
    assert "at most 1 %" in read.missed_title
    scattered, contiguous = read.missed
    # docs/sampling.md works out the same drive by hand.
    assert (scattered.size, scattered.exact) == ("22.6 kB", "22,528 bytes")
    assert (contiguous.size, contiguous.exact) == ("4.81 GB", "4,800,946,176 bytes")


def test_bounds_of_several_units_add_up_for_scattered_and_do_not_for_one_piece() -> None:
    units = tuple(factory.unit(4_000_787_030_016, unit_id=f"lun:{n}") for n in range(2))
    read = of(factory.good_evidence(profile=NistR1(), units=units)).readback
    assert [one.exact for one in read.missed] == ["45,056 bytes", "4,800,946,176 bytes"]
    assert "4,000 places" in read.text


def test_a_confidence_sample_has_its_own_bounds() -> None:
    profile = Confidence(999_000, 1_000)
    read = of(
        factory.good_evidence(profile=profile, units=(factory.unit(4_000_787_030_016),))
    ).readback
    assert read.headline.startswith("Read back by sample: 0.")
    assert all(one.exact.endswith(" bytes") for one in read.missed)


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        ({"mismatched": 7}, "Read back: it differs"),
        ({"unreadable": SectorList(3, (5, 6, 7))}, "Read back: unreadable sectors"),
        ({"read_bytes": 4096}, "Read back in part"),
        ({"reads": "buffered"}, "Read back, but not soundly"),
        ({"extents_sha256": "0" * 64}, "Read back, but not soundly"),
    ],
)
def test_a_reading_with_a_flaw_gives_no_bound(change: dict[str, Any], headline: str) -> None:
    good = factory.good_evidence()
    result = good.outcomes[0].verification
    assert result is not None
    outcome = replace(good.outcomes[0], verification=replace(result, **change))
    shown = of(replace(good, outcomes=(outcome,)))
    assert shown.title == "Record of unsuccessful sanitization"
    assert shown.readback.headline == headline
    assert shown.readback.missed == ()


def test_a_reading_that_never_took_place_is_not_verified() -> None:
    assert of(factory.unwritable_evidence()).readback.headline == "Not verified"
    assert of(factory.unwritable_evidence()).readback.missed == ()


def test_one_of_two_units_read_is_verified_in_part() -> None:
    good = factory.multi_unit_evidence()
    *others, last = good.outcomes
    shown = of(replace(good, outcomes=(*others, replace(last, verification=None))))
    assert shown.readback.headline == "Verified in part"
    assert shown.readback.missed == ()


def test_no_comforting_bound_stands_on_a_drive_that_failed_for_another_reason() -> None:
    good = factory.good_evidence()
    areas = (HiddenArea("hpa", HiddenState.PRESENT, 10**9, "ata-identify"),)
    shown = of(replace(good, observed_start=replace(good.observed_start, hidden_areas=areas)))
    assert shown.verdict.words == "NOT SANITIZED"
    assert shown.readback.headline == "Read back; nothing differed"
    assert shown.readback.missed == ()


def test_how_it_was_done_names_passes_and_bytes() -> None:
    assert facts(of(factory.good_evidence()))["How"] == (
        "Overwriting by the station, 1 pass: keyed stream AES-256-CTR. "
        "Written and confirmed by the drive: all 67.1 MB."
    )
    assert "3 passes: patterns of keyed-1/1" in facts(of(factory.multi_unit_evidence()))["How"]
    assert facts(of(factory.unwritable_evidence()))["How"].endswith(
        "Written and confirmed by the drive: 8.38 MB of 67.1 MB (12.5 %); "
        "1 sector could not be written."
    )


def test_a_final_state_is_told_apart_from_the_method() -> None:
    good = factory.good_evidence(patterns=(Keyed(), ZERO))
    first, last = good.plan.steps
    assert isinstance(first, OverwriteStep)
    assert isinstance(last, OverwriteStep)
    steps = (
        replace(first, verification=Full()),
        replace(last, purpose=StepPurpose.FINAL_STATE),
    )
    read = factory.verification(factory.unit(), Full(), 120)
    outcomes = (replace(good.outcomes[0], verification=read), good.outcomes[1])
    shown = of(replace(good, plan=replace(good.plan, steps=steps), outcomes=outcomes))
    assert shown.verdict.words == "SANITIZED"
    assert "1 pass: keyed stream" in facts(shown)["How"]
    assert facts(shown)["How"].endswith("Then, for the final state: zeros (bytes 00).")


def test_reasons_are_told_in_the_words_of_the_catalogue_with_code_and_next_step() -> None:
    finding, *_ = of(factory.mismatched_evidence()).findings
    known = CATALOGUE["verification.mismatch"]
    assert finding.code == "verification.mismatch"
    assert known.text[1:] in finding.text
    assert "(step 1: 2 sectors)" in finding.text
    assert known.next_step[1:] in finding.next_step


def test_what_is_known_to_be_wrong_comes_before_what_is_not_known() -> None:
    shown = view(extreme())
    assert [one.code for one in shown.findings[:2]] == ["overwrite.hidden-area"] * 2
    assert shown.findings_title == "Reasons"
    assert shown.findings_more.endswith("more in annex 1")


def test_exceptions_are_called_exceptions() -> None:
    good = factory.excepted_evidence()
    late = replace(good.sessions[0].ended, sync=ClockSync.UNSYNCHRONISED)
    shown = of(replace(good, sessions=(replace(good.sessions[0], ended=late),)))
    assert shown.findings_title == "Exceptions"
    codes = {one.code for one in shown.findings}
    assert {"exception.sectors-retired", "exception.clock-not-synchronised"} <= codes
    assert f"with {len(codes)} exceptions" in shown.verdict.sentence


def test_limits_are_told_in_words() -> None:
    assert "over-provisioned and retired areas" in of(factory.good_evidence()).limits


def test_a_simulated_record_asks_for_nothing_to_be_done() -> None:
    shown = view(simulated())
    assert shown.simulated
    assert "made of software" in shown.verdict.action_text


def test_validation_is_left_to_a_person() -> None:
    assert of(factory.good_evidence()).validation.choices == ("accepted", "rejected")
    failed = of(factory.mismatched_evidence()).validation
    assert failed.choices == ("sanitized again", "destroyed")
    assert "4.5.2" in failed.title


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.update(result="SANITIZED"),
        lambda said: said.update(result="INDETERMINATE"),
        lambda said: said.update(reasons=[]),
        lambda said: said["sanitization"]["method"].update(claimed="clear"),
        lambda said: [one.update(effect="exception") for one in said["reasons"]],
    ],
)
def test_a_failure_dressed_up_as_success_is_not_printed(
    change: Callable[[dict[str, Any]], object],
) -> None:
    with pytest.raises(MalformedError, match="result is not the one"):
        changed(certify(factory.mismatched_evidence()), change)


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["sanitization"]["method"].update(claimed=None),
        lambda said: said["sanitization"]["method"].update(required="purge"),
        lambda said: said.update(result="SANITIZED_WITH_EXCEPTIONS"),
    ],
)
def test_a_success_its_own_fields_deny_is_not_printed(
    change: Callable[[dict[str, Any]], object],
) -> None:
    with pytest.raises(MalformedError, match="result is not the one"):
        changed(certify(), change)


def test_a_day_no_calendar_has_is_not_printed() -> None:
    with pytest.raises(MalformedError, match="calendar"):
        changed(
            certify(),
            lambda said: said["environment"]["clock"].update(
                issuedAt="2026-02-31T00:00:00.000000Z"
            ),
        )


def test_a_job_name_that_does_more_than_name_is_not_printed_as_a_command() -> None:
    shown = changed(certify(), lambda said: said["attempt"].update(jobId="x; rm -rf /"))
    assert shown.command == (
        "nullbay cert verify CERTIFICATE.sigstore.json --trust station.pub.pem"
    )
    good = of(factory.good_evidence())
    assert "j-20261121T080000-0123456789ab.sigstore.json" in good.command


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_every_text_of_the_document_can_be_drawn(text: str) -> None:
    for one in texts(view(hostile(text))):
        assert set(one) <= DRAWABLE, one


def test_page_one_is_short_whatever_the_statement_holds() -> None:
    shown = view(extreme())
    for one in (*shown.drive, *shown.owner, *shown.work):
        assert len(one.label) <= 24
        assert len(one.value) <= 64
    assert len(shown.findings) <= 4
    assert len(shown.limits) <= 330


def test_lists_without_end_are_cut_and_say_so() -> None:
    people = tuple(Person("operator", f"op-{n}") for n in range(1000))
    made = certify(people=people, previous=tuple(f"urn:uuid:{n:032x}" for n in range(2000)))
    shown = view(made)
    told = list(texts(shown))
    assert "and 998 more in annex 7" in told
    assert "600 more rows in the signed record." in told
    assert any(one.endswith("and 1,990 more") for one in told)
    assert sum(map(len, told)) < 100_000


def test_the_annex_has_the_seed_the_hashes_and_the_chain() -> None:
    made = certify(factory.sampled_evidence())
    told = set(texts(view(made)))
    said = statement.read(made.payload).predicate
    result = said.verification[0].result
    assert result is not None
    assert {
        result.seed,
        result.extents_sha256,
        said.sanitization.policy.sha256,
        said.sanitization.plan_sha256,
        said.environment.build.sha256,
        said.chain.previous,
        said.exchanges.sha256,
        "entry 18,231",
        "nist-clear/1",
        "synchronised",
    } <= told


def test_the_annex_lists_every_sector_that_differed_and_every_pass() -> None:
    tables = {
        block.columns[0].title: block
        for section in view(extreme()).annex
        for block in section.blocks
        if isinstance(block, Table)
    }
    assert len(tables["LBA"].rows) == 64
    assert tables["LBA"].rows[1][0] == "7,812,000,017"
    assert len(tables["Step"].rows) == 70
    assert "bytes 040404" in tables["Step"].rows[4][2]


def test_the_annex_says_why_a_pass_failed_and_where_it_could_not_write() -> None:
    told = {
        one.label: one.value
        for section in of(factory.unwritable_evidence()).annex
        for block in section.blocks
        if isinstance(block, Facts)
        for one in block.rows
    }
    assert told["Step 1: codes"] == "write.unwritable-sector"
    assert told["Step 1: unwritable"] == "1 sector; LBA 16384"


def test_bytes_that_are_no_text_stand_in_hex_beside_it() -> None:
    section = next(
        one
        for one in of(factory.good_evidence(serial=b"\xffS\x00N\\")).annex
        if one.title == "The drive in full"
    )
    (block,) = (one for one in section.blocks if isinstance(one, Facts))
    told = {one.label: one.value for one in block.rows}
    assert told["Serial number"] == "\\xffS\\x00N\\\\"
    assert told["Serial number, as bytes"] == "ff53004e5c"
    assert "Model, as bytes" not in told
