"""The small values: ids, moments, drives, patterns, policies, methods, errors, reasons."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.domain.strategies import attachment, identity, job

from nullbay.domain import clock as clock_module
from nullbay.domain import reason_texts
from nullbay.domain.clock import ClockSync, SystemClock, read_boot_id, rfc3339
from nullbay.domain.codec import to_plain
from nullbay.domain.drive import Drive, NodeAttachment, Observed
from nullbay.domain.errors import MalformedError, NullbayError, TooLargeError
from nullbay.domain.ids import JOB_ID_FORM, POLICY_ID_FORM, LotRef, PolicyId, job_id
from nullbay.domain.lot import DataCategory, Destination, Lot
from nullbay.domain.method import MediaKind, Method, Technique, reaches
from nullbay.domain.outcome import ReadBack
from nullbay.domain.patterns import ZERO, Keyed, OverwriteScheme, Repeat, parse_pattern
from nullbay.domain.policy import (
    Budgets,
    CategoryRule,
    FinalState,
    Full,
    HealthLine,
    NistR1,
    Policy,
)
from nullbay.domain.reasons import CATALOGUE, Group, catalogue_markdown, text_of
from nullbay.domain.station_texts import STATION
from nullbay.domain.text import RawText

# --- ids ---------------------------------------------------------------------------------------


def test_a_job_id_sorts_by_its_start() -> None:
    made = job_id("2026-11-21T19:51:08.123456Z", bytes.fromhex("0123456789abcdef"))
    assert made == "j-20261121T195108-0123456789ab"
    assert JOB_ID_FORM.fullmatch(made)
    assert made < job_id("2026-11-21T19:51:09.000000Z", bytes(6))


@pytest.mark.parametrize(
    ("at", "random"),
    [
        ("", bytes(6)),
        ("2026-11-21", bytes(6)),
        ("2026-11-21T19:51:08Z", bytes(5)),
        ("2026-11-21T19:51:0/", bytes(6)),
        ("٢026-11-21T19:51:08Z", bytes(6)),
        ("../../etc/passwd/xxx", bytes(6)),
    ],
)
def test_no_job_id_from_anything_else(at: str, random: bytes) -> None:
    with pytest.raises(ValueError, match="not a time"):
        job_id(at, random)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("nist-clear/1", True),
        ("a/1", True),
        ("nist-clear", False),
        ("nist-clear/0", False),
        ("nist-clear/01", False),
        ("Nist/1", False),
        ("-a/1", False),
        ("a/1\n", False),
        ("../a/1", False),
    ],
)
def test_policy_ids_have_a_version(text: str, fits: bool) -> None:
    assert bool(POLICY_ID_FORM.fullmatch(text)) is fits


# --- clock -------------------------------------------------------------------------------------


def test_now_tells_when_how_long_and_which_boot() -> None:
    clock = SystemClock(lambda: ClockSync.SYNCHRONISED)
    first, second = clock.now(), clock.now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first.at)
    assert first.boottime_us <= second.boottime_us <= clock.boottime() * 1_000_000
    assert first.boottime_us > (clock.boottime() - 3600) * 1_000_000, "microseconds"
    assert first.boot_id == second.boot_id == read_boot_id()
    assert first.sync is ClockSync.SYNCHRONISED
    assert SystemClock().now().sync is ClockSync.UNKNOWN


def test_wall_time_is_utc_whatever_the_zone() -> None:
    moment = datetime(2026, 11, 21, 20, 0, 0, 5, timezone(timedelta(hours=1)))
    assert rfc3339(moment) == "2026-11-21T19:00:00.000005Z"
    assert rfc3339(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000000Z"


def test_an_unreadable_boot_id_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock_module, "BOOT_ID", tmp_path / "none")
    assert read_boot_id() == "unknown"
    (tmp_path / "long").write_text("x" * 500 + "\n")
    monkeypatch.setattr(clock_module, "BOOT_ID", tmp_path / "long")
    assert read_boot_id() == "x" * 64
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    monkeypatch.setattr(clock_module, "BOOT_ID", tmp_path / "odd")
    assert read_boot_id() == "unknown"
    (tmp_path / "empty").write_bytes(b"\n")
    monkeypatch.setattr(clock_module, "BOOT_ID", tmp_path / "empty")
    assert read_boot_id() == "unknown"


def test_timeouts_end_what_runs_inside_and_none_never_does() -> None:
    clock = SystemClock()

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with clock.timeout(0):
                await asyncio.Event().wait()
        async with clock.timeout(None):
            await clock.sleep(0)
        clock.wait_blocking(0)

    asyncio.run(impatient())


# --- drives ------------------------------------------------------------------------------------


def observed() -> Observed:
    return job().observed_start


def drive(serial: bytes = b"WD-WX11A1") -> Drive:
    return Drive(identity(serial), attachment(), observed())


TOKEN = re.compile(r"nb-[0-9a-f]{10}")


@pytest.mark.parametrize("serial", [b"WD-WX11A1", b"S 1", b"x" * 40, b"-rf", b"$(id)"])
def test_a_readable_serial_confirms(serial: bytes) -> None:
    assert drive(serial).confirm == serial.decode()


@pytest.mark.parametrize(
    "serial", [b"", b"   ", b"x" * 41, b"a\x1b[2Jb", b"\xff", "é".encode(), b"a\\b", b"\x00"]
)
def test_any_other_serial_is_replaced_by_a_token(serial: bytes) -> None:
    assert TOKEN.fullmatch(drive(serial).confirm)


def test_a_serial_that_two_drives_have_confirms_neither() -> None:
    one = replace(drive(), serial_shared=True)
    elsewhere = replace(one, attachment=replace(one.attachment, device_path="/devices/other"))
    assert TOKEN.fullmatch(one.confirm)
    assert one.confirm != elsewhere.confirm


def test_a_token_is_bound_to_drive_boot_and_place() -> None:
    one = drive(b"")
    node = one.attachment.nodes[0]
    others = [
        replace(one, identity=replace(one.identity, model=RawText(b"X"))),
        replace(one, attachment=attachment("another boot")),
        replace(one, attachment=attachment(diskseq=10)),
        replace(one, attachment=replace(one.attachment, nodes=(replace(node, devnum="8:0"),))),
        replace(one, attachment=replace(one.attachment, nodes=(node, node))),
        replace(one, attachment=replace(one.attachment, nodes=())),
        replace(one, attachment=replace(one.attachment, device_path="/devices/other")),
    ]
    tokens = [one.confirm, *(other.confirm for other in others)]
    assert len(set(tokens)) == len(tokens)
    assert all(TOKEN.fullmatch(token) for token in tokens)
    renamed = replace(one.attachment, nodes=(replace(node, name="sdz"),))
    assert replace(one, attachment=renamed).confirm == one.confirm, "names are never identity"


def test_identity_is_what_names_a_drive_and_nothing_else() -> None:
    one = identity()
    assert one.key == replace(one, identify_sha256="b" * 64, identify_source="sysfs").key
    other = RawText(b"other")
    others = [
        replace(one, vendor=other),
        replace(one, model=other),
        replace(one, serial=other),
        replace(one, wwn="other"),
        replace(one, eui64="other"),
        replace(one, nguid="other"),
    ]
    assert len({one.key, *(another.key for another in others)}) == 7
    # What moves from one part to the next is another name.
    assert replace(one, wwn="", eui64=one.wwn).key != one.key


@pytest.mark.parametrize(
    ("serial", "wwn", "strong"),
    [(b"S", "", True), (b"", "0x5", True), (b"", "", False), (b"  ", "", False)],
)
def test_strong_names(serial: bytes, wwn: str, strong: bool) -> None:
    assert identity(serial, wwn).is_strong is strong


@pytest.mark.parametrize("name", ["wwn", "eui64", "nguid"])
def test_any_world_wide_name_is_a_name(name: str) -> None:
    nameless = identity(b"", "")
    named = replace(nameless, eui64="x") if name == "eui64" else replace(nameless, nguid="x")
    assert (identity(b"", "0x5") if name == "wwn" else named).is_strong


def test_size_is_that_of_all_units() -> None:
    evidence = job()
    two = (*evidence.plan.units, replace(evidence.plan.units[0], unit_id="lun:1"))
    assert replace(evidence.plan, units=two).size_bytes == 2 * 1024 * 1024
    assert replace(evidence.observed_start, units=two).size_bytes == 2 * 1024 * 1024
    assert evidence.plan.unit("disk") == evidence.plan.units[0]
    with pytest.raises(KeyError):
        evidence.plan.unit("lun:9")


def test_nodes_of_the_same_name_are_not_the_same_node() -> None:
    assert NodeAttachment("disk", "sdb", "8:16", 1) != NodeAttachment("disk", "sdb", "8:16", 2)


@pytest.mark.parametrize(
    ("found", "matches"),
    [
        (ReadBack(64, 64, last_flushed_included=True), True),
        (ReadBack(1, 1, last_flushed_included=True), True),
        (ReadBack(64, 63, last_flushed_included=True), False),
        (ReadBack(64, 64, last_flushed_included=False), False),
        (ReadBack(0, 0, last_flushed_included=True), False),
        (ReadBack(-1, -1, last_flushed_included=True), False),
    ],
)
def test_read_back(found: ReadBack, matches: bool) -> None:
    assert found.is_match is matches


def test_a_plan_is_approved_by_its_hash() -> None:
    plan = job().plan
    assert plan.sha256 == replace(plan).sha256
    assert re.fullmatch(r"[0-9a-f]{64}", plan.sha256)
    others = [
        replace(plan, required_method=Method.PURGE),
        replace(plan, steps=()),
        replace(plan, limitations=()),
        replace(plan, simulated=True),
        replace(plan, budgets=replace(plan.budgets, stall_s=5)),
        replace(plan, units=(replace(plan.units[0], size_bytes=512),)),
    ]
    assert len({plan.sha256, *(other.sha256 for other in others)}) == 7


# --- patterns ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("keyed", Keyed()),
        ("00", ZERO),
        ("ff", Repeat(b"\xff")),
        ("FF", Repeat(b"\xff")),
        ("924924", Repeat(b"\x92\x49\x24")),
        ("00" * 512, Repeat(bytes(512))),
    ],
)
def test_patterns_are_read(text: str, pattern: Keyed | Repeat) -> None:
    assert parse_pattern(text) == pattern


@pytest.mark.parametrize(
    "text", ["", "Keyed", "0", "zz", "random", "00" * 513, "0x00", "00 ff", "\n"]
)
def test_patterns_that_are_none_say_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match=r"'keyed' or 1 to 512 bytes in hex such as '00'"):
        parse_pattern(text)


def test_patterns_have_names() -> None:
    assert Keyed().name == "keyed stream AES-256-CTR"
    assert Repeat(b"\x92\x49").name == "bytes 9249"


@pytest.mark.parametrize("passes", [(), (ZERO,) * 65])
def test_a_scheme_has_one_to_64_passes(passes: tuple[Repeat, ...]) -> None:
    with pytest.raises(ValueError, match="1 to 64 passes"):
        OverwriteScheme("x/1", passes)


@pytest.mark.parametrize("unit", [b"", bytes(513)])
def test_a_repeated_unit_has_a_length(unit: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 512 bytes"):
        Repeat(unit)


# --- methods -----------------------------------------------------------------------------------

PURGES_ANYTHING = {
    "ata-sanitize-crypto-scramble", "ata-sanitize-block-erase", "nvme-sanitize-crypto-erase",
    "nvme-sanitize-block-erase", "scsi-sanitize-crypto-erase", "scsi-sanitize-block-erase",
}  # fmt: skip
PURGES_MAGNETIC = {
    "ata-sanitize-overwrite", "nvme-sanitize-overwrite", "scsi-sanitize-overwrite",
    "ata-security-erase-enhanced",
}  # fmt: skip
ONLY_CLEARS = {
    "host-overwrite", "ata-security-erase", "nvme-format-ses1", "nvme-format-ses2",
    "scsi-format-unit", "tcg-revert",
}  # fmt: skip


@pytest.mark.parametrize("media", MediaKind)
@pytest.mark.parametrize("technique", Technique)
def test_levels_are_those_of_the_standards_page(technique: Technique, media: MediaKind) -> None:
    """Reference: standards.md section 2, the column of what may be claimed."""
    purges = technique in PURGES_ANYTHING or (
        technique in PURGES_MAGNETIC and media is MediaKind.MAGNETIC
    )
    assert reaches(technique, media) is (Method.PURGE if purges else Method.CLEAR)
    assert technique in PURGES_ANYTHING | PURGES_MAGNETIC | ONLY_CLEARS


def test_methods_are_ordered() -> None:
    clear, purge, destroy = Method
    assert clear.rank < purge.rank < destroy.rank
    assert [one.satisfies(other) for one in Method for other in Method] == [
        True, False, False, True, True, False, True, True, True,
    ]  # fmt: skip


# --- policies ----------------------------------------------------------------------------------

RULES = st.lists(
    st.builds(
        CategoryRule,
        st.sampled_from(DataCategory),
        st.sampled_from(Destination),
        st.sampled_from(Method),
    ),
    max_size=6,
)
LOTS = st.none() | st.builds(
    Lot,
    st.just(LotRef("L-1")),
    data_category=st.none() | st.sampled_from(DataCategory),
    destination=st.none() | st.sampled_from(Destination),
)


def policy(method: Method = Method.CLEAR, rules: tuple[CategoryRule, ...] = ()) -> Policy:
    return Policy(
        policy_id=PolicyId("test/1"),
        title="a test",
        method=method,
        categories=rules,
        techniques=(Technique.HOST_OVERWRITE,),
        scheme=OverwriteScheme("one/1", (Keyed(),)),
        verify_magnetic=NistR1(),
        verify_other=Full(),
        final_state=FinalState.KEYED,
    )


@given(st.sampled_from(Method), RULES, RULES, LOTS)
def test_more_rules_never_require_less(
    method: Method, rules: list[CategoryRule], more: list[CategoryRule], lot: Lot | None
) -> None:
    required = policy(method, tuple(rules)).required_method(lot)
    assert required.satisfies(method)
    assert policy(method, (*rules, *more)).required_method(lot).satisfies(required)
    assert policy(method, tuple(reversed(rules))).required_method(lot) is required


@given(st.sampled_from(Method), st.sampled_from(Method), RULES, LOTS)
def test_a_stricter_policy_never_requires_less(
    one: Method, other: Method, rules: list[CategoryRule], lot: Lot | None
) -> None:
    weaker, stricter = sorted((one, other), key=lambda method: method.rank)
    required = policy(weaker, tuple(rules)).required_method(lot)
    assert policy(stricter, tuple(rules)).required_method(lot).satisfies(required)


def test_rules_apply_to_their_category_and_destination_only() -> None:
    rules = (
        CategoryRule(DataCategory.HIGH, Destination.LEAVING, Method.DESTROY),
        CategoryRule(DataCategory.MODERATE, Destination.LEAVING, Method.PURGE),
    )
    one = policy(Method.CLEAR, rules)

    def required(category: DataCategory | None, destination: Destination | None) -> Method:
        lot = Lot(LotRef("L-1"), data_category=category, destination=destination)
        return one.required_method(lot)

    assert one.required_method(None) is Method.CLEAR
    assert required(None, Destination.LEAVING) is Method.CLEAR
    assert required(DataCategory.LOW, Destination.LEAVING) is Method.CLEAR
    assert required(DataCategory.MODERATE, Destination.LEAVING) is Method.PURGE
    assert required(DataCategory.MODERATE, Destination.RETAINED) is Method.CLEAR
    assert required(DataCategory.HIGH, Destination.LEAVING) is Method.DESTROY
    # Nobody said where it goes: it is taken to leave.
    assert required(DataCategory.HIGH, None) is Method.DESTROY


@pytest.mark.parametrize("media", MediaKind)
def test_only_magnetic_media_are_sampled(media: MediaKind) -> None:
    wanted = NistR1() if media is MediaKind.MAGNETIC else Full()
    assert policy().profile_for(media) == wanted


def test_a_policy_has_a_hash_of_all_it_says() -> None:
    one = policy()
    others = [
        replace(one, unattended=True),
        replace(one, fallback=PolicyId("other/1")),
        replace(one, verify_magnetic=Full()),
        replace(one, budgets=Budgets(stall_s=9)),
        replace(one, health=HealthLine(pending_sectors_max=None)),
    ]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"write_retries": -1},
        {"write_retries": 101},
        {"retry_pause_s": -1},
        {"retry_pause_s": 3601},
        {"stall_s": 0},
        {"deadline_s": 0},
        {"absent_deadline_s": 0},
        {"rate_limit_bytes_per_s": -1},
        {"continue_below_celsius": 0},
        {"continue_below_celsius": 65},
        {"pause_above_celsius": 55},
        {"errors_max": -1},
        {"slow_below_bytes_per_s": -1},
        {"slow_s": 59},
        {"write_retries": 15, "retry_pause_s": 60},
    ],
)
def test_budgets_that_mean_nothing(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r" is | are "):
        Budgets(**wrong)  # type: ignore[arg-type]


def test_what_a_policy_leaves_out_is_this() -> None:
    """Part of every policy's hash: another default is another policy under the same name."""
    assert to_plain(Budgets()) == {
        "write_retries": 3,
        "retry_pause_s": 1,
        "continue_past_unwritable": False,
        "stall_s": 120,
        "deadline_s": 1_209_600,
        "absent_deadline_s": 604_800,
        "pause_above_celsius": 65,
        "continue_below_celsius": 55,
        "rate_limit_bytes_per_s": "0",
        "errors_max": 1000,
        "slow_below_bytes_per_s": "1000000",
        "slow_s": 900,
    }
    assert to_plain(HealthLine()) == {
        "reallocated_sectors_max": None,
        "pending_sectors_max": 0,
        "media_errors_max": None,
        "percentage_used_max": 100,
    }


