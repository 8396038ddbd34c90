"""Key files: made durably, private, P-256, with their name; anything else is refused."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from nullbay.certs import keys
from nullbay.domain.errors import MalformedError, TooLargeError
from support import evidence_factory as factory

PKCS8 = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem_of(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(*PKCS8)


def place(path: Path, text: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text)
    path.chmod(mode)
    return path


P256 = pem_of(ec.generate_private_key(ec.SECP256R1()))
NAMED = b"# nullbay key: station-7\n" + P256


def test_a_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "station.key.pem"
    made = keys.load_or_create(path, "station-7")
    again = keys.load_or_create(path, "station-7")
    assert made.public_key_pem == again.public_key_pem
    assert again.key_name == "station-7"
    again.public_key.verify(made.sign(b"message"), b"message")


def test_only_its_owner_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys.load_or_create(tmp_path / "new" / "key.pem", "station-7")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key.pem"]


def test_file_and_directory_are_synced_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    keys.load_or_create(tmp_path / "key.pem", "station-7")
    assert len(synced) == 2
    assert synced[0].startswith(".key.pem.")
    assert synced[1] == tmp_path.name


def test_of_many_that_start_at_once_all_get_the_same_key(tmp_path: Path) -> None:
    found: list[bytes] = []
    gate = threading.Barrier(8)

    def start() -> None:
        gate.wait()
        found.append(keys.load_or_create(tmp_path / "key.pem", "station-7").public_key_pem)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = place(tmp_path / "key.pem", NAMED, mode)
    with pytest.raises(keys.KeyFileError, match="read by others"):
        keys.load_or_create(path, "station-7")
    assert path.read_bytes() == NAMED


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (P256, "name"),
        (b"", "exactly one"),
        (NAMED + P256, "exactly one"),
        (b"# nullbay key: x\n" + pem_of(ec.generate_private_key(ec.SECP384R1())), "not P-256"),
        (b"# nullbay key: x\n" + pem_of(ed25519.Ed25519PrivateKey.generate()), "not P-256"),
        (NAMED[:-60], "without its end"),
        (NAMED.replace(b"MIG", b"XXX"), "cannot be read"),
        (b"\xff" + NAMED, "no PEM text"),
        (NAMED + b"#" * keys.KEY_FILE_MAX_BYTES, "too large"),
        (
            b"# nullbay key: x\n"
            + ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            ),
            "exactly one",
        ),
    ],
)
def test_what_is_no_key_of_ours_is_refused_and_left_alone(
    tmp_path: Path, text: bytes, why: str
) -> None:
    path = place(tmp_path / "key.pem", text)
    with pytest.raises(keys.KeyFileError, match=why):
        keys.load_or_create(path, "station-7")
    assert path.read_bytes() == text


def test_a_fifo_and_a_directory_do_not_hang_or_pass(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(keys.KeyFileError, match="regular"):
        keys.load_or_create(tmp_path / "fifo", "station-7")
    (tmp_path / "folder").mkdir(0o700)
    with pytest.raises(keys.KeyFileError, match="regular"):
        keys.load_or_create(tmp_path / "folder", "station-7")


def test_demo_keys_and_others_are_never_exchanged(tmp_path: Path) -> None:
    keys.load_or_create(tmp_path / "demo.pem", "demo-station")
    keys.load_or_create(tmp_path / "real.pem", "station-7")
    with pytest.raises(keys.KeyFileError, match="never exchanged"):
        keys.load_or_create(tmp_path / "demo.pem", "station-7")
    with pytest.raises(keys.KeyFileError, match="never exchanged"):
        keys.load_or_create(tmp_path / "real.pem", "demo-station")


def test_a_key_keeps_the_name_it_was_made_under(tmp_path: Path) -> None:
    keys.load_or_create(tmp_path / "key.pem", "station-7")
    assert keys.load_or_create(tmp_path / "key.pem", "renamed").key_name == "station-7"


@pytest.mark.parametrize("name", ["", " x", "x ", "a\nb", "x" * 65, "ö", "a\x1b[2J"])
def test_names_that_would_not_fit_a_line_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(keys.KeyFileError, match="key name"):
        keys.load_or_create(tmp_path / "key.pem", name)
    assert not (tmp_path / "key.pem").exists()


def test_a_signature_is_of_one_key_over_one_message() -> None:
    ours, other = factory.signer(), factory.signer()
    signature = ours.sign(b"message")
    ours.public_key.verify(signature, b"message")
    for key, sig, message in (
        (other.public_key, signature, b"message"),
        (ours.public_key, signature, b"massage"),
        (ours.public_key, signature[:-1], b"message"),
        (ours.public_key, signature + b"\0", b"message"),
        (ours.public_key, b"", b"message"),
    ):
        with pytest.raises(keys.SignatureInvalidError):
            key.verify(sig, message)


def test_the_key_id_is_the_digest_of_the_der() -> None:
    key = factory.signer().public_key
    assert key.key_id == hashlib.sha256(key.spki).hexdigest()
    assert keys.PublicKey.from_pem(key.pem) == keys.PublicKey(key.spki)
    assert keys.PublicKey.from_der(key.spki).key_id == key.key_id


def test_a_compressed_point_is_the_same_key() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    header = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert keys.PublicKey.from_der(header + point).spki == spki


# --- trust files -------------------------------------------------------------------------------


def test_a_trust_file_holds_several_keys_each_with_its_name() -> None:
    first, second = factory.signer().public_key, factory.signer().public_key
    text = b"# nullbay key: station-7\n" + first.pem + b"some text\n" + second.pem + first.pem
    found = keys.read_public_keys(text)
    assert [(key.key_id, key.name) for key in found] == [
        (first.key_id, "station-7"),
        (second.key_id, ""),
    ]


def test_a_private_key_in_a_trust_file_is_refused() -> None:
    with pytest.raises(MalformedError, match="private key"):
        keys.read_public_keys(factory.signer().public_key.pem + P256)


def test_an_empty_trust_file_trusts_nobody_and_says_so() -> None:
    with pytest.raises(MalformedError, match="no public key"):
        keys.read_public_keys(b"nothing here\n")


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1()])
def test_other_curves_are_refused(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(MalformedError, match="P-256"):
        keys.PublicKey.from_pem(pem)


def test_trust_files_have_caps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trust.pem"
    path.write_bytes(factory.signer().public_key.pem + b"#" * keys.TRUST_FILE_MAX_BYTES)
    with pytest.raises(TooLargeError):
        keys.read_trust_file(path)
    monkeypatch.setattr(keys, "TRUSTED_KEYS_MAX", 2)
    path.write_bytes(b"".join(factory.signer().public_key.pem for _ in range(3)))
    with pytest.raises(TooLargeError):
        keys.read_trust_file(path)


@given(st.binary(max_size=2000) | st.binary(max_size=300).map(lambda b: NAMED[:100] + b))
def test_any_bytes_are_a_trust_file_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert keys.read_public_keys(data)


@given(st.binary(max_size=300), st.integers(0, 200))
def test_any_public_key_block_is_a_key_or_malformed(data: bytes, at: int) -> None:
    spki = bytearray(factory.signer().public_key.spki)
    spki[at % len(spki) : at % len(spki) + len(data)] = data
    body = base64.encodebytes(bytes(spki)).decode()
    text = f"-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n"
    with contextlib.suppress(MalformedError):
        assert len(keys.read_public_keys(text.encode())) == 1
