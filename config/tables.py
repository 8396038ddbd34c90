"""Strict tables of a configuration file, what each key may be, and what is wrong with one.

A key says in a `Right` what would be right there; problems and documentation are made from it.
"""

from __future__ import annotations

import difflib
import enum
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, TypeAlias, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from nullbay.config.problems import Flaw, KeyPath, dotted, quoted
from nullbay.config.source import Source

TEXT_MAX = 120
_FLAW = "nullbay"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # Persian and Indic names need them


@dataclass(frozen=True, slots=True)
class Right:
    """What would be right for a key, in plain words; stands in problems and in the documentation.

    `default` is how the documentation writes a default of None: TOML has no word for it.
    """

    text: str
    default: str = ""


class Table(BaseModel):
    """One table: exact types, no unknown keys, never changed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


M = TypeVar("M", bound=Table)
Meant: TypeAlias = Callable[[KeyPath, str], Flaw | None]


def fault(message: str, right: str) -> PydanticCustomError:
    """What a validator raises to say by itself what is wrong and what would be right."""
    context = {"message": message, "right": right}
    return PydanticCustomError(_FLAW, "{message}", context)


def _readable(text: str) -> str:
    for character in text:
        if unicodedata.category(character) in _UNSEEN and character not in _JOINERS:
            msg = "holds a control character, a line break or a direction mark"
            raise ValueError(msg)
    if text != text.strip():
        msg = "begins or ends with a blank"
        raise ValueError(msg)
    return text


Text: TypeAlias = Annotated[
    str,
    StringConstraints(max_length=TEXT_MAX),
    AfterValidator(_readable),
    Right(f"a text of at most {TEXT_MAX} characters on one line"),
]
GivenText: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=1, max_length=TEXT_MAX),
    AfterValidator(_readable),
    Right(f"a text of 1 to {TEXT_MAX} characters on one line"),
]


def one_of(choices: type[enum.StrEnum]) -> Right:
    """The words of a closed list."""
    return Right("one of " + ", ".join(f'"{choice.value}"' for choice in choices))


def validated(
    source: Source,
    model: type[M],
    *,
    meant: Meant = lambda _path, _near: None,
) -> M:
    """The file's values as that model. Raises ConfigError with every problem found.

    `meant` may know better what an unknown key is about than the known key nearest to it.
    """
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        source.refuse(_flaws(error, model, meant))
        raise AssertionError from error  # a validation error has at least one flaw


@dataclass(frozen=True, slots=True)
class DocumentedKey:
    """One key as the documentation shows it."""

    name: str
    right: str
    default: str
    meaning: str


def keys_of(model: type[Table], above: KeyPath = ()) -> Iterator[DocumentedKey]:
    """Every key that can hold a value, dotted, in the order of the models."""
    for name, field in model.model_fields.items():
        path = (*above, field.alias or name)
        inner = _inner_table(field)
        right = _right_of(field)
        if inner is None or right is not None:
            said = right or Right("")
            default = _default_of(field) or said.default
            yield DocumentedKey(dotted(path), said.text, default, field.description or "")
        if inner is not None:
            yield from keys_of(inner, path)


def _flaws(error: ValidationError, model: type[Table], meant: Meant) -> Iterator[Flaw]:
    for detail in error.errors(include_url=False):
        path, kind = tuple(detail["loc"]), detail["type"]
        context = detail.get("ctx", {})
        if kind == _FLAW:
            yield Flaw(path, str(context["message"]), str(context["right"]))
        elif kind == "extra_forbidden":
            near = _nearest(path, model)
            wish = meant(path, near)
            yield wish or Flaw(path, "is not a known key", near or _known(path, model))
        elif kind == "too_short" and detail["input"]:
            pass  # counts what is left after the problems told at its places
        else:
            field = _field_at(path, model)
            right = _right_of(field) if field else None
            message = _message(kind, detail["input"], context)
            said = right.text if right else _table_right(path, model)
            yield Flaw(path, message, _nearest_word(kind, detail["input"], said))


def _message(kind: str, given: Any, context: dict[str, Any]) -> str:
    match kind:
        case "missing":
            return "is missing"
        case "enum" | "literal_error" if isinstance(given, str):
            return f"is {quoted(given)}, which is not known here"
        case "value_error":
            return str(context.get("error", "is not a value that is allowed here"))
        case "too_long" | "string_too_long":
            return "is too long"
        case "too_short" | "string_too_short":
            return "is empty or too short"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            return "is out of range"
        case "string_pattern_mismatch":
            return "does not have the right form"
        case _:
            return f"is {_kind_of(given)}, not what belongs here"


def _nearest_word(kind: str, given: Any, right: str) -> str:
    """Of the words that would be right, the one that a misspelt one means."""
    if kind not in {"enum", "literal_error"} or not isinstance(given, str):
        return right
    near = difflib.get_close_matches(given[:80], re.findall('"([^"]+)"', right), n=1, cutoff=0.7)
    return f'"{near[0]}"' if near else right


def _kind_of(given: Any) -> str:
    match given:
        case bool():
            return "true or false"
        case str():
            return "a text"
        case int():
            return "a whole number"
        case Decimal():
            return "a number with a fraction"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def _names(model: type[Table]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _known(path: KeyPath, model: type[Table]) -> str:
    return "one of " + ", ".join(_names(_table_at(path[:-1], model) or model))


def _nearest(path: KeyPath, model: type[Table]) -> str:
    """The known key that an unknown one most likely means; empty where none is near."""
    known = _names(_table_at(path[:-1], model) or model)
    name = str(path[-1])
    everywhere: dict[str, list[str]] = {}
    for key in keys_of(model):
        everywhere.setdefault(key.name.rpartition(".")[2], []).append(key.name)
    if name in everywhere:
        return ", ".join(everywhere[name][:3])
    if near := difflib.get_close_matches(name[:80], known, n=1, cutoff=0.7):
        return dotted((*path[:-1], near[0]))
    if near := difflib.get_close_matches(name[:80], everywhere, n=1, cutoff=0.8):
        return ", ".join(everywhere[near[0]][:3])
    return ""


def _table_right(path: KeyPath, model: type[Table]) -> str:
    table = _table_at(path, model)
    if table is None:
        return "see the documentation"
    return f"a table with: {', '.join(_names(table))}"


def _field_at(path: KeyPath, model: type[Table]) -> FieldInfo | None:
    """The field a path leads to; places in lists stand for the list's own field."""
    table: type[Table] | None = model
    found: FieldInfo | None = None
    for part in path:
        if isinstance(part, int):
            continue
        fields = {} if table is None else table.model_fields
        found = next((f for name, f in fields.items() if (f.alias or name) == part), None)
        table = None if found is None else _inner_table(found)
    return found


def _table_at(path: KeyPath, model: type[Table]) -> type[Table] | None:
    if not any(isinstance(part, str) for part in path):
        return model
    field = _field_at(path, model)
    return None if field is None else _inner_table(field)


def _inner_table(field: FieldInfo) -> type[Table] | None:
    """The table a field holds, by itself, in a list, or where it may be left out."""
    waiting: list[Any] = [field.annotation]
    while waiting:
        hint = waiting.pop()
        if isinstance(hint, type) and get_origin(hint) is None and issubclass(hint, Table):
            return hint
        waiting.extend(get_args(hint))
    return None


def _right_of(field: FieldInfo) -> Right | None:
    return next((item for item in field.metadata if isinstance(item, Right)), None)


def _default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    match field.get_default(call_default_factory=True):
        case bool(value):
            return "true" if value else "false"
        case None:
            return ""
        case "":
            return "empty"
        case enum.Enum(value=value):
            return f'"{value}"'
        case str(value):
            return f'"{value}"'
        case []:
            return "none"
        case value:
            return str(value)
