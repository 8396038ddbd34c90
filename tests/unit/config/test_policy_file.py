from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nullbay.config import floors
from nullbay.config.policy_file import policy_keys
from nullbay.config.policy_tables import AcceptanceTable
from nullbay.config.problems import Problem
from nullbay.domain.ids import POLICY_ID_FORM, LotRef, PolicyId
from nullbay.domain.lot import DataCategory, Destination, Lot
from nullbay.domain.method import MediaKind, Method, Technique, reaches
from nullbay.domain.patterns import Keyed, OverwriteScheme, Repeat
from nullbay.domain.policy import (
    Budgets,
    CategoryRule,
    Confidence,
    FinalState,
    Full,
    HealthLine,
    NistR1,
    Policy,
)
from support.policy_texts import CLEAR, PURGE, policy, policy_texts, problems

EVERYTHING = """\
schema = "nullbay.policy/1"
id = "acme-clear/12"
title = "Löschung نمونه‌ای, ganz"
method = "clear"
techniques = ["host-overwrite", "ata-security-erase"]
final_state = "deallocated"
unattended = true
two_person_approval = false
fallback = "nist-purge/1"

[[categories]]
category = "high"
destination = "not-reused"
method = "destroy"

[[categories]]
category = "low"
destination = "leaving"
method = "purge"

[overwrite]
scheme = "acme-three/2"
passes = ["00", "DB6DB6", "keyed"]

[verification]
magnetic = { profile = "confidence", confidence = "0.990", residue = 0.001 }
other = { profile = "nist-r1-10pct" }

[acceptance]
unwritten_sectors = 0
hidden_areas = "covered"

[budgets]
write_retries = 0
retry_pause_s = 2
continue_past_unwritable = true
stall_s = 3
deadline_s = 4
absent_deadline_s = 5
pause_above_celsius = 60
continue_below_celsius = 50
rate_limit_bytes_per_s = 9007199254740991
errors_max = 6
slow_below_bytes_per_s = 7
slow_s = 61

[health]
reallocated_sectors_max = 1
pending_sectors_max = "any"
media_errors_max = 3
percentage_used_max = 4
"""


def with_(old: str, new: str, text: str = CLEAR) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def line_of(text: str, part: str) -> int:
    (number,) = (n for n, line in enumerate(text.splitlines(), 1) if part in line)
    return number


def only(text: str) -> Problem:
    (problem,) = problems(text)
    return problem


def test_every_key_of_a_file_arrives_in_the_policy() -> None:
    assert policy(EVERYTHING) == Policy(
        policy_id=PolicyId("acme-clear/12"),
        title="Löschung نمونه‌ای, ganz",
        method=Method.CLEAR,
        categories=(
            CategoryRule(DataCategory.HIGH, Destination.NOT_REUSED, Method.DESTROY),
            CategoryRule(DataCategory.LOW, Destination.LEAVING, Method.PURGE),
        ),
        techniques=(Technique.HOST_OVERWRITE, Technique.ATA_SECURITY_ERASE_NORMAL),
        scheme=OverwriteScheme("acme-three/2", (Repeat(b"\x00"), Repeat(b"\xdb\x6d\xb6"), Keyed())),
        verify_magnetic=Confidence(990_000, 1_000),
        verify_other=NistR1(),
        final_state=FinalState.DEALLOCATED,
        unattended=True,
        two_person_approval=False,
        fallback=PolicyId("nist-purge/1"),
        budgets=Budgets(0, 2, True, 3, 4, 5, 60, 50, 9007199254740991, 6, 7, 61),
        health=HealthLine(1, None, 3, 4),
    )


def test_what_a_file_leaves_out_has_the_defaults_of_the_domain() -> None:
    given_ = policy(CLEAR)
    assert given_.budgets == Budgets()
    assert given_.health == HealthLine()
    assert (given_.unattended, given_.two_person_approval, given_.fallback) == (False, False, None)
    assert given_.final_state is FinalState.KEYED
    assert policy(PURGE).scheme.passes == (Keyed(),)


