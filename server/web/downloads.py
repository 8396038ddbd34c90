"""The files of a record, and CSV: sent as downloads, never shown by the browser itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from nullbay.server import export
from nullbay.web.routes import Ask

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
RECEIPT_TYPE = "application/json"
EVIDENCE_TYPE = "application/zstd"
PDF_TYPE = "application/pdf"


def attachment(name: str) -> dict[str, str]:
    """Headers that make it a file of that name; the name is one of ours, in ASCII."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def file(data: bytes, media_type: str, name: str) -> web.Response:
    """Bytes as a download."""
    return web.Response(body=data, content_type=media_type, headers=attachment(name))


def from_disk(path: Path, media_type: str, name: str) -> web.FileResponse:
    """A file of ours as a download, ranges among it."""
    return web.FileResponse(path, headers={"Content-Type": media_type, **attachment(name)})


async def stream(
    ask: Ask[Any, Any], name: str, pieces: AsyncIterator[bytes], media_type: str
) -> web.StreamResponse:
    """A download that grows while it is sent.

    The first piece is made before anything is sent, so that a failure is still told as one; later
    ones cut the connection, and no browser takes a cut download for a whole one.
    """
    first = await anext(pieces, b"")
    response = web.StreamResponse(headers={"Content-Type": media_type, **attachment(name)})
    response.enable_chunked_encoding()
    await response.prepare(ask.request)
    await response.write(first)
    async for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


CSV_TYPE = f"{export.CONTENT_TYPE}; charset=utf-8; header=present"
