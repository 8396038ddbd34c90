"""Keys: ECDSA on P-256 with SHA-256, and nothing else (reference/evidence.md sections 1 and 5).

A private key is one PKCS #8 PEM file, 0600. Its name stands in the same file as a comment before
the PEM block, where RFC 7468 lets text stand and openssl skips it: a name in a second file would
be lost on the first copy, and the rule that drives made of software are signed for only by keys
named `demo…` would go with it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from nullbay.domain.errors import MalformedError, NullbayError, TooLargeError
from nullbay.domain.ports import Signer
from nullbay.domain.text import show

DEMO_PREFIX = "demo"
KEY_FILE_MAX_BYTES = 16 * 1024
TRUST_FILE_MAX_BYTES = 1024 * 1024
TRUSTED_KEYS_MAX = 1024
SPKI_MAX_BYTES = 512
_NAME_FORM = re.compile(r"[!-~]([ -~]{0,62}[!-~])?")
_NAME_LINE = "# nullbay key: "
_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_ALGORITHM = ec.ECDSA(hashes.SHA256())


class KeyFileError(NullbayError):
    """A key file that will not be used, or could not be made; nothing was changed."""

    code = "key.unusable"


class SignatureInvalidError(NullbayError):
    """The signature was not made by this key over these bytes."""

    code = "signature.invalid"


class SimulatedKeyError(NullbayError):
    """A key not named `demo…` was asked to sign for a drive made of software (bench.md)."""

    code = "key.not-for-simulated"


@dataclass(frozen=True)
class PublicKey:
    """A P-256 public key. `name` is empty unless the file it came from says one.

    `spki` is the SubjectPublicKeyInfo in DER, named curve and uncompressed point.
    """

    spki: bytes
    name: str = ""

    @classmethod
    def from_der(cls, der: bytes, name: str = "") -> PublicKey:
        """Raises MalformedError for anything but one P-256 SubjectPublicKeyInfo."""
        if len(der) > SPKI_MAX_BYTES:
            raise TooLargeError("a public key of more than 512 bytes is not P-256")
        try:
            key = load_der_public_key(der)
        except (ValueError, UnsupportedAlgorithm):
            raise MalformedError("not a public key (SubjectPublicKeyInfo)") from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise MalformedError("not a P-256 key; nullbay signs with P-256 only")
        return cls(_spki(key), name)

    @classmethod
    def from_pem(cls, pem: bytes) -> PublicKey:
        """The one public key of a PEM text. Raises MalformedError for none or several."""
        found = read_public_keys(pem)
        if len(found) != 1:
            raise MalformedError(f"expected one public key, found {len(found)}")
        return found[0]

    @cached_property
    def key_id(self) -> str:
        """SHA-256 of the DER SubjectPublicKeyInfo, lower-case hex."""
        return hashlib.sha256(self.spki).hexdigest()

    @cached_property
    def pem(self) -> bytes:
        """SubjectPublicKeyInfo in PEM."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def _key(self) -> ec.EllipticCurvePublicKey:
        key = load_der_public_key(self.spki)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise MalformedError("not a P-256 key")
        return key

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if this key signed the message (DER ECDSA), else raise SignatureInvalidError."""
        try:
            self._key.verify(signature, message, _ALGORITHM)
        except InvalidSignature:
            raise SignatureInvalidError("the signature is not of this key") from None


class FileSigner:
    """A `Signer` whose private key is in this process, read from a file."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, name: str) -> None:
        """Take a P-256 key; `load_or_create` is the way to one."""
        self._key = key
        self._name = name
        self._pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def key_name(self) -> str:
        """Its name, as it stands in the key file."""
        return self._name

    @property
    def public_key_pem(self) -> bytes:
        """SubjectPublicKeyInfo in PEM."""
        return self._pem

    @property
    def public_key(self) -> PublicKey:
        """The public key with its name."""
        return PublicKey(_spki(self._key.public_key()), self._name)

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 with SHA-256 over the message, in DER."""
        return self._key.sign(message, _ALGORITHM)


def require_fit(signer: Signer, *, simulated: bool) -> None:
    """Raise SimulatedKeyError where a drive made of software would get a real key's signature."""
    if simulated and not signer.key_name.startswith(DEMO_PREFIX):
        raise SimulatedKeyError(
            f"key {show(signer.key_name)!r} signs for real drives, this one is made of software",
            next_step="Use a state directory of its own, whose keys are named demo…",
        )


def load_or_create(path: Path, name: str) -> FileSigner:
    """The key in `path`, made and made durable under `name` if there is none.

    Success proves a P-256 key in a regular file that only its owner (this user or root) can read.
    A key keeps the name it was made under; a demo key never serves under another name, nor another
    as a demo key. Raises KeyFileError.
    """
    if not _NAME_FORM.fullmatch(name):
        raise KeyFileError(f"a key name is 1 to 64 printable ASCII characters, not {show(name)!r}")
    try:
        signer = load(path)
    except FileNotFoundError:
        signer = _create(path, name)
    if signer.key_name.startswith(DEMO_PREFIX) != name.startswith(DEMO_PREFIX):
        raise KeyFileError(
            f"{path} holds key {signer.key_name!r}; demo keys and others are never exchanged",
            next_step="Use another state directory",
        )
    return signer