def test_every_field_of_a_policy_has_its_key() -> None:
    keys = set(policy_keys())
    assert {f"budgets.{field.name}" for field in dataclasses.fields(Budgets)} <= keys
    assert {f"health.{field.name}" for field in dataclasses.fields(HealthLine)} <= keys
    assert {f"categories.{field.name}" for field in dataclasses.fields(CategoryRule)} <= keys
    renamed = {
        "policy_id": "id",
        "scheme": "overwrite.passes",
        "verify_magnetic": "verification.magnetic",
        "verify_other": "verification.other",
    }
    named = {renamed.get(field.name, field.name) for field in dataclasses.fields(Policy)}
    assert named - {"categories", "budgets", "health"} <= keys


def test_the_way_a_file_is_written_does_not_reach_the_hash() -> None:
    other = """\
schema = "nullbay.policy/1"
verification.other = {profile = "full"}
verification.magnetic = "nist-r1-10pct"
overwrite = {passes = [
  "keyed", # only this
], scheme = "acme-clear/1"}
techniques = ["host-overwrite"]
"title" = 'Acme Clear'
budgets.stall_s = 120
acceptance.unwritten_sectors = 0
id = "acme-clear/1"
method = "clear"
"""
    assert policy(other).sha256 == policy(CLEAR).sha256
    assert policy(with_("Acme Clear", "Acme clear")).sha256 != policy(CLEAR).sha256


# --- problems of form ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "at", "key", "message", "right"),
    [
        ('title = "Acme Clear"\n', "", 'schema = "', "title", "is missing", "a text of 1 to"),
        ("Acme Clear", "", "title", "title", "empty or too short", "a text of 1 to"),
        ("Acme Clear", "x" * 121, "title", "title", "too long", "120 characters"),
        ("Acme Clear", "a\\u202eb", "title", "title", "direction mark", "one line"),
        ("Acme Clear", "a\\nb", "title", "title", "line break", "one line"),
        ("Acme Clear", " a", "title", "title", "begins or ends with a blank", "one line"),
        ('"Acme Clear"', "3", "title", "title", "is a whole number", "a text"),
        ('"Acme Clear"', "1979-05-27", "title", "title", "is a date or time", "a text"),
        ('id = "acme-clear/1"', 'id = "acme-clear"', "id =", "id", "not a name with", "acme-"),
        ('id = "acme-clear/1"', 'id = "Acme/0"', "id =", "id", "not a name with", "acme-"),
        ('"clear"', '"cleer"', "method", "method", '"cleer", which is not known', '"clear"'),
        ('"clear"', "true", "method", "method", "is true or false", '"clear" or "purge"'),
        ("method =", "methd =", "methd", "methd", "is not a known key", "method"),
        ("host-ov", "host-0v", "techn", "techniques", "not known here", '"host-overwrite"'),
        ('["host-overwrite"]', '"x"', "techn", "techniques", "is a text", "a list of"),
        ('["host-overwrite"]', "[]", "techn", "techniques", "too short", "a list of"),
        ('"keyed"', '"kyed"', "passes", "overwrite.passes", "neither keyed nor", '"924924"'),
        ('"keyed"', '"0"', "passes", "overwrite.passes", "neither keyed nor", '"924924"'),
        ('"keyed"', '""', "passes", "overwrite.passes", "neither keyed nor", '"924924"'),
        ('"keyed"', '"' + "00" * 513 + '"', "passes", "overwrite.passes", "neither", "512"),
        ('["keyed"]', "[]", "passes", "overwrite.passes", "too short", "1 to 64"),
        ('["keyed"]', str(["00"] * 65), "passes", "overwrite.passes", "too long", "1 to 64"),
        ("passes =", "pases =", "pases", "overwrite.pases", "not a known key", "overwrite.passes"),
        ('other = "full"', "", "[verif", "verification.other", "is missing", '"full"'),
        ('"full"', '"ful"', "other", "verification.other", '"ful", which is', '"full"'),
        ('"full"', '"confidence"', "other", "verification.other", "fractions", "residue ="),
        ('"full"', "7", "other", "verification.other", "is not a verification", '"full"'),
        ('"full"', '"full"\nmedia = 1', "media", "verification.media", "not a known", "one of"),
        ('"full"', '"full"\n[[budgets]]', "[[budg", "budgets", "is a list", "a table with"),
    ],
)
def test_a_wrong_key_is_told_with_line_and_what_would_be_right(
    old: str, new: str, at: str, key: str, message: str, right: str
) -> None:
    text = with_(old, new)
    told = [one for one in problems(text) if one.key == key]
    assert told, problems(text)
    problem = told[0]
    assert problem.file == "a.toml"
    assert problem.line == line_of(text, at)
    assert message in problem.message
    assert right in problem.right


