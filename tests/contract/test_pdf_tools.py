"""What others read in the PDF: poppler the text and the attachment, zxing the code."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
import zxingcpp

from nullbay.certs import pdf
from nullbay.certs import pdf_words as words_of
from support import evidence_factory as factory
from support.evidence_factory import Certified, certify
from support.printed import (
    HOSTILE,
    MARKUP,
    extreme,
    hostile,
    joined,
    pdf_facts,
    pdf_text,
    rewritten,
    simulated,
)

VERDICTS = {
    "good": ("SANITIZED", "Certificate of sanitization"),
    "excepted": ("SANITIZED, WITH EXCEPTIONS", "Certificate of sanitization, with exceptions"),
    "mismatched": ("NOT SANITIZED", "Record of unsuccessful sanitization"),
    "absent": ("INDETERMINATE", "Record of unsuccessful sanitization"),
}


def printed(made: Certified, folder: Path) -> Path:
    path = folder / "record.pdf"
    path.write_bytes(pdf.render(made.bundle))
    return path


def pages(path: Path) -> int:
    return int(pdf_facts(path)["Pages"])


def raster(path: Path, folder: Path, dots_per_inch: int, page: int = 1) -> tuple[int, int, bytes]:
    """One page in grey: width, height, one byte for each dot (PGM)."""
    picture = folder / "page"
    command = ["pdftoppm", "-q", "-gray", "-r", str(dots_per_inch), "-f", str(page)]
    subprocess.run([*command, "-singlefile", path, picture], check=True)
    data = picture.with_suffix(".pgm").read_bytes()
    kind, width, height, most, dots = data.split(maxsplit=4)
    assert (kind, most) == (b"P5", b"255")
    return int(width), int(height), dots


@pytest.mark.parametrize(("name", "words", "title"), [(n, *told) for n, told in VERDICTS.items()])
def test_page_one_has_verdict_title_drive_owner_and_bytes(
    name: str, words: str, title: str, tmp_path: Path
) -> None:
    made = certify(factory.EVIDENCE[name]())
    path = printed(made, tmp_path)
    first = " ".join(pdf_text(path, 1, 1).split())
    for wanted in (
        words,
        title,
        "S6EPNX0T123456",
        "SAMSUNG MZ7L33T8HBLT",
        "naa.5002538f12345678",
        words_of.both(made.transcript.evidence.plan.size_bytes),
        "AT-0099123",
        "Example Recycling B.V.",
        "Müller & Söhne GmbH",
        "LOT-2026-0417",
        "WO-88123",
        "op-117",
        "Required",
        "Reached",
        "Signature",
        "What to do next",
        "This page is a view. The signed record is authoritative",
        "page 1 of 4",
    ):
        assert wanted in first, wanted
    assert "Annex for the engineer" not in first
    assert "Annex for the engineer" in pdf_text(path, 2, 2)


def test_a_sample_tells_its_bounds_in_bytes_on_page_one(tmp_path: Path) -> None:
    first = pdf_text(printed(certify(factory.sampled_evidence()), tmp_path), 1, 1)
    for wanted in ("22.6 kB", "22,528 bytes", "4.81 GB", "4,800,946,176 bytes", "at most 1 %"):
        assert wanted in first


def test_digest_key_and_command_can_be_copied_from_page_one(tmp_path: Path) -> None:
    made = certify()
    first = pdf_text(printed(made, tmp_path), 1, 1)
    assert hashlib.sha256(made.payload).hexdigest() in first
    assert made.station.public_key.key_id in first
    assert f"nullbay cert verify {made.transcript.evidence.job_id}.sigstore.json --trust" in first


def test_every_page_is_numbered_and_names_the_record(tmp_path: Path) -> None:
    path = printed(extreme(), tmp_path)
    number = pages(path)
    assert number > 5
    for page in range(1, number + 1):
        text = pdf_text(path, page, page)
        assert f"page {page} of {number}" in text
        assert "urn:uuid:0193500c-7b5e-7c1e-9d2f-0a1b2c3d4e5f" in text


def test_it_is_tagged_a4_without_scripts_and_titled(tmp_path: Path) -> None:
    facts = pdf_facts(printed(certify(), tmp_path))
    assert facts["Title"].startswith("Certificate of sanitization: SAMSUNG MZ7L33T8HBLT")
    assert facts["Page size"].endswith("(A4)")
    assert (facts["JavaScript"], facts["Form"], facts["Encrypted"]) == ("no", "none", "no")
    assert facts["Tagged"] == "yes"


def test_it_says_it_is_pdf_a_3b_and_why_the_file_is_attached() -> None:
    document = pdf.render(certify().bundle)
    assert b"<pdfaid:part>3</pdfaid:part>" in document
    assert b"<pdfaid:conformance>B</pdfaid:conformance>" in document
    assert b"/AFRelationship/Source" in document


def test_the_very_bundle_comes_out_again(tmp_path: Path) -> None:
    made = certify()
    path = printed(made, tmp_path)
    listed = subprocess.run(
        ["pdfdetach", "-list", path], check=True, capture_output=True, text=True
    ).stdout
    assert listed.splitlines() == ["1 embedded files", "1: certificate.sigstore.json"]
    out = tmp_path / "out.json"
    subprocess.run(["pdfdetach", "-save", "1", "-o", out, path], check=True)
    assert out.read_bytes() == made.bundle


def test_a_bundle_of_another_spelling_comes_out_as_it_went_in(tmp_path: Path) -> None:
    spelled = json.dumps(json.loads(certify().bundle) | {"extra": "é\u202e"}, indent=3) + "\r\n"
    data = spelled.encode()
    path = tmp_path / "record.pdf"
    path.write_bytes(pdf.render(data))
    out = tmp_path / "out.json"
    subprocess.run(["pdfdetach", "-save", "1", "-o", out, path], check=True)
    assert out.read_bytes() == data


@pytest.mark.parametrize("name", VERDICTS)
def test_a_scanner_reads_the_code_off_the_page(name: str, tmp_path: Path) -> None:
    made = certify(factory.EVIDENCE[name]())
    width, height, dots = raster(printed(made, tmp_path), tmp_path, 150)
    (found,) = zxingcpp.read_barcodes(memoryview(dots).cast("B", (height, width)))
    result = made.conclusion.verdict
    digest = hashlib.sha256(made.payload).hexdigest()
    serial = hashlib.sha256(made.transcript.evidence.identity.serial.raw).hexdigest()
    assert found.text == f"nullbay:1:{result}:{digest}:{serial}"


def test_the_code_can_be_checked_with_jq_and_coreutils(tmp_path: Path) -> None:
    """The commands of docs/certificate-pdf.md, on the attached bundle."""
    made = certify()
    (tmp_path / "certificate.sigstore.json").write_bytes(made.bundle)
    page = Path(__file__).parents[2] / "docs" / "certificate-pdf.md"
    (block,) = (
        part.split("```")[0]
        for part in page.read_text("utf-8").split("```sh\n")[1:]
        if "nullbay:1:" in part.split("```")[0]
    )
    done = subprocess.run(
        ["bash", "-euc", block], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    text = pdf_text(printed(made, tmp_path))
    assert done.stdout.strip().startswith("nullbay:1:SANITIZED:")
    assert done.stdout.strip() in joined(text)


def test_simulated_stands_on_every_page_and_only_there(tmp_path: Path) -> None:
    path = printed(simulated(), tmp_path)
    for page in range(1, pages(path) + 1):
        assert "SIMULATED" in pdf_text(path, page, page)
    assert "Nothing real was sanitized" in pdf_text(path, 1, 1)
    assert "SIMULATED" not in pdf_text(printed(certify(), tmp_path))


def test_the_watermark_can_be_seen_across_every_page(tmp_path: Path) -> None:
    path = printed(simulated(), tmp_path)
    for page in range(1, pages(path) + 1):
        width, height, dots = raster(path, tmp_path, 40, page)
        tinted = dots.count(bytes([230])) + dots.count(bytes([229]))
        assert tinted > width * height // 50
    width, height, dots = raster(printed(certify(), tmp_path), tmp_path, 40)
    assert dots.count(bytes([230])) + dots.count(bytes([229])) < width * height // 100


def test_the_signs_of_the_four_verdicts_differ_in_grey(tmp_path: Path) -> None:
    """Shape and ground, not colour: the verdict's corner of the page, as a grey printer has it."""
    corners = []
    for name in VERDICTS:
        width, _, dots = raster(printed(certify(factory.EVIDENCE[name]()), tmp_path), tmp_path, 40)
        # Left third of the card: 21 to 48 mm from the left, 30 to 55 mm from the top.
        rows = range(round(30 / 25.4 * 40), round(55 / 25.4 * 40))
        left, right = round(22 / 25.4 * 40), round(45 / 25.4 * 40)
        corners.append([dots[row * width + left : row * width + right] for row in rows])
    for one in range(4):
        for other in range(one):
            differing = sum(
                abs(a - b) > 60
                for mine, theirs in zip(corners[one], corners[other], strict=True)
                for a, b in zip(mine, theirs, strict=True)
            )
            assert differing > 50, (one, other)


