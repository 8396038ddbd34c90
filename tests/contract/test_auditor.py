"""docs/auditor.md as written: its blocks, run with nothing but the tools it names."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nullbay.certs import archive, dsse, statement
from nullbay.domain.canonical import canonical_json
from nullbay.domain.outcome import JobEvidence
from nullbay.domain.patterns import ZERO, Keyed
from nullbay.domain.record import ArchiveReference
from support import evidence_factory as factory
from support.evidence_factory import MIB, Certified
from support.tree import TOP

PAGE = (TOP / "docs" / "auditor.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COREUTILS = {"base64", "cat", "cut", "dd", "head", "od", "sha256sum", "shuf", "tr", "wc"}
TOOLS = COREUTILS | {"jq", "openssl", "tar", "zstd"}

CERTIFICATE = "certificate.sigstore.json"
ARCHIVE = "certificate.evidence.tar.zst"


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PATH with the named tools and no others."""
    folder = tmp_path_factory.mktemp("tools")
    for name in TOOLS:
        found = shutil.which(name)
        assert found, f"{name} is missing"
        (folder / name).symlink_to(found)
    return folder


class Auditor:
    """An empty folder with the three files, and the page's commands."""

    def __init__(self, folder: Path, tools: Path, evidence: JobEvidence) -> None:
        self.folder, self._tools = folder, tools
        digest = archive.write(folder / ARCHIVE, factory.archive_members())
        self.made = factory.certify(evidence, archive=ArchiveReference("job.tar.zst", digest))
        self.place(self.made.bundle)
        (folder / "station.pub.pem").write_bytes(self.made.station.public_key_pem)

    def place(self, bundle: bytes) -> None:
        (self.folder / CERTIFICATE).write_bytes(bundle)

    def forge(self, change: Callable[[dict[str, Any]], object]) -> None:
        """The statement changed and signed by whoever stole the station's key."""
        value = json.loads(self.made.payload)
        change(value)
        bundle = json.loads(self.made.bundle)
        payload = canonical_json(value)
        sealed = dsse.seal(statement.PAYLOAD_TYPE, payload, self.made.station)
        bundle["dsseEnvelope"] = sealed.plain()
        self.place(canonical_json(bundle))

    def run(self, drive: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self._tools), "LC_ALL": "C"}
        if drive is not None:
            environment["drive"] = str(drive)
        return subprocess.run(
            ["/bin/sh", "-c", "\n".join(BLOCKS)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def auditor(tmp_path: Path, tools: Path) -> Auditor:
    return Auditor(tmp_path, tools, factory.good_evidence())


def test_the_page_has_its_blocks_and_needs_every_tool() -> None:
    assert len(BLOCKS) >= 9
    text = "\n".join(BLOCKS)
    assert {tool for tool in TOOLS if re.search(rf"(^|[\s|(&!]){tool}\s", text)} == TOOLS


@pytest.mark.parametrize("name", ["good", "sampled", "excepted", "resumed", "multi-unit"])
def test_a_good_certificate_passes(name: str, tmp_path: Path, tools: Path) -> None:
    done = Auditor(tmp_path, tools, factory.EVIDENCE[name]()).run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Verified OK") == 2
    assert f"{ARCHIVE}: OK" in done.stdout
    assert "S6EPNX0T123456" in done.stdout


@pytest.mark.parametrize("name", ["mismatched", "unwritable", "absent"])
def test_a_record_of_failure_is_genuine_and_no_certificate(
    name: str, tmp_path: Path, tools: Path
) -> None:
    done = Auditor(tmp_path, tools, factory.EVIDENCE[name]()).run()
    assert done.returncode == 20, done.stderr
    assert done.stdout.count("Verified OK") == 2
    assert "record of unsuccessful sanitization" in done.stdout


def test_hostile_strings_do_no_harm(tmp_path: Path, tools: Path) -> None:
    serial = b"$(touch hacked)`touch hacked`';touch hacked;\x1b[2J\""
    done = Auditor(tmp_path, tools, factory.good_evidence(serial=serial)).run()
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "hacked").exists()
    assert "\x1b" not in done.stdout


# --- tampered ones -----------------------------------------------------------------------------


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_a_changed_payload_fails(auditor: Auditor) -> None:
    value = json.loads(auditor.made.bundle)
    payload = base64.b64decode(value["dsseEnvelope"]["payload"])
    place = payload.index(b"SANITIZED")
    changed = base64.b64encode(flipped(payload, place)).decode()
    value["dsseEnvelope"]["payload"] = changed
    auditor.place(json.dumps(value).encode())
    done = auditor.run()
    assert done.returncode != 0
    assert "Verification failure" in done.stdout + done.stderr


def test_another_stations_key_fails(auditor: Auditor) -> None:
    (auditor.folder / "station.pub.pem").write_bytes(factory.signer().public_key_pem)
    assert auditor.run().returncode != 0


def test_another_archive_fails(auditor: Auditor) -> None:
    path = auditor.folder / ARCHIVE
    path.write_bytes(flipped(path.read_bytes(), 40))
    done = auditor.run()
    assert done.returncode != 0
    assert "FAILED" in done.stdout


def test_two_signatures_fail(auditor: Auditor) -> None:
    value = json.loads(auditor.made.bundle)
    value["dsseEnvelope"]["signatures"] *= 2
    auditor.place(json.dumps(value).encode())
    assert auditor.run().returncode != 0


def forgeries(made: Certified) -> dict[str, Callable[[dict[str, Any]], object]]:
    """What the holder of a stolen station key would write, by what it is."""
    other = factory.certify(factory.good_evidence(serial="ANOTHER"))
    spki = base64.b64encode(made.station.public_key.spki).decode()
    envelope = dsse.read(made.envelope)
    selfmade = dsse.seal(envelope.payload_type, envelope.payload, made.station).plain()
    theirs = json.loads(other.payload)["predicate"]
    return {
        "another kind": lambda s: s.update(predicateType="urn:other"),
        "another serial": lambda s: s["predicate"]["media"].update(serialHex="41424344"),
        "another drive": lambda s: s["predicate"]["media"].update(identifySha256="00" * 32),
        "another job": lambda s: s["predicate"]["attempt"].update(jobId="j-1"),
        "another policy": lambda s: s["predicate"]["sanitization"]["policy"].update(id="x/1"),
        "another reading": lambda s: s["predicate"]["verification"][0]["result"].update(
            readBytes="1"
        ),
        "another key": lambda s: s["predicate"]["patternKey"].update(commitmentSha256="00" * 32),
        "another transcript": lambda s: s["predicate"].update(
            transcript=theirs["transcript"], benchKey=theirs["benchKey"]
        ),
        "another signature inside": lambda s: s["predicate"].update(
            transcript=theirs["transcript"]
        ),
        "its own bench": lambda s: s["predicate"].update(
            transcript=selfmade, benchKey={"spki": spki}
        ),
        "a new word": lambda s: s["predicate"].update(result="ERASED"),
        "simulated": lambda s: s["predicate"].update(simulated=True),
    }


@pytest.mark.parametrize("what", forgeries(factory.certify()))
def test_a_forged_statement_fails(auditor: Auditor, what: str) -> None:
    auditor.forge(forgeries(auditor.made)[what])
    done = auditor.run()
    assert done.returncode != 0
    assert "Verified OK" in done.stdout, "the station's signature was good"


@pytest.mark.parametrize("name", ["mismatched", "unwritable", "absent"])
def test_a_better_word_than_the_evidence_gives_fails(
    name: str, tmp_path: Path, tools: Path
) -> None:
    auditor = Auditor(tmp_path, tools, factory.EVIDENCE[name]())
    auditor.forge(lambda s: s["predicate"].update(result="SANITIZED", reasons=[]))
    done = auditor.run()
    assert done.returncode not in {0, 20}


def test_a_drive_made_of_software_fails(tmp_path: Path, tools: Path) -> None:
    done = Auditor(tmp_path, tools, factory.good_evidence(simulated=True)).run()
    assert done.returncode == 1
    assert "made of software" in done.stdout


def test_the_known_bench_key_is_compared(auditor: Auditor) -> None:
    path = auditor.folder / "bench.pub.pem"
    path.write_bytes(auditor.made.bench.public_key_pem)
    assert auditor.run().returncode == 0
    path.write_bytes(factory.signer().public_key_pem)
    assert auditor.run().returncode != 0


def test_a_pattern_key_that_was_not_committed_to_fails(auditor: Auditor) -> None:
    digest = archive.write(auditor.folder / ARCHIVE, factory.archive_members(bytes(32)))
    auditor.forge(lambda s: s["subject"][0]["digest"].update(sha256=digest))
    done = auditor.run()
    assert done.returncode != 0
    assert f"{ARCHIVE}: OK" in done.stdout


# --- with the drive at hand --------------------------------------------------------------------


def written(size: int, step: int) -> bytes:
    """The keyed stream, from its description alone."""
    info = f"nullbay/overwrite/1/{step}".encode()
    key = HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(factory.JOB_KEY)
    return Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(size))


def test_the_drive_holds_the_stream_and_a_changed_page_shows(tmp_path: Path, tools: Path) -> None:
    small = factory.good_evidence(units=(factory.unit(MIB),), patterns=(ZERO, Keyed()))
    auditor = Auditor(tmp_path, tools, small)
    drive = tmp_path / "drive"
    drive.write_bytes(written(MIB, step=2))
    done = auditor.run(drive)
    assert done.returncode == 0, done.stderr
    assert "32 pages hold the pattern" in done.stdout
    drive.write_bytes(flipped(drive.read_bytes(), MIB - 1))
    done = auditor.run(drive)
    assert done.returncode == 60
    assert "page 255 of 4096 bytes does not hold the pattern" in done.stdout


def test_a_drive_left_with_zeros_says_so(tmp_path: Path, tools: Path) -> None:
    zeros = factory.good_evidence(units=(factory.unit(MIB),), patterns=(Keyed(), ZERO))
    done = Auditor(tmp_path, tools, replace(zeros)).run(Path("/dev/zero"))
    assert done.returncode == 0, done.stderr
    assert "step 2 wrote: repeat 00" in done.stdout
