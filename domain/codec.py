"""Frozen dataclasses to plain JSON values and back, strictly, by their type hints.

Used for everything nullbay stores or sends to itself (plans, messages, transcripts). What
outsiders send (configuration, statements) is read by pydantic in config/ and certs/.

Rules: unknown and missing fields are errors, also where the class has a default; `bytes` are
lower-case hex; an integer marked `U64` is a decimal string below 2**64, any other is within
±(2**53 - 1); strings have no surrogates; members of a union of dataclasses carry their `kind`; a
field `schema` holds the one value this build knows.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import types
from collections.abc import Mapping
from functools import cache
from typing import (
    Annotated,
    Any,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from nullbay.domain.canonical import SAFE_INTEGER_MAX
from nullbay.domain.errors import MalformedError, UnknownSchemaError
from nullbay.domain.text import show

T = TypeVar("T")

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Wire(enum.Enum):
    """How a value is spelled in JSON where the type alone does not say."""

    DECIMAL_STRING = "decimal string"


U64: TypeAlias = Annotated[int, Wire.DECIMAL_STRING]
"""A quantity that may pass 2**53 (bytes, LBAs, counters): a decimal string in JSON."""

U64_MAX = 2**64 - 1


def to_plain(value: Any, hint: Any = None) -> Any:
    """A plain JSON value for a domain value; `hint` is its declared type where known.

    Raises ValueError for what `from_plain` would refuse to read as a U64.
    """
    if value is None or isinstance(value, bool):
        return value
    declared = _optional_of(hint)
    if get_origin(declared) is Annotated and Wire.DECIMAL_STRING in get_args(declared)[1:]:
        if not 0 <= value <= U64_MAX:
            msg = f"not a quantity below 2**64: {value}"
            raise ValueError(msg)
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, str | int):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = _hints(type(value))
        plain = {
            f.name: to_plain(getattr(value, f.name), hints[f.name])
            for f in dataclasses.fields(value)
        }
        kind = getattr(type(value), "kind", None)
        return plain if not isinstance(kind, str) else {"kind": kind, **plain}
    if isinstance(value, tuple | list):
        return [
            to_plain(item, hint_)
            for item, hint_ in zip(value, _item_hints(hint, len(value)), strict=True)
        ]
    if isinstance(value, Mapping):
        args = get_args(_optional_of(hint)) if hint is not None else ()
        return {str(key): to_plain(item, args[1] if args else None) for key, item in value.items()}
    msg = f"no plain form for {type(value).__name__}"
    raise TypeError(msg)


def from_plain(hint: type[T] | Any, plain: Any, path: str = "$") -> T:
    """The domain value of type `hint` that `plain` describes.

    Raises MalformedError naming the path of the first thing that is wrong.
    """
    return cast("T", _read(hint, plain, path))


def _read(hint: Any, plain: Any, path: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return plain
    if origin is Annotated:
        if Wire.DECIMAL_STRING in args[1:]:
            return _decimal(plain, path)
        return _read(args[0], plain, path)
    if origin in (Union, types.UnionType):
        return _read_union(args, plain, path)
    if origin is tuple:
        return _read_tuple(args, plain, path)
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        _require_object(plain, path)
        return {
            _read(str, key, path): _read(args[1], item, f"{path}.{show(key)}")
            for key, item in plain.items()
        }
    if hasattr(hint, "__supertype__"):
        return _read(hint.__supertype__, plain, path)
    if isinstance(hint, type):
        return _read_class(hint, plain, path)
    msg = f"no reader for {hint!r}"
    raise TypeError(msg)


def _read_class(hint: type, plain: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _read_dataclass(hint, plain, path)
    if issubclass(hint, enum.Enum):
        # By name, not through the class: its own error would print whatever was sent.
        named = {member.value: member for member in hint}
        if not isinstance(plain, str) or plain not in named:
            raise _bad(path, "one of: " + ", ".join(str(value) for value in named))
        return named[plain]
    if hint is bytes:
        _require(isinstance(plain, str) and plain.isascii(), path, "lower-case hex")
        try:
            value = bytes.fromhex(plain)
        except ValueError:
            raise _bad(path, "lower-case hex") from None
        _require(value.hex() == plain, path, "lower-case hex")
        return value
    if hint is bool:
        _require(isinstance(plain, bool), path, "true or false")
    elif hint is int:
        _require(isinstance(plain, int) and not isinstance(plain, bool), path, "an integer")
        _require(abs(plain) <= SAFE_INTEGER_MAX, path, "an integer within 2**53 - 1")
    elif hint is str:
        _require(isinstance(plain, str), path, "a string")
        _require(_SURROGATE.search(plain) is None, path, "a string without surrogates")
    elif hint is types.NoneType:
        _require(plain is None, path, "null")
    else:
        msg = f"no reader for {hint!r}"
        raise TypeError(msg)
    return plain


def _read_dataclass(cls: type, plain: Any, path: str) -> Any:
    _require_object(plain, path)
    hints = _hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    kind = getattr(cls, "kind", None)
    given = dict(plain)
    if isinstance(kind, str) and given.pop("kind", None) != kind:
        raise _bad(f"{path}.kind", repr(kind))
    _require_schema(fields, given, path)
    if unknown := sorted(given.keys() - fields.keys()):
        raise MalformedError(f"{path}: unknown field {show(unknown[0])!r}"[:300])
    if missing := [name for name in fields if name not in given]:
        raise MalformedError(f"{path}: missing field {missing[0]!r}"[:300])
    values = {name: _read(hints[name], given[name], f"{path}.{name}") for name in fields}
    try:
        return cls(**values)
    except ValueError as error:
        raise MalformedError(f"{path}: {error}"[:300]) from None


def _read_union(args: tuple[Any, ...], plain: Any, path: str) -> Any:
    if plain is None and types.NoneType in args:
        return None
    choices = [arg for arg in args if arg is not types.NoneType]
    if len(choices) == 1:
        return _read(choices[0], plain, path)
    kinds = {
        choice.kind: choice for choice in choices if isinstance(getattr(choice, "kind", None), str)
    }
    if len(kinds) == len(choices):
        _require_object(plain, path)
        kind = plain.get("kind")
        if not isinstance(kind, str) or kind not in kinds:
            raise _bad(f"{path}.kind", "one of: " + ", ".join(sorted(kinds)))
        return _read(kinds[kind], plain, path)
    msg = f"ambiguous union at {path}: {choices!r}"
    raise TypeError(msg)


def _read_tuple(args: tuple[Any, ...], plain: Any, path: str) -> tuple[Any, ...]:
    _require(isinstance(plain, list), path, "a list")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_read(args[0], item, f"{path}[{n}]") for n, item in enumerate(plain))
    _require(len(plain) == len(args), path, f"a list of {len(args)}")
    return tuple(
        _read(arg, item, f"{path}[{n}]")
        for n, (arg, item) in enumerate(zip(args, plain, strict=True))
    )


def _decimal(plain: Any, path: str) -> int:
    wanted = "a decimal string below 2**64 without leading zeros"
    _require(isinstance(plain, str) and _DECIMAL.fullmatch(plain) is not None, path, wanted)
    value = int(plain)
    _require(value <= U64_MAX, path, wanted)
    return value


def _require_object(plain: Any, path: str) -> None:
    _require(isinstance(plain, dict), path, "an object")
    _require(all(isinstance(key, str) for key in plain), path, "an object with text keys")


def _require_schema(
    fields: Mapping[str, dataclasses.Field[Any]], given: Mapping[str, Any], path: str
) -> None:
    """A newer or unknown schema is refused as such, before its unknown fields are."""
    field = fields.get("schema")
    if field is None or field.default is dataclasses.MISSING or "schema" not in given:
        return
    if given["schema"] == field.default:
        return
    said = show(given["schema"]) if isinstance(given["schema"], str) else "?"
    raise UnknownSchemaError(
        f"{path}: this build reads {field.default}, not {said}"[:300],
        next_step="Use the nullbay that wrote it, or a newer one",
    )


def _item_hints(hint: Any, count: int) -> tuple[Any, ...]:
    declared = _optional_of(hint)
    if get_origin(declared) is Annotated:
        declared = get_args(declared)[0]
    args = get_args(declared)
    if not args:
        return (None,) * count
    if len(args) == 2 and args[1] is Ellipsis:
        return (args[0],) * count
    return args


def _optional_of(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not types.NoneType]
        if len(rest) == 1:
            return rest[0]
    return hint


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _require(condition: bool, path: str, wanted: str) -> None:  # noqa: FBT001 - an assertion
    if not condition:
        raise _bad(path, wanted)


def _bad(path: str, wanted: str) -> MalformedError:
    return MalformedError(f"{path}: expected {wanted}"[:300])
