"""HTML without a build step: Jinja2 that escapes everything, and static files that never grow old.

A static file's address carries its digest: it is cached for a year, and a new file has a new
address. Nothing is inline, because the Content-Security-Policy allows nothing inline.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from nullbay.domain.clock import Stamp
from nullbay.web.problems import NotFoundError
from nullbay.web.routes import Ask, RawAnswer, Route
from nullbay.web.security import ANYONE
from nullbay.web.shapes import Text

DIGEST_CHARACTERS = 16
FOREVER = "public, max-age=31536000, immutable"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
HTML = "text/html"
SHARED_STATIC = Path(__file__).parent / "static"
"""What every room's pages may use: htmx."""


def shown_bytes(count: int) -> str:
    """Decimal units, as drives are sold: 500 GB, 1.92 TB; never rounded up to a bigger drive."""
    size, unit = count, 0
    divisor = 1
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit, divisor = size // 1000, unit + 1, divisor * 1000
    digits = 0 if size >= 100 or unit == 0 else 1 if size >= 10 else 2
    scaled = count * 10**digits // divisor
    text = f"{scaled / 10**digits:.{digits}f}"
    if digits:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {_UNITS[unit]}"


def shown_rate(bytes_per_s: int) -> str:
    """Megabytes a second below ten gigabytes."""
    return f"{bytes_per_s // 1_000_000} MB/s" if bytes_per_s >= 1_000_000 else "under 1 MB/s"


def shown_duration(seconds: int) -> str:
    """Two units at most: 45 s, 12 min, 3 h 05, 2 d 4 h."""
    if seconds < 60:
        return f"{seconds} s"
    minutes = (seconds + 30) // 60
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d}"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def shown_stamp(stamp: Stamp | None) -> str:
    """Date and time to the second, UTC; a dash where there is none."""
    return f"{stamp.at[:10]} {stamp.at[11:19]} UTC" if stamp else "–"


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    media_type: str
    digest: str


@dataclass(frozen=True, slots=True)
class StaticParams:
    """Which file, and which state of it."""

    digest: Annotated[str, Text(64)]
    name: Annotated[str, Text(128)]


class Static:
    """The static files of a folder (and what stands beside it), read once."""

    def __init__(self, *folders: Path, prefix: str = "/static") -> None:
        self._prefix = prefix
        self._files = {
            path.name: _file(path)
            for folder in folders
            for path in sorted(folder.iterdir())
            if path.is_file()
        }

    def url(self, name: str) -> str:
        """The address of a file, digest and all. Raises KeyError for one that is not there."""
        return f"{self._prefix}/{self._files[name].digest}/{name}"

    def route(self) -> Route:
        """Serves them, to anybody: the login page needs its style."""

        async def static(ask: Ask[StaticParams, None]) -> web.Response:
            file = self._files.get(ask.params.name)
            if file is None or file.digest != ask.params.digest:
                raise NotFoundError("No such file")
            charset = "utf-8" if file.media_type.startswith("text/") else None
            return web.Response(
                body=file.data,
                content_type=file.media_type,
                charset=charset,
                headers={"Cache-Control": FOREVER},
            )

        return Route(
            "GET",
            self._prefix + "/{digest}/{name}",
            "A file of the pages",
            ANYONE,
            static,
            RawAnswer(("application/octet-stream",)),
            params=StaticParams,
            errors=(NotFoundError.code,),
            is_use=False,
        )


class Pages:
    """The templates of a room; `show` renders one."""

    def __init__(self, folder: Path, static: Static, **filters: Callable[..., Any]) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "bytes": shown_bytes,
            "rate": shown_rate,
            "duration": shown_duration,
            "stamp": shown_stamp,
            **filters,
        }
        self._environment.globals["static"] = static.url

    def show(self, template: str, /, **values: Any) -> str:
        """The page as text. A name that a template uses and nobody gave is an error, not a gap."""
        return self._environment.get_template(template).render(values)


def html(text: str, status: int = 200) -> web.Response:
    """A page as a response."""
    return web.Response(text=text, status=status, content_type=HTML, charset="utf-8")


def see_other(location: str) -> web.Response:
    """Go on there with GET; `location` is a path of ours."""
    return web.Response(status=303, headers={"Location": location})


def own_path(text: str) -> str:
    """A path of this site to return to after login; anything else becomes `/`."""
    is_own = text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if is_own and text.isprintable() and text.isascii() and "\\" not in text else "/"


def _file(path: Path) -> _File:
    data = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _File(data, media_type, hashlib.sha256(data).hexdigest()[:DIGEST_CHARACTERS])