def test_budgets_at_their_ends() -> None:
    Budgets(
        write_retries=0,
        retry_pause_s=3600,
        stall_s=1,
        deadline_s=1,
        absent_deadline_s=1,
        continue_below_celsius=64,
        errors_max=0,
        slow_s=60,
    )
    Budgets(write_retries=100, retry_pause_s=3600, slow_below_bytes_per_s=0)
    Budgets(write_retries=3, retry_pause_s=299, slow_s=898)


# --- errors ------------------------------------------------------------------------------------


def test_an_error_tells_what_to_do() -> None:
    error = MalformedError("this is no policy", next_step="Run `nullbay config check`")
    assert error.told() == "this is no policy. Run `nullbay config check`."
    assert NullbayError("It broke.").told() == "It broke."
    assert error.code == "input.malformed"
    assert NullbayError("x", code="a.b").code == "a.b"
    assert isinstance(TooLargeError("x"), MalformedError)


# --- reasons -----------------------------------------------------------------------------------


def test_codes_are_one_of_a_kind() -> None:
    texts = (
        reason_texts.REFUSAL, reason_texts.NOT_CHOSEN, reason_texts.STEP,
        reason_texts.VERDICT, reason_texts.EXCEPTION, reason_texts.LIMITATION, STATION,
    )  # fmt: skip
    codes = [code for group in texts for code in group]
    assert len(codes) == len(set(codes)) == len(CATALOGUE)


