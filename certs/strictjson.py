"""JSON from strangers, read so that every reader would read the same.

Parsers disagree on duplicate keys, lone surrogates, NaN, floats and huge numbers. Documents with
any of these are refused here, before a model sees them.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from nullbay.domain.canonical import SAFE_INTEGER_MAX
from nullbay.domain.errors import MalformedError, TooLargeError

DEPTH_MAX = 64
# "\ud800" alone is no text; \uXXXX in this range is looked for only where it is written.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(data: bytes, cap: int, what: str) -> Any:
    """The plain value of a JSON document in UTF-8 of at most `cap` bytes.

    Raises TooLargeError and MalformedError naming `what`; success proves that keys are unique, that
    numbers are integers within 2**53, that strings are encodable, and that nesting is at most 64.
    """
    if len(data) > cap:
        raise TooLargeError(f"{what} is {len(data)} bytes; at most {cap} are read")
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=_no_float,
            parse_constant=_no_float,
            parse_int=_integer,
        )
    except _RefusedError as error:
        raise MalformedError(f"{what}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{what} is no JSON: {error}"[:300]) from None
    if not _is_shallow(value):
        raise MalformedError(f"{what} is nested deeper than {DEPTH_MAX}")
    if _SURROGATE.search(data) and not _is_encodable(value):
        raise MalformedError(f"{what} holds half a character (a lone surrogate)")
    return value


class _RefusedError(ValueError):
    """A construct that readers disagree on."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _RefusedError("a key stands twice in one object")
    return made


def _no_float(text: str) -> NoReturn:
    raise _RefusedError(f"a number that is no integer: {text[:40]}")


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > SAFE_INTEGER_MAX or text == "-0":
        raise _RefusedError(f"an integer beyond 2**53 - 1 or no integer: {text[:40]}")
    return int(text)


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            item
            for box in level
            for item in (
                box.values() if isinstance(box, dict) else box if isinstance(box, list) else ()
            )
            if isinstance(item, dict | list)
        ]
        if not level:
            return True
    return False


def _is_encodable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