@pytest.mark.parametrize(
    ("more", "key", "message", "right"),
    [
        ("[budgets]\nwrite_retries = 101", "write_retries", "out of range", "0 to 100"),
        ("[budgets]\nwrite_retries = true", "write_retries", "is true or false", "0 to 100"),
        ("[budgets]\nretry_pause_s = -1", "retry_pause_s", "out of range", "0 to 3600"),
        ("[budgets]\nstall_s = 0", "stall_s", "out of range", "1 to"),
        ("[budgets]\nstall_s = 1.0", "stall_s", "a number with a fraction", "1 to"),
        ('[budgets]\ndeadline_s = "9"', "deadline_s", "is a text", "1 to"),
        ("[budgets]\nrate_limit_bytes_per_s = -1", "rate_limit_bytes_per_s", "out of", "0 for"),
        ("[budgets]\nerrors_max = -1", "errors_max", "out of range", "0 for no limit"),
        ("[budgets]\nslow_below_bytes_per_s = -1", "slow_below_bytes_per_s", "out of", "0 for"),
        ("[budgets]\nslow_s = 59", "slow_s", "out of range", "60 to"),
        ("[budgets]\nslow_s = 0", "slow_s", "out of range", "60 to"),
        (
            "[budgets]\nslow_s = 600\nwrite_retries = 10\nretry_pause_s = 60",
            "slow_s",
            "not more than the 600 s",
            "slow_below_bytes_per_s = 0",
        ),
        ("[budgets]\nstal_s = 1", "stal_s", "not a known key", "budgets.stall_s"),
        ("[health]\npending_sectors_max = 'all'", "pending_sectors_max", "is a text", '"any"'),
        ("[health]\npercentage_used_max = -1", "percentage_used_max", "out of range", '"any"'),
        ("[health]\nstall_s = 1", "stall_s", "not a known key", "budgets.stall_s"),
        ("[budgets]\ncontinue_below_celsius = 65", "continue_below_celsius", "not below", "65"),
        ("[budgets]\npause_above_celsius = 40\n#", "continue_below_celsius", "not below", "40"),
        ("[[categories]]\ncategory = 'top'\n", "category", '"top", which is not', '"low"'),
        ("[[categories]]\ncategory = 'hihg'\n", "category", '"hihg", which is not', '"high"'),
    ],
)
def test_a_wrong_key_of_a_table_is_told_with_its_line(
    more: str, key: str, message: str, right: str
) -> None:
    text = CLEAR + "\n" + more + "\n"
    found = [problem for problem in problems(text) if problem.key.endswith("." + key)]
    assert len(found) == 1
    expected = f"{key} =" if f"{key} =" in more else more.splitlines()[0]
    assert found[0].line == line_of(text, expected)
    assert message in found[0].message
    assert right in found[0].right


@pytest.mark.parametrize(
    ("given_", "ppm"),
    [
        ('"0.99"', 990_000),
        ("0.99", 990_000),
        ("0.990000000", 990_000),
        ('".5"', 500_000),
        ("0.999999", 999_999),
        ("9.99999e-1", 999_999),
        ('"0.57"', 570_000),
        ("0.58", 580_000),
    ],
)
def test_fractions_are_taken_exactly(given_: str, ppm: int) -> None:
    profile = f'{{profile = "confidence", confidence = {given_}, residue = "0.01"}}'
    assert policy(with_('"full"', profile)).verify_other == Confidence(ppm, 10_000)


