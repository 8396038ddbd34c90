"""The PDF as a file: the same bytes for the same bundle, from our fonts alone, whatever it says."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import typst
from hypothesis import given, settings
from hypothesis import strategies as st

from nullbay.certs import bundle, pdf, pdf_words, statement
from nullbay.domain.errors import MalformedError, TooLargeError, UnknownSchemaError
from support import evidence_factory as factory
from support.evidence_factory import certify
from support.printed import HOSTILE, extreme, hostile, rewritten, simulated

GOOD = certify()
# typst brings these; certs/fonts holds the rest.
BUILT_IN = {
    "DejaVu Sans Mono",
    "Libertinus Serif",
    "New Computer Modern",
    "New Computer Modern Math",
}
RENDER = """
import hashlib, sys
from nullbay.certs import pdf
print(hashlib.sha256(pdf.render(sys.stdin.buffer.read())).hexdigest())
"""


def fonts_in(document: bytes) -> set[str]:
    found = re.findall(rb"/BaseFont/[A-Z]{6}\+([\w-]+)", document)
    return {name.decode().removesuffix("-Identity-H") for name in found}


@pytest.mark.parametrize("name", ["good", "excepted", "mismatched", "absent"])
def test_the_same_bundle_gives_the_same_bytes(name: str) -> None:
    made = certify(factory.EVIDENCE[name]())
    assert pdf.render(made.bundle) == pdf.render(made.bundle)


@pytest.mark.parametrize(
    "environment",
    [
        {"TZ": "Pacific/Kiritimati", "LC_ALL": "C"},
        {"SOURCE_DATE_EPOCH": "1", "TYPST_FONT_PATHS": "/usr/share/fonts", "LANG": "ar_EG.UTF-8"},
    ],
)
def test_neither_place_nor_time_nor_locale_is_in_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", RENDER],
        input=GOOD.bundle,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == hashlib.sha256(pdf.render(GOOD.bundle)).hexdigest()


def test_it_is_dated_by_the_statement_alone() -> None:
    document = pdf.render(GOOD.bundle)
    issued = statement.read(GOOD.payload).predicate.environment.clock.issued_at
    digits = re.sub(r"\D", "", issued[:19]).encode()
    dates = set(re.findall(rb"\(D:([0-9]{14})", document))
    assert dates == {digits}


def test_many_at_once_are_the_same_as_one_after_the_other() -> None:
    bundles = [certify(asset_tag=f"AT-{n}").bundle for n in range(6)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(pdf.render, bundles)) == [pdf.render(one) for one in bundles]


def test_only_fonts_shipped_here_or_inside_typst_are_offered() -> None:
    folder = Path(pdf.__file__).with_name("fonts")
    for font in pdf.fonts().fonts():
        if font.path is None:
            assert font.family in BUILT_IN
        else:
            assert Path(font.path).parent == folder
    assert typst.Fonts(include_system_fonts=False).families() != pdf.fonts().families()


@pytest.mark.parametrize(
    "made", [GOOD, extreme(), simulated()], ids=["good", "extreme", "simulated"]
)
def test_only_our_fonts_are_used(made: factory.Certified) -> None:
    assert fonts_in(pdf.render(made.bundle)) <= {
        "DejaVuSansMono",
        "DejaVuSansMono-Bold",
        "Inter-Regular",
        "Inter-SemiBold",
        "InterDisplay-Bold",
    }


def test_the_licence_of_the_fonts_is_beside_them() -> None:
    folder = Path(pdf.__file__).with_name("fonts")
    assert "SIL OPEN FONT LICENSE Version 1.1" in (folder / "OFL.txt").read_text("utf-8")
    for font in folder.glob("*.otf"):
        assert hashlib.sha256(font.read_bytes()).hexdigest() in (folder / "README.md").read_text()


def test_every_character_that_is_printed_as_it_is_has_a_glyph_in_every_font() -> None:
    """PDF/A-3 has no character without a glyph: typst refuses the document."""
    everything = "".join(sorted(pdf_words.DRAWABLE - {" "}))
    pieces = [everything[start : start + 40] for start in range(0, len(everything), 40)]
    for piece in pieces:

        def everywhere(said: dict[str, Any], text: str = piece) -> None:
            said["media"].update(assetTag=text, serial=text, model=text)
            said.update(organization=text)

        assert pdf.render(rewritten(GOOD, everywhere)).startswith(b"%PDF-1.7")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_of_drives_and_people_is_only_text(text: str) -> None:
    document = pdf.render(hostile(text).bundle)
    assert document.startswith(b"%PDF-1.7")
    assert fonts_in(document) <= fonts_in(pdf.render(extreme().bundle))


@settings(max_examples=15)
@given(
    texts=st.lists(st.text(max_size=200), min_size=5, max_size=5),
    numbers=st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=3),
)
def test_any_text_and_any_figure_renders(texts: list[str], numbers: list[int]) -> None:
    organization, tag, role, detail, serial = map(pdf_words.shown, texts)
    made = rewritten(
        certify(factory.mismatched_evidence()),
        lambda said: (
            said.update(organization=organization[:200]),
            said["media"].update(
                assetTag=tag[:200], serial=serial[:200], sizeBytes=str(numbers[0])
            ),
            said["people"][0].update(role=role[:200]),
            said["reasons"][0].update(detail=detail[:200]),
            said["verification"][0]["result"].update(
                mismatched=str(numbers[1]), readBytes=str(numbers[2])
            ),
        ),
    )
    assert pdf.render(made).startswith(b"%PDF-1.7")


def test_another_statement_gives_another_document() -> None:
    changed = rewritten(GOOD, lambda said: said["media"].update(assetTag="AT-0099124"))
    assert pdf.render(changed) != pdf.render(GOOD.bundle)


def test_the_token_names_result_statement_and_serial() -> None:
    said = statement.read(GOOD.payload).predicate
    digest = hashlib.sha256(GOOD.payload).hexdigest()
    serial = hashlib.sha256(b"S6EPNX0T123456").hexdigest()
    assert pdf.token(said, digest) == f"nullbay:1:SANITIZED:{digest}:{serial}"


def test_the_token_of_a_drive_without_a_serial_says_so() -> None:
    made = certify(factory.good_evidence(serial=""))
    said = statement.read(made.payload).predicate
    assert pdf.token(said, "0" * 64).endswith(f":{'0' * 64}:-")


def test_the_longest_token_still_fits_a_code_that_prints_well() -> None:
    longest = f"nullbay:1:SANITIZED_WITH_EXCEPTIONS:{'f' * 64}:{'f' * 64}"
    size = re.search(r'width="(\d+)"', pdf.qr_svg(longest))
    assert size is not None
    # Version 9: 53 squares and a quiet zone of 4 on each side; 0.47 mm a square on the page.
    assert int(size[1]) <= 61


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MalformedError),
        (b"%PDF-1.7", MalformedError),
        (b"{}", UnknownSchemaError),
        (b"[" * 100_000, MalformedError),
        (b" " * (bundle.BUNDLE_MAX_BYTES + 1), TooLargeError),
        (GOOD.bundle[:-1], MalformedError),
        (b"\xef\xbb\xbf" + GOOD.bundle, MalformedError),
        (GOOD.bundle.replace(b"in-toto+json", b"in-toto+xxxx"), MalformedError),
    ],
)
def test_what_is_no_certificate_makes_no_document(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        pdf.render(data)


def test_a_failing_typesetter_is_an_error_of_ours_with_a_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise typst.TypstError("no\x1b[31m way", "no way")

    monkeypatch.setattr(typst, "compile", fail)
    with pytest.raises(pdf.RenderError) as caught:
        pdf.render(GOOD.bundle)
    assert caught.value.code == "pdf.not-rendered"
    assert "\x1b" not in str(caught.value)
    assert caught.value.next_step