def test_markup_is_printed_as_it_stands(tmp_path: Path) -> None:
    made = hostile(HOSTILE["markup"])
    path = printed(made, tmp_path)
    assert pages(path) <= 8
    read = joined(pdf_text(path))
    assert joined(MARKUP[:40]) in read
    width, height, dots = raster(path, tmp_path, 30)
    assert dots[5 * width + 5] == 255, "the page is white, not filled"
    assert (width, height) == (249, 351)


@pytest.mark.parametrize("name", ["escapes", "reordering", "foreign"])
def test_what_would_act_on_a_reader_is_spelled_out(name: str, tmp_path: Path) -> None:
    text = pdf_text(printed(hostile(HOSTILE[name]), tmp_path))
    controls = {one for one in text if ord(one) < 32} - set("\n\f")
    assert not controls
    assert not set("\u202e\u202c\u2066\u2069\u200f\u009b\u200b") & set(text)


def test_two_hundred_characters_stay_inside_the_page(tmp_path: Path) -> None:
    """Nothing is drawn in the margins, and the annex has all of it."""
    path = printed(hostile(HOSTILE["long"]), tmp_path)
    width, height, dots = raster(path, tmp_path, 50)
    margin = round(15 / 25.4 * 50)
    for row in range(height):
        line = dots[row * width : (row + 1) * width]
        assert set(line[:margin]) == {255}
        assert set(line[-margin:]) == {255}
    assert "W" * 200 in joined(pdf_text(path, 2))


def test_page_one_is_one_page_whatever_it_holds(tmp_path: Path) -> None:
    path = printed(extreme(), tmp_path)
    first = pdf_text(path, 1, 1)
    assert "NOT SANITIZED" in first
    assert "Check it yourself" in first
    assert "Signature" in first
    assert pdf_text(path, 2, 2).find("Annex for the engineer") >= 0


def test_a_thousand_sessions_of_a_restless_drive_end(tmp_path: Path) -> None:
    """Long lists are cut: a record of any length is some tens of pages."""

    def restless(said: dict[str, list[object]]) -> None:
        said["sessions"] = said["sessions"] * 5000

    path = tmp_path / "record.pdf"
    path.write_bytes(pdf.render(rewritten(certify(), restless)))
    assert pages(path) < 40
    assert "4,600 more rows in the signed record." in pdf_text(path)