@given(st.integers(500_000, 999_999))
def test_every_millionth_is_taken_exactly_as_text_and_as_number(ppm: int) -> None:
    for written in (f"0.{ppm:06}", f'"0.{ppm:06}"'):
        profile = f'{{profile = "confidence", confidence = {written}, residue = "0.01"}}'
        assert policy(with_('"full"', profile)).verify_other == Confidence(ppm, 10_000)


@pytest.mark.parametrize(
    ("fractions", "key", "message"),
    [
        ('confidence = "0.9999999", residue = "0.1"', "confidence", "six decimals"),
        ('confidence = "99%", residue = "0.1"', "confidence", "not a fraction"),
        ("confidence = 1, residue = 0.1", "confidence", "not a fraction"),
        ("confidence = 1.0, residue = 0.1", "confidence", "not a fraction"),
        ('confidence = "1.0", residue = "0.1"', "confidence", "not a fraction"),
        ("confidence = nan, residue = 0.1", "confidence", "not a fraction"),
        ("confidence = 0.49, residue = 0.1", "confidence", "out of range"),
        ("confidence = 0.9, residue = 0.0", "residue", "not a fraction"),
        ("confidence = 0.9, residue = -0.1", "residue", "not a fraction"),
        ("confidence = 0.9, residue = 1e-999999999", "residue", "six decimals"),
        ("confidence = 0.99, residue = 0.000001", "residue", "too small"),
        ("confidence = 0.9", "residue", "is missing"),
        ("residue = 0.1", "confidence", "is missing"),
    ],
)
def test_fractions_that_mean_nothing_are_refused(fractions: str, key: str, message: str) -> None:
    text = with_('other = "full"', f'[verification.other]\nprofile = "confidence"\n{fractions}')
    text = text.replace(", residue", "\nresidue")
    problem = only(text)
    assert problem.key == f"verification.other.{key}"
    assert message in problem.message
    is_missing = message == "is missing"
    assert problem.line == line_of(text, "verification.other" if is_missing else f"{key} =")


TWICE = 'techniques = [\n"ata-security-erase",\n"host-overwrite",\n"ata-security-erase"]'
BARE = CLEAR.partition("[overwrite]")[0] + CLEAR[CLEAR.index("[verification]") :]


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        (with_('techniques = ["host-overwrite"]', TWICE), 8, "techniques", "twice"),
        (
            with_('"nist-r1-10pct"', '{profile = "full", residue = 0.1}'),
            12,
            "verification.magnetic.residue",
            "no meaning",
        ),
        (BARE, 1, "overwrite", "missing"),
        (PURGE + '[overwrite]\nscheme = "x/1"\npasses = ["00"]', 10, "overwrite", "no allowed"),
        (
            with_("method =", "unattended = true\ntwo_person_approval = true\nmethod ="),
            4,
            "unattended",
            "two people",
        ),
        (with_("method =", 'fallback = "acme-clear/1"\nmethod ='), 4, "fallback", "itself"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    text: str, line: int, key: str, message: str
) -> None:
    problem = only(text)
    assert (problem.line, problem.key) == (line, key)
    assert message in problem.message


def test_two_rules_for_the_same_drives_are_a_contradiction() -> None:
    rule = '[[categories]]\ncategory = "low"\ndestination = "leaving"\nmethod = "%s"\n'
    text = CLEAR + rule % "clear" + rule % "purge"
    problem = only(text)
    assert (problem.line, problem.key) == (18, "categories")
    assert "two rules for low data" in problem.message


def test_all_problems_are_told_at_once() -> None:
    text = with_('"clear"', "1").replace("title", "titel").replace('"keyed"', '"x"')
    keys = [problem.key for problem in problems(text)]
    assert keys == ["title", "titel", "method", "overwrite.passes"]


