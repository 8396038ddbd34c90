"""The codec: everything comes back as it was, and nothing else comes in."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import importlib
import json
import pkgutil
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.domain.strategies import History, Shape, job

from nullbay import domain
from nullbay.domain.canonical import SAFE_INTEGER_MAX, canonical_json, canonical_sha256
from nullbay.domain.codec import U64, U64_MAX, from_plain, to_plain
from nullbay.domain.errors import MalformedError, UnknownSchemaError
from nullbay.domain.method import Method
from nullbay.domain.outcome import JobEvidence, SectorList, StepOutcome, VerificationResult
from nullbay.domain.patterns import OverwriteScheme, Pattern, Repeat
from nullbay.domain.plan import SanitizationPlan, Step
from nullbay.domain.policy import Budgets, Confidence, Policy
from nullbay.domain.ranges import ByteRange
from nullbay.domain.record import RecordContext, Transcript

# --- any value of any class --------------------------------------------------------------------


def dataclasses_of_the_domain() -> list[type]:
    """Every dataclass the domain defines: what is added later is tested too."""
    modules = pkgutil.iter_modules(domain.__path__)
    loaded = [importlib.import_module(f"nullbay.domain.{module.name}") for module in modules]
    found = {
        name: value
        for module in loaded
        for name, value in vars(module).items()
        if isinstance(value, type) and dataclasses.is_dataclass(value)
    }
    return sorted(found.values(), key=lambda cls: cls.__name__)


CLASSES = dataclasses_of_the_domain()
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SAFE = st.integers(-SAFE_INTEGER_MAX, SAFE_INTEGER_MAX)

SPECIAL: dict[type, st.SearchStrategy[Any]] = {
    ByteRange: st.builds(
        lambda start, length: ByteRange(start, min(start + length, U64_MAX)),
        st.integers(0, U64_MAX - 1),
        st.integers(1, 2**40),
    ),
    Repeat: st.builds(Repeat, st.binary(min_size=1, max_size=20)),
    Confidence: st.builds(Confidence, st.integers(500_000, 999_000), st.integers(100, 999_999)),
    Budgets: st.builds(
        Budgets,
        write_retries=st.integers(0, 100),
        continue_past_unwritable=st.booleans(),
        stall_s=st.integers(1, 2**40),
        pause_above_celsius=st.integers(60, 90),
        rate_limit_bytes_per_s=st.integers(0, U64_MAX),
        errors_max=st.integers(0, 2**40),
        slow_below_bytes_per_s=st.integers(0, U64_MAX),
        slow_s=st.integers(101, 2**40),
    ),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of that type, by its hint."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return st.integers(0, U64_MAX)
    if origin in (Union, types.UnionType):
        return st.one_of([values(arg) for arg in args])
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return st.lists(values(args[0]), max_size=2).map(tuple)
        return st.tuples(*map(values, args))
    if hasattr(hint, "__supertype__"):
        return values(hint.__supertype__)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    if hint in SPECIAL:
        return SPECIAL[hint]
    if hint is OverwriteScheme:
        passes = st.lists(values(Pattern), min_size=1, max_size=4).map(tuple)
        return st.builds(OverwriteScheme, TEXT, passes)
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint, include_extras=True)
        fields = {field.name: values(hints[field.name]) for field in dataclasses.fields(hint)}
        if "schema" in fields:
            fields["schema"] = st.just(hint.__dataclass_fields__["schema"].default)
        return st.builds(cast("Callable[..., Any]", hint), **fields)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: SAFE,
        str: TEXT,
        bool: st.booleans(),
        bytes: st.binary(max_size=40),
        types.NoneType: st.none(),
    }
    return simple[hint]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_value_survives_json(cls: type, data: st.DataObject) -> None:
    value = data.draw(values(cls))
    wire = canonical_json(to_plain(value))
    assert from_plain(cls, json.loads(wire)) == value


@pytest.mark.parametrize("union", [Step, Pattern, JobEvidence | None, U64 | None, Method | None])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_members_of_unions_survive_json(union: Any, data: st.DataObject) -> None:
    value = data.draw(values(union))
    assert from_plain(union, json.loads(canonical_json(to_plain(value, union)))) == value


def test_a_mapping_survives_json() -> None:
    value = {"a": 2**60, "b": 0}
    hint = Mapping[str, U64]
    assert to_plain(value, hint) == {"a": str(2**60), "b": "0"}
    assert from_plain(hint, {"a": str(2**60), "b": "0"}) == value


def test_what_is_written() -> None:
    """A change here changes hashes that have been signed."""
    outcome = job().outcomes[0]
    plain = to_plain(dataclasses.replace(outcome, unwritable=SectorList(2**63, (1, 2))))
    assert plain["unwritable"] == {"count": "9223372036854775808", "first": ["1", "2"]}
    assert plain["flushed"] == [{"start": "0", "end": "1048576"}]
    assert plain["verification"]["profile"] == {"kind": "full"}
    assert plain["verification"]["seed"] == ""
    assert plain["kind"] == "succeeded"
    assert to_plain(Repeat(b"\x92\x49")) == {"kind": "repeat", "unit": "9249"}


@pytest.mark.parametrize("value", [-1, 2**64])
def test_what_could_not_be_read_back_is_not_written(value: int) -> None:
    with pytest.raises(ValueError, match="2\\*\\*64"):
        to_plain(SectorList(value))


@pytest.mark.parametrize("value", [1.5, {1, 2}, object(), SectorList])
def test_what_has_no_plain_form_is_a_mistake_of_ours(value: object) -> None:
    with pytest.raises(TypeError):
        to_plain(value)


# --- strictness --------------------------------------------------------------------------------

PLAIN = json.loads(canonical_json(to_plain(job(Shape(history=History.PULLED)))))


def places(plain: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a plain value."""
    yield path
    if isinstance(plain, dict | list):
        for key in plain if isinstance(plain, dict) else range(len(plain)):
            yield from places(plain[key], (*path, key))