def load(path: Path) -> FileSigner:
    """The key in `path`. Raises FileNotFoundError, or KeyFileError saying what is wrong with it."""
    text = _read_private(path)
    try:
        blocks = _pem_blocks(text)
    except MalformedError as error:
        raise _unusable(path, f"cannot be used: {error}") from None
    if len(blocks) != 1 or blocks[0].label != "PRIVATE KEY":
        raise _unusable(path, "does not hold exactly one PKCS #8 private key in PEM")
    try:
        key = load_pem_private_key(blocks[0].text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unusable(path, "holds a private key that cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _unusable(path, "holds a key that is not P-256")
    if not blocks[0].name:
        raise _unusable(path, f"does not say its key's name ({_NAME_LINE}…)")
    return FileSigner(key, blocks[0].name)


def read_trust_file(path: Path) -> tuple[PublicKey, ...]:
    """Every public key of a trust file: one or more PEM blocks, at most 1,024 in 1 MiB.

    Raises MalformedError, TooLargeError, and OSError where it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(TRUST_FILE_MAX_BYTES + 1)
    return read_public_keys(data)


def read_public_keys(data: bytes) -> tuple[PublicKey, ...]:
    """The public keys of a PEM text, each once, named by the `# nullbay key:` lines before them.

    Raises MalformedError for other blocks: a private key does not belong here, and a certificate
    would not be checked as one.
    """
    if len(data) > TRUST_FILE_MAX_BYTES:
        raise TooLargeError("a trust file has at most 1 MiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("not a PEM text") from None
    found: dict[str, PublicKey] = {}
    for block in _pem_blocks(text):
        if block.label != "PUBLIC KEY":
            raise MalformedError(
                f"a trust file holds public keys, this one holds a {block.label.lower()}",
                next_step="Keep private keys where they are; see docs/auditor.md",
            )
        key = PublicKey.from_der(block.der(), block.name)
        found.setdefault(key.key_id, key)
        if len(found) > TRUSTED_KEYS_MAX:
            raise TooLargeError(f"a trust file has at most {TRUSTED_KEYS_MAX} keys")
    if not found:
        raise MalformedError(
            "no public key (-----BEGIN PUBLIC KEY-----) found",
            next_step="Give the station's public key, station.pub.pem",
        )
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class _Block:
    label: str
    name: str
    text: str

    def der(self) -> bytes:
        body = "".join(line.strip() for line in self.text.splitlines()[1:-1])
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise MalformedError("a PEM block is not base64") from None


def _pem_blocks(text: str) -> list[_Block]:
    blocks: list[_Block] = []
    inside: list[str] | None = None
    label = name = ""
    for line in text.splitlines():
        stripped = line.strip()
        if inside is None:
            if begin := _BEGIN.fullmatch(stripped):
                label, inside = begin[1], [stripped]
            elif line.startswith(_NAME_LINE):
                name = line.removeprefix(_NAME_LINE).strip()
                if not _NAME_FORM.fullmatch(name):
                    raise MalformedError(f"not a key name: {show(name)!r}")
        else:
            inside.append(stripped)
            if stripped == f"-----END {label}-----":
                blocks.append(_Block(label, name, "\n".join(inside) + "\n"))
                inside, name = None, ""
    if inside is not None:
        raise MalformedError("a PEM block without its end")
    return blocks


def _read_private(path: Path) -> str:
    try:
        # Not to hang where somebody put a FIFO.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise _unusable(path, "is not a regular file")
        if facts.st_mode & 0o077:
            raise _unusable(path, "can be read by others", "chmod 600 it, if nobody has read it")
        if facts.st_uid not in {os.geteuid(), 0}:
            raise _unusable(path, "belongs to another user")
        data = os.read(descriptor, KEY_FILE_MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > KEY_FILE_MAX_BYTES:
        raise _unusable(path, "is too large for a key")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise _unusable(path, "is no PEM text") from None


def _create(path: Path, name: str) -> FileSigner:
    """Write a key beside its place, make it durable, then link it there: whole or not at all."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(f"{_NAME_LINE}{name}\n".encode("ascii") + pem)
            file.flush()
            os.fsync(file.fileno())
        # Unlike rename, link never replaces: of two that start at once, one key wins.
        os.link(temporary, path)
    except FileExistsError:
        return load(path)
    except OSError as error:
        raise _unusable(path, f"could not be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)
    return FileSigner(key, name)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(path: Path, why: str, next_step: str = "") -> KeyFileError:
    return KeyFileError(
        f"key file {path} {why}", next_step=next_step or "See docs/auditor.md on keys"
    )


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
