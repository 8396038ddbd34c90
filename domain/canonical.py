"""Canonical JSON and digests: one byte sequence for one value, so that a hash means something.

The values hashed here hold objects with ASCII keys, strings, booleans, null and integers below
2**53; for these the output equals RFC 8785 (a test compares it with an independent library).
64-bit quantities are strings (reference/evidence.md 3.1).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

SAFE_INTEGER_MAX = 2**53 - 1


def canonical_json(plain: Any) -> bytes:
    """The canonical UTF-8 bytes of a plain JSON value.

    Raises ValueError for floats, integers beyond 2**53 - 1 and keys that are not ASCII strings:
    their canonical form differs between implementations.
    """
    _require_canonical(plain)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def canonical_sha256(plain: Any) -> str:
    """Lower-case hex SHA-256 of the canonical bytes."""
    return hashlib.sha256(canonical_json(plain)).hexdigest()


def _require_canonical(plain: Any) -> None:
    match plain:
        case None | bool() | str():
            return
        case int():
            if abs(plain) > SAFE_INTEGER_MAX:
                msg = f"integer beyond 2**53 - 1 in canonical JSON: {plain}"
                raise ValueError(msg)
        case list() | tuple():
            for item in plain:
                _require_canonical(item)
        case dict():
            for key, item in plain.items():
                if not (isinstance(key, str) and key.isascii()):
                    msg = f"key not an ASCII string in canonical JSON: {key!r}"
                    raise ValueError(msg)
                _require_canonical(item)
        case _:
            msg = f"{type(plain).__name__} has no canonical JSON"
            raise ValueError(msg)