def put(plain: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with that place changed."""
    if not path:
        return value
    copy = plain.copy()
    copy[path[0]] = put(plain[path[0]], path[1:], value)
    return copy


def at(plain: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        plain = plain[key]
    return plain


ALL_PLACES = list(places(PLAIN))
OBJECTS = [path for path in ALL_PLACES if isinstance(at(PLAIN, path), dict)]


def read(plain: Any) -> JobEvidence:
    return from_plain(JobEvidence, plain)


def test_every_missing_field_is_an_error() -> None:
    """Also one that has a default: what was left out would count as nothing found."""
    for path in OBJECTS:
        for name in at(PLAIN, path):
            less = {key: item for key, item in at(PLAIN, path).items() if key != name}
            with pytest.raises(MalformedError, match=name):
                read(put(PLAIN, path, less))


def test_every_unknown_field_is_an_error() -> None:
    for path in OBJECTS:
        more = {**at(PLAIN, path), "extra": 1}
        with pytest.raises(MalformedError, match="unknown field 'extra'"):
            read(put(PLAIN, path, more))


DEEP: Any = []
for _ in range(100_000):
    DEEP = [DEEP]
WRONG: list[Any] = [
    None, True, 0, -1, 1.5, 10**400, -(10**400), "", "x", "\ud800", "A" * 10_000, [], {}, [[]],
    {"kind": "nope"}, {"kind": []}, {1: 2}, {None: None}, DEEP, {"kind": DEEP}, b"", float("nan"),
]  # fmt: skip


def test_something_wrong_anywhere_is_malformed_and_nothing_worse() -> None:
    """Reading either gives a value that is written as it was read, or says what is wrong."""
    for path in ALL_PLACES:
        for wrong in WRONG:
            plain = put(PLAIN, path, wrong)
            try:
                value = read(plain)
            except MalformedError as error:
                assert len(str(error)) <= 300  # noqa: PT017 - whatever was sent is not repeated
                assert str(error).isprintable()  # noqa: PT017
            else:
                assert to_plain(value) == plain
                canonical_json(plain)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("cls", [JobEvidence, SanitizationPlan, Policy, Transcript, RecordContext])
@settings(max_examples=40, deadline=None)
@given(plain=JSON)
def test_any_json_is_malformed_or_a_value(cls: type, plain: Any) -> None:
    with pytest.raises(MalformedError):
        from_plain(cls, plain)


NO_LISTS: list[Any] = [{}, "12", None, 1, [None], [True]]
NO_PATTERNS: list[Any] = [
    {},
    {"kind": "keyed", "unit": "00"},
    {"kind": "repeat"},
    {"kind": "repeat", "unit": ""},
    {"kind": None},
    [],
]


@pytest.mark.parametrize(
    ("hint", "wrong"),
    [
        *((U64, text) for text in ("", "00", "01", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1")),
        *(
            (U64, text)
            for text in ("٣", "１", "²", "1_000", "18446744073709551616", "9" * 21, 1, True)
        ),
        *((int, value) for value in (True, False, "1", 1.0, None, SAFE_INTEGER_MAX + 1, -(2**53))),
        *(
            (bytes, text)
            for text in ("A0", "a", "a0 a0", " a0", "a0\n", "zz", "ａ0", "0xa0", b"a0")
        ),
        *((bool, value) for value in (0, 1, "true", None)),
        *((str, value) for value in (None, 1, b"x", "\udc80", ["x"])),
        *((Method, value) for value in ("CLEAR", "Clear", "", 1, None, ["clear"], "clear ")),
        *((tuple[int, ...], value) for value in NO_LISTS),
        *((tuple[int, str], value) for value in ([], [1], [1, "a", "b"], ["a", 1])),
        *((Pattern, value) for value in NO_PATTERNS),
        (Confidence, {"kind": "confidence", "confidence_ppm": 10**6, "residue_ppm": 5}),
        (Confidence, {"confidence_ppm": 990_000, "residue_ppm": 5000}),
        (ByteRange, {"start": "5", "end": "5"}),
        (types.NoneType, 0),
        (Mapping[str, int], {"a": "b"}),
        (Mapping[str, int], {"\ud800": 1}),
        (Mapping[str, int], [1]),
    ],
)
def test_strict(hint: Any, wrong: object) -> None:
    with pytest.raises(MalformedError):
        from_plain(hint, wrong)


@pytest.mark.parametrize("good", ["0", "1", "10", "18446744073709551615"])
def test_decimal_strings(good: str) -> None:
    assert from_plain(U64, good) == int(good)


def test_the_path_of_what_is_wrong_is_named() -> None:
    plain = put(PLAIN, ("sessions", 1, "attachment", "nodes", 0, "diskseq"), 5)
    with pytest.raises(MalformedError, match=r"\$\.sessions\[1\]\.attachment\.nodes\[0\]\.diskseq"):
        from_plain(JobEvidence, plain)


def test_hostile_names_do_not_reach_a_terminal() -> None:
    for hint, plain in ((Mapping[str, int], {"\x1b[2J": None}), (SectorList, {"\x1b[2J\u202e": 1})):
        with pytest.raises(MalformedError) as caught:
            from_plain(hint, plain)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("path", [path for path in ALL_PLACES if path[-1:] == ("schema",)], ids=str)
def test_a_newer_schema_is_refused_as_such(path: tuple[Any, ...]) -> None:
    plain = put(PLAIN, path, at(PLAIN, path).replace("/1", "/2"))
    holder = {**at(plain, path[:-1]), "a_field_of_tomorrow": 1}
    with pytest.raises(UnknownSchemaError, match="/2") as caught:
        from_plain(JobEvidence, put(plain, path[:-1], holder))
    assert caught.value.next_step


def test_everything_stored_has_a_schema() -> None:
    for cls in (JobEvidence, SanitizationPlan, Policy, Transcript):
        default = str(cls.__dataclass_fields__["schema"].default)
        assert default.startswith("nullbay.")
        assert default.endswith("/1")


@pytest.mark.parametrize("hint", [set, int | str, StepOutcome | VerificationResult, "text"])
def test_types_without_a_reader_are_a_mistake_of_ours(hint: Any) -> None:
    with pytest.raises(TypeError):
        from_plain(hint, 1)


# --- canonical JSON ----------------------------------------------------------------------------

CANONICAL = st.recursive(
    st.none() | st.booleans() | SAFE | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(CANONICAL)
def test_canonical_json_is_rfc_8785(plain: Any) -> None:
    """An independent library says the same."""
    assert canonical_json(plain) == rfc8785.dumps(plain)


def test_the_digest_is_that_of_the_bytes() -> None:
    plain = {"b": [1, None, True], "a": "ü\x00/\u2028"}
    wire = b'{"a":"\xc3\xbc\\u0000/\xe2\x80\xa8","b":[1,null,true]}'
    assert canonical_json(plain) == wire
    assert canonical_sha256(plain) == hashlib.sha256(wire).hexdigest()


@pytest.mark.parametrize(
    "plain",
    [
        1.0, float("nan"), SAFE_INTEGER_MAX + 1, -SAFE_INTEGER_MAX - 1, {"ü": 1}, {1: 1},
        {None: 1}, {"a": {"b": [1.5]}}, b"x", {1, 2}, "\ud800", ["\udc80"], object(),
    ],
)  # fmt: skip
def test_what_others_would_write_differently_is_refused(plain: object) -> None:
    with pytest.raises(ValueError, match=r"canonical JSON|surrogates not allowed"):
        canonical_json(plain)
