"""The printed record: a PDF/A-3 made by typst from the signed statement, with the bundle attached.

A view. The bundle is authoritative, and stands inside as the associated file
`certificate.sigstore.json`. The same bundle gives the same bytes with the same typst: no clock, no
fonts of the machine, no file but the template. Text of drives and people reaches typst as data
(JSON in an input), never as markup. Page, token and checks: docs/certificate-pdf.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import segno
import typst

from nullbay.certs import bundle, statement
from nullbay.certs.dsse import base64_bytes
from nullbay.certs.keys import SPKI_MAX_BYTES
from nullbay.certs.pdf_annex import Signed
from nullbay.certs.pdf_view import view_of
from nullbay.certs.predicate import Predicate
from nullbay.domain.errors import MalformedError, NullbayError
from nullbay.domain.text import show

ATTACHMENT = "certificate.sigstore.json"
TOKEN_SCHEME = "nullbay:1"
STANDARD: Final = "a-3b"
_TEMPLATES = Path(__file__).with_name("templates")


class RenderError(NullbayError):
    """typst did not make a document of this record; the record itself is none the worse."""

    code = "pdf.not-rendered"


def render(bundle_bytes: bytes) -> bytes:
    """The PDF of a bundle, with the bundle's very bytes attached.

    Nothing is verified here: the page says what the statement says, and how to check it. Raises
    MalformedError (TooLargeError, UnknownSchemaError) for what is no certificate or contradicts
    itself, RenderError where typst fails.
    """
    file = bundle.read(bundle_bytes)
    if file.envelope.payload_type != statement.PAYLOAD_TYPE:
        raise MalformedError("the certificate's payload is not an in-toto statement")
    said = statement.read(file.envelope.payload)
    digest = hashlib.sha256(file.envelope.payload).hexdigest()
    text = token(said.predicate, digest)
    bench = base64_bytes(said.predicate.bench_key.spki, SPKI_MAX_BYTES, "the bench key")
    signed = Signed(digest, file.key_hint, hashlib.sha256(bench).hexdigest(), text)
    document = {"view": _plain(view_of(said, signed)), "token": text, "qr": qr_svg(text)}
    return _compiled(document, bundle_bytes)


def token(said: Predicate, statement_sha256: str) -> str:
    """The text in the QR code: what a label or page can be compared with, without a network.

    `nullbay:1:<result>:<SHA-256 of the statement>:<SHA-256 of the serial number's bytes, or ->`.
    """
    serial = bytes.fromhex(said.media.serial_hex)
    serial_sha256 = hashlib.sha256(serial).hexdigest() if serial else "-"
    return f"{TOKEN_SCHEME}:{said.result}:{statement_sha256}:{serial_sha256}"


def qr_svg(text: str) -> str:
    """The QR code (error correction M) as one SVG path, its quiet zone included."""
    made = io.BytesIO()
    segno.make(text, error="m", micro=False, boost_error=False).save(
        made, kind="svg", border=4, xmldecl=False, svgns=True, nl=False
    )
    return made.getvalue().decode("ascii")


def _plain(value: Any) -> Any:
    """Plain JSON values; blocks of the annex carry their kind."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
        kind = getattr(type(value), "kind", None)
        return plain if kind is None else {"kind": kind, **plain}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _compiled(document: dict[str, Any], attachment: bytes) -> bytes:
    try:
        made = typst.compile(
            _TEMPLATES / "certificate.typ",
            root=_TEMPLATES,
            font_paths=fonts(),
            ignore_system_fonts=True,
            format="pdf",
            pdf_standards=[STANDARD],
            sys_inputs={
                "document": json.dumps(document, ensure_ascii=False),
                "attachment-name": ATTACHMENT,
                "attachment": attachment.decode("utf-8"),
            },
        )
    except (typst.TypstError, ValueError) as error:
        raise RenderError(
            f"typst did not make a PDF: {show(str(error), 200)}",
            next_step="The signed certificate is valid without it; report this with the file",
        ) from None
    return made


@cache
def fonts() -> typst.Fonts:
    """Those beside this file and those inside typst, and no other."""
    return typst.Fonts(
        include_system_fonts=False,
        include_embedded_fonts=True,
        font_paths=[Path(__file__).with_name("fonts")],
    )
