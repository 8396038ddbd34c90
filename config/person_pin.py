"""A person's PIN, kept only as scrypt text: `scrypt:N:r:p:salt:hash`, salt and hash in hex.

RFC 7914. The cost is bounded from below, so that a lost file does not give the PINs away at once,
and from above, so that no file makes one login take the station's memory.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from nullbay.domain.errors import NullbayError

PIN_MIN, PIN_MAX = 4, 32
N_MIN, N_MAX = 2**14, 2**17
R_MAX, P_MAX = 16, 4
SALT_BYTES, HASH_BYTES = 16, 32
MEMORY_MAX_BYTES = 128 * 1024 * 1024
DEFAULT_N, DEFAULT_R, DEFAULT_P = 2**15, 8, 1
RIGHT = '"scrypt:N:r:p:salt:hash", as `nullbay config pin` prints it'
_FORM = re.compile(
    r"scrypt:([1-9][0-9]{4,5}):([1-9][0-9]?):([1-9]):([0-9a-f]{32,64}):([0-9a-f]{64})"
)
_PRINTABLE = re.compile(rf"[!-~]{{{PIN_MIN},{PIN_MAX}}}")


class UnfitPinError(NullbayError):
    """A PIN that cannot be one; it is not repeated."""

    code = "pin.unfit"


def scrypt_text(pin: str, salt: bytes | None = None) -> str:
    """What `pin_scrypt` holds for a PIN: 4 to 32 printable ASCII characters without blanks.

    `salt` is 16 fresh random bytes unless given. Takes about a tenth of a second and 32 MiB.
    Raises UnfitPinError.
    """
    if not _PRINTABLE.fullmatch(pin):
        msg = f"a PIN has {PIN_MIN} to {PIN_MAX} printable ASCII characters without blanks"
        raise UnfitPinError(msg, next_step="Choose another one")
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    parameters = (DEFAULT_N, DEFAULT_R, DEFAULT_P)
    digest = _derived(pin, salt, *parameters)
    return ":".join(["scrypt", *map(str, parameters), salt.hex(), digest.hex()])


def checked_text(text: str) -> str:
    """The text itself where its form and cost are allowed. Raises ValueError saying why not."""
    _parts(text)
    return text


def agrees(pin: str, text: str) -> bool:
    """Whether a PIN is that of a text which `checked_text` took; in constant time per text.

    Computes scrypt: about a tenth of a second on one core, never on an event loop that has other
    work.
    """
    n, r, p, salt, digest = _parts(text)
    # A PIN beyond the cap is still computed, cut: how long it takes tells nothing.
    made = _derived(pin[: PIN_MAX + 1], salt, n, r, p)
    return hmac.compare_digest(made, digest)


def _derived(pin: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    given = pin.encode("utf-8", "surrogatepass")
    limit = MEMORY_MAX_BYTES * 2
    return hashlib.scrypt(given, salt=salt, n=n, r=r, p=p, maxmem=limit, dklen=HASH_BYTES)


def _parts(text: str) -> tuple[int, int, int, bytes, bytes]:
    match = _FORM.fullmatch(text)
    if match is None or len(match[4]) % 2:
        msg = "does not have the right form"
        raise ValueError(msg)
    n, r, p = int(match[1]), int(match[2]), int(match[3])
    if n & (n - 1) or not N_MIN <= n <= N_MAX:
        msg = f"has a cost that is no power of two from {N_MIN} to {N_MAX}"
        raise ValueError(msg)
    if r > R_MAX or p > P_MAX or 128 * n * r > MEMORY_MAX_BYTES:
        msg = f"needs more than r={R_MAX}, p={P_MAX} or {MEMORY_MAX_BYTES} bytes of memory"
        raise ValueError(msg)
    return n, r, p, bytes.fromhex(match[4]), bytes.fromhex(match[5])
