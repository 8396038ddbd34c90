"""Independent tools and libraries on what certs/ writes and reads."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import rfc8785
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.signer._key import SSlibKey

from nullbay.certs import archive, dsse, keys, statement
from nullbay.domain.canonical import SAFE_INTEGER_MAX, canonical_json
from nullbay.domain.errors import MalformedError
from support import evidence_factory as factory
from support.tree import TOP

SCHEMA = TOP / "certs" / "schemas" / "sanitization-v1.schema.json"


def openssl(*arguments: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["openssl", *map(str, arguments)], input=data, capture_output=True, check=False
    )


# --- keys and signatures -----------------------------------------------------------------------


def test_openssl_verifies_what_we_sign(tmp_path: Path) -> None:
    signer = keys.load_or_create(tmp_path / "key.pem", "station-7")
    (tmp_path / "pub.pem").write_bytes(signer.public_key_pem)
    for payload in (b"", b"message", bytes(100_000)):
        (tmp_path / "pae").write_bytes(dsse.pae("text/plain", payload))
        envelope = dsse.read(dsse.sign("text/plain", payload, signer))
        (tmp_path / "sig").write_bytes(envelope.signature)
        command = (
            "dgst",
            "-sha256",
            "-verify",
            tmp_path / "pub.pem",
            "-signature",
            tmp_path / "sig",
        )
        assert openssl(*command, tmp_path / "pae").stdout == b"Verified OK\n"
        (tmp_path / "pae").write_bytes(dsse.pae("text/plain", payload + b"."))
        assert openssl(*command, tmp_path / "pae").returncode != 0


def test_openssl_reads_our_key_file_and_we_read_its_keys(tmp_path: Path) -> None:
    ours = keys.load_or_create(tmp_path / "ours.pem", "station-7")
    shown = openssl("pkey", "-in", tmp_path / "ours.pem", "-pubout")
    assert shown.stdout == ours.public_key_pem
    made = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    path = tmp_path / "theirs.pem"
    path.touch(mode=0o600)
    path.write_bytes(b"# nullbay key: station-8\n" + made.stdout)
    theirs = keys.load_or_create(path, "station-8")
    assert openssl("pkey", "-in", path, "-pubout").stdout == theirs.public_key_pem
    der = openssl("pkey", "-in", path, "-pubout", "-outform", "DER").stdout
    assert theirs.public_key.spki == der


def test_we_verify_what_openssl_signs(tmp_path: Path) -> None:
    signer = keys.load_or_create(tmp_path / "key.pem", "station-7")
    made = openssl("dgst", "-sha256", "-sign", tmp_path / "key.pem", data=b"message")
    signer.public_key.verify(made.stdout, b"message")


# --- envelopes ---------------------------------------------------------------------------------


def theirs(envelope: bytes, key_id: str) -> TheirEnvelope:
    """securesystemslib wants the key's id in the envelope; ours has none."""
    value = json.loads(envelope)
    value["signatures"][0]["keyid"] = key_id
    return TheirEnvelope.from_dict(value)


def test_securesystemslib_verifies_our_envelopes() -> None:
    made = factory.certify()
    for envelope, signer in (
        (json.dumps(json.loads(made.bundle)["dsseEnvelope"]).encode(), made.station),
        (made.envelope, made.bench),
    ):
        key = SSlibKey.from_crypto(load_pem_public_key(signer.public_key_pem))
        found = theirs(envelope, key.keyid)
        assert found.verify([key], 1)
        assert found.pae() == dsse.pae(found.payload_type, found.payload)
        found.payload += b" "
        with pytest.raises(Exception, match="do not match threshold"):
            found.verify([key], 1)


# --- canonical JSON ----------------------------------------------------------------------------

safe_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-SAFE_INTEGER_MAX, SAFE_INTEGER_MAX)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(max_codepoint=0x7F)), inner)
    ),
    max_leaves=30,
)


@given(safe_values)
def test_rfc8785_agrees_with_our_canonical_json(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("name", factory.EVIDENCE)
def test_rfc8785_agrees_on_statements_and_transcripts(name: str) -> None:
    made = factory.certify(factory.EVIDENCE[name]())
    for payload in (made.payload, dsse.read(made.envelope).payload, made.bundle):
        assert rfc8785.dumps(json.loads(payload)) == payload


# --- archives ----------------------------------------------------------------------------------


def test_tar_and_zstd_read_our_archive(tmp_path: Path) -> None:
    members = factory.archive_members() | {"deep/er/x.json": b"{}", "empty": b""}
    path = tmp_path / "job.evidence.tar.zst"
    archive.write(path, members)
    assert subprocess.run(["zstd", "-tq", path], check=False).returncode == 0
    plain = subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout
    listed = subprocess.run(
        ["tar", "-tvf", "-"],
        input=plain,
        capture_output=True,
        check=True,
        env={"TZ": "UTC", "LC_ALL": "C"},
    ).stdout.decode()
    assert [line.split()[-1] for line in listed.splitlines()] == sorted(members)
    assert all(line.startswith("-rw-r--r-- 0/0") for line in listed.splitlines())
    assert all("1970-01-01 00:00" in line for line in listed.splitlines())
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", "-", "-C", tmp_path / "out"], input=plain, check=True)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in members} == members


# --- the published schema ----------------------------------------------------------------------


def test_the_schema_file_is_the_models() -> None:
    """`python -m nullbay.certs.statement > certs/schemas/sanitization-v1.schema.json` makes it."""
    assert SCHEMA.read_text() == statement.schema_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("name", factory.EVIDENCE)
def test_statements_fit_the_published_schema(name: str) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    value = json.loads(factory.certify(factory.EVIDENCE[name]()).payload)
    validator.validate(value)
    value["predicate"]["unknown"] = {"kept": 1}
    validator.validate(value)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("predicate.result", "ERASED"),
        ("predicate.media.sizeBytes", 5),
        ("predicate.media.sizeBytes", "05"),
        ("predicate.media.serialHex", "5"),
        ("predicate.simulated", "false"),
        ("predicateType", "urn:nullbay:sanitization:v2"),
    ],
)
def test_the_schema_refuses_what_the_models_refuse(path: str, wrong: object) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    value = json.loads(factory.certify().payload)
    *way, last = path.split(".")
    box = value
    for name in way:
        box = box[name]
    box[last] = wrong
    assert not validator.is_valid(value)
    with pytest.raises(MalformedError):
        statement.read(json.dumps(value).encode())