# --- floors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", floors.ACCEPTANCE)
@pytest.mark.parametrize("value", ["1", "-1", "true", "false", "0.0", '"0"', '"none"', "[]"])
def test_acceptance_of_less_is_refused_by_name_with_the_floor(key: str, value: str) -> None:
    text = f"{CLEAR}\n[acceptance]\n# why not\n{key} = {value}\n"
    problem = only(text)
    rule = floors.ACCEPTANCE[key]
    assert (problem.line, problem.key) == (line_of(text, key), f"acceptance.{key}")
    assert rule.floor.name in problem.message
    assert rule.floor.text in problem.message
    assert problem.right == rule.shown


def test_acceptance_may_repeat_the_floors() -> None:
    lines = [f"{key} = {rule.shown}" for key, rule in floors.ACCEPTANCE.items()]
    assert policy(CLEAR + "[acceptance]\n" + "\n".join(lines)) == policy(CLEAR)
    assert AcceptanceTable().model_dump() == {k: r.only for k, r in floors.ACCEPTANCE.items()}
    assert set(AcceptanceTable.model_fields) == set(floors.ACCEPTANCE)
    assert {rule.floor for rule in floors.ACCEPTANCE.values()} <= set(floors.FLOORS)


@pytest.mark.parametrize(
    ("more", "key", "floor"),
    [
        ("skip_verification = true", "skip_verification", floors.VERIFIED),
        ("verify = false", "verify", floors.VERIFIED),
        ("allow_bad_sectors = true", "allow_bad_sectors", floors.SECTORS_WRITTEN),
        ("[budgets]\nmax_bad_sectors = 5", "budgets.max_bad_sectors", floors.SECTORS_WRITTEN),
        ("[health]\nignore-hpa = true", "health.ignore-hpa", floors.HIDDEN_AREAS_COVERED),
        ("[acceptance]\nbad_blocks = 3", "acceptance.bad_blocks", floors.SECTORS_WRITTEN),
        ("[acceptance]\ncanaries = 3", "acceptance.canaries", floors.NOTHING_OLD),
        ("allow_purge_by_overwrite = true", "allow_purge_by_overwrite", floors.PURGE_PROVED),
        ("[overrides]\nallow_verify_none = 1", "overrides", None),
    ],
)
def test_wishes_to_go_lower_are_told_the_floor_whatever_they_are_called(
    more: str, key: str, floor: floors.Floor | None
) -> None:
    table, _, assignment = more.rpartition("\n")
    text = CLEAR + "\n" + more if table else assignment + "\n" + CLEAR
    problem = only(text)
    assert problem.key == key
    if floor is None:
        assert problem.message == "is not a known key"
    else:
        assert floor.text in problem.message


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("[health]\nrealocated_sectors_max = 1", "health.reallocated_sectors_max"),
        ("[acceptance]\nunwriten_sectors = 0", "acceptance.unwritten_sectors"),
        ("[acceptance]\nspeed = 0", "one of unwritten_sectors, "),
        ("[verificaton]\n", "verification"),
    ],
)
def test_a_slip_of_the_pen_is_no_wish(wrong: str, right: str) -> None:
    problem = only(f"{CLEAR}\n{wrong}\n")
    assert problem.message == "is not a known key"
    assert problem.right.startswith(right)


NONE = ['"none"', '" None"', "false", '"off"', '""', '{profile = "none"}', "{profile = false}"]


@pytest.mark.parametrize("none", NONE)
@pytest.mark.parametrize("which", ["magnetic", "other"])
def test_no_verification_is_refused_with_the_floor(which: str, none: str) -> None:
    text = with_('magnetic = "nist-r1-10pct"', 'magnetic = "full"')
    text = with_(f'{which} = "full"', f"{which} = {none}", text)
    problem = only(text)
    assert problem.key.startswith(f"verification.{which}")
    assert problem.line == line_of(text, f"{which} =")
    assert floors.VERIFIED.text in problem.message