@pytest.mark.parametrize("code", CATALOGUE)
def test_reasons_are_plain(code: str) -> None:
    """Lower-case clauses without a full stop, safe in a table, so that they can be joined."""
    reason = CATALOGUE[code]
    assert reason.code == code
    assert re.fullmatch(r"[a-z]+(\.[a-z0-9]+(-[a-z0-9]+)*)+", code)
    for text in (reason.text, reason.next_step):
        assert text == text.strip()
        assert text
        assert text[0].islower()
        assert text[-1] not in ".,;:!"
        assert "|" not in text
        assert "\n" not in text
        assert "  " not in text
    assert len(reason.text) <= 160
    assert text_of(code) == reason.text


def test_groups_share_no_words_by_accident() -> None:
    """Two codes of one group that say the same are one code too many."""
    for group in Group:
        texts = [reason.text for reason in CATALOGUE.values() if reason.group is group]
        assert texts
        assert len(set(texts)) == len(texts)


def test_an_unknown_code_is_shown_as_itself() -> None:
    assert text_of("code.of-tomorrow") == "code.of-tomorrow"


def test_the_page_is_the_generated_one() -> None:
    page = Path(__file__).parents[3] / "docs" / "reasons.md"
    assert page.read_text() == catalogue_markdown()
    assert all(f"| `{code}` |" in page.read_text() for code in CATALOGUE)
