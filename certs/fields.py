"""The kinds of field a statement has, and the strict model they stand in."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

TEXT_MAX = 200
RAW_HEX_MAX = 2048
LIST_MAX = 10_000
_DECIMAL = r"^(0|[1-9][0-9]{0,19})$"
# Line breaks, terminal escapes and characters that reorder or hide text. A fixed set, not a Unicode
# category: what was readable once must be readable with any later version of Unicode.
_UNSAFE = frozenset(
    [chr(point) for point in range(0x20)]
    + [chr(point) for point in range(0x7F, 0xA0)]
    + [chr(point) for point in (0xAD, 0x61C, 0x180E, 0xFEFF)]
    + [chr(point) for point in range(0x200B, 0x2010)]
    + [chr(point) for point in range(0x2028, 0x202F)]
    + [chr(point) for point in range(0x2060, 0x2070)]
    + [chr(point) for point in range(0xE0000, 0xE0080)]
)


def _safe(text: str) -> str:
    if not (text.isascii() and text.isprintable()) and not _UNSAFE.isdisjoint(text):
        msg = "control or hidden characters"
        raise ValueError(msg)
    return text


def _from_decimal(given: object) -> int:
    if not isinstance(given, str) or not given.isascii() or not given.isdigit():
        msg = "expected a decimal string"
        raise ValueError(msg)
    if len(given) > 20 or str(int(given)) != given:
        msg = "expected a decimal string of at most 20 digits, without leading zeros"
        raise ValueError(msg)
    return int(given)


Text: TypeAlias = Annotated[str, StringConstraints(max_length=TEXT_MAX), AfterValidator(_safe)]
Code: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]{0,63}$")]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Sha256OrNone: TypeAlias = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]
Hex: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^([0-9a-f]{2})*$", max_length=RAW_HEX_MAX)
]
Time: TypeAlias = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"
    ),
]
Count: TypeAlias = Annotated[int, Field(ge=0, le=2**53 - 1)]
Decimal: TypeAlias = Annotated[
    int,
    BeforeValidator(_from_decimal),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DECIMAL}),
]
Base64: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


class Model(BaseModel):
    """Strict types, camelCase in JSON, unknown fields kept in `model_extra`."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="allow", frozen=True, strict=True, validate_default=True
    )