@pytest.mark.parametrize("none", ["verification = 'none'", "verification = false"])
def test_verification_as_a_whole_cannot_be_none(none: str) -> None:
    head, _, _ = CLEAR.partition("[verification]")
    problem = only(none + "\n" + head)
    assert (problem.line, problem.key) == (1, "verification")
    assert floors.VERIFIED.text in problem.message


def test_a_policy_without_verification_is_incomplete() -> None:
    problem = only(CLEAR.partition("[verification]")[0])
    assert (problem.key, problem.message) == ("verification", "is missing")


def test_host_overwrite_is_never_purge() -> None:
    text = with_('["nvme-', '[\n  "tcg-revert",\n  "host-overwrite",\n  "nvme-', PURGE)
    text += '[overwrite]\nscheme = "x/1"\npasses = ["keyed"]\n'
    problem = only(text)
    assert (problem.line, problem.key) == (line_of(text, "host-over"), "techniques")
    assert floors.PURGE_PROVED.text in problem.message


@pytest.mark.parametrize("technique", ["nvme-format-ses1", "scsi-format-unit", "tcg-revert"])
def test_a_purge_that_nothing_reaches_could_only_lie(technique: str) -> None:
    problem = only(with_("nvme-sanitize-block-erase", technique, PURGE))
    assert problem.key == "techniques"
    assert floors.PURGE_PROVED.text in problem.message
    assert not problems(with_('erase"]', f'erase", "{technique}"]', PURGE))


def test_destroy_is_for_rules_not_for_policies() -> None:
    problem = only(with_('"purge"', '"destroy"', PURGE))
    assert (problem.line, problem.key) == (4, "method")
    assert "[[categories]]" in problem.right


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("Acme Clear", "DoD Purge, 3 passes", "title"),
        ("Acme Clear", "GEPURGED", "title"),
        ("Acme Clear", "P U R G E", "title"),
        ("Acme Clear", "Ｐｕｒｇｅ", "title"),
        ('id = "acme-clear/1"', 'id = "gutmann-purge/1"', "id"),
        ('scheme = "acme-clear/1"', 'scheme = "purge-7/1"', "overwrite.scheme"),
    ],
)
def test_a_pattern_is_no_level(old: str, new: str, key: str) -> None:
    text = with_(old, new)
    problem = only(text)
    assert (problem.line, problem.key) == (line_of(text, new), key)
    assert floors.PURGE_PROVED.text in problem.message


def test_a_rule_may_not_ask_less_than_its_policy() -> None:
    text = PURGE + '[[categories]]\ncategory="low"\ndestination="retained"\nmethod="clear"\n'
    problem = only(text)
    assert (problem.line, problem.key) == (13, "categories.method")
    assert floors.METHOD_KEPT.text in problem.message
    assert problem.right == '"purge" or more'


LOTS = [None, Lot(LotRef("x"))] + [
    Lot(LotRef("x"), data_category=category, destination=destination)
    for category in DataCategory
    for destination in (None, *Destination)
]


@given(policy_texts())
def test_no_policy_that_loads_has_a_way_below_a_floor(text: str) -> None:
    if found := problems(text):
        count = text.count("\n") + 1
        assert all(0 < one.line <= count and one.message for one in found)
        return
    loaded = policy(text)
    assert POLICY_ID_FORM.fullmatch(loaded.policy_id)
    for media in MediaKind:
        assert isinstance(loaded.profile_for(media), Full | NistR1 | Confidence)
    assert all(loaded.required_method(lot).satisfies(loaded.method) for lot in LOTS)
    assert len(loaded.sha256) == 64
    reached = {reaches(technique, media) for technique in loaded.techniques for media in MediaKind}
    assert any(method.satisfies(loaded.method) for method in reached)
    if loaded.method is Method.PURGE:
        assert Technique.HOST_OVERWRITE not in loaded.techniques
    else:
        assert "purge" not in (loaded.title + loaded.policy_id + loaded.scheme.scheme_id).casefold()
    assert loaded == policy(text)
