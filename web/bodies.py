"""Bodies from outside: capped before they are read, read strictly, typed before anybody sees them.

A route says which kind it takes. JSON and forms become frozen dataclasses (unknown, missing and
repeated keys refused, bounds of `web.shapes` checked); `RawBody` is the bytes as they came;
`StreamBody` is left unread for the handler, which takes it through `chunks`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, ClientError, MultipartReader, web

from nullbay.domain.clock import Clock
from nullbay.domain.codec import from_plain
from nullbay.domain.errors import MalformedError, TooLargeError
from nullbay.web.problems import MediaTypeError, SlowBodyError
from nullbay.web.shapes import hints_of, within

JSON_MAX_BYTES = 64 * 1024
FORM_FIELDS_MAX = 600
FILE_NAME_MAX = 128
READ_TIMEOUT_S = 60.0
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class JsonBody:
    """`application/json`, read by the domain's codec into a value of `type`."""

    type: type
    max_bytes: int = JSON_MAX_BYTES


@dataclass(frozen=True, slots=True)
class FormBody:
    """A page's form, read into a dataclass of strings, tuples of strings and UploadedFile."""

    type: type
    max_bytes: int = JSON_MAX_BYTES


@dataclass(frozen=True, slots=True)
class RawBody:
    """The bytes as they came."""

    media_types: tuple[str, ...]
    max_bytes: int


@dataclass(frozen=True, slots=True)
class StreamBody:
    """Bytes that are too many to hold; the handler takes them from `chunks`."""

    media_types: tuple[str, ...]
    max_bytes: int


BodyKind = JsonBody | FormBody | RawBody | StreamBody


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of a form. `name` is what the browser said; never a path to write to."""

    name: str
    data: bytes


async def read_body(request: web.Request, kind: BodyKind | None, clock: Clock) -> Any:
    """The body of a request as its route wants it; None where none is taken or it is streamed.

    Raises MediaTypeError, TooLargeError, MalformedError, SlowBodyError.
    """
    if kind is None:
        if request.content_length or request.headers.get("Transfer-Encoding"):
            raise MalformedError("No body is taken here")
        return None
    _require_media_type(request, kind)
    _require_length(request, kind.max_bytes)
    if isinstance(kind, StreamBody):
        return None
    try:
        async with clock.timeout(READ_TIMEOUT_S):
            if isinstance(kind, FormBody) and request.content_type == MULTIPART:
                return await _multipart(request, kind)
            data = await _read(request, kind.max_bytes)
    except TimeoutError:
        raise SlowBodyError("The body did not arrive in time", next_step="Send it again") from None
    match kind:
        case JsonBody(wanted):
            value: Any = from_plain(wanted, strict_json(data))
            within(wanted, value)
            return value
        case FormBody(wanted):
            return _form(wanted, _pairs(data))
        case RawBody():
            return data


async def chunks(request: web.Request, kind: StreamBody, clock: Clock) -> AsyncIterator[bytes]:
    """A streamed body, piece by piece, never more than its cap.

    Raises TooLargeError in the middle, SlowBodyError where a piece takes longer than allowed, and
    MalformedError where the connection broke off.
    """
    taken = 0
    while True:
        try:
            async with clock.timeout(READ_TIMEOUT_S):
                piece = await request.content.readany()
        except TimeoutError:
            raise SlowBodyError("The body stopped arriving") from None
        except (ClientError, OSError, web.RequestPayloadError):
            raise MalformedError("The body broke off") from None
        if not piece:
            return
        taken += len(piece)
        if taken > kind.max_bytes:
            raise _too_large(kind.max_bytes)
        yield piece


def strict_json(data: bytes) -> Any:
    """A plain JSON value read so that every reader would read the same.

    Raises MalformedError for repeated keys, fractions, NaN, bad UTF-8 and deep nesting.
    """
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_no_fraction,
            parse_constant=_no_fraction,
        )
    except _RefusedError as error:
        raise MalformedError(f"The body: {error}") from None
    except (ValueError, RecursionError):
        raise MalformedError("The body is no JSON in UTF-8") from None


class _RefusedError(ValueError):
    """A construct that readers disagree on."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _RefusedError("a key stands twice in one object")
    return made


def _no_fraction(_text: str) -> NoReturn:
    raise _RefusedError("only whole numbers are taken")


def _require_media_type(request: web.Request, kind: BodyKind) -> None:
    match kind:
        case JsonBody():
            taken: tuple[str, ...] = ("application/json",)
        case FormBody():
            taken = (FORM, MULTIPART)
        case RawBody(media_types) | StreamBody(media_types):
            taken = media_types
    if "Content-Type" not in request.headers or request.content_type not in taken:
        raise MediaTypeError(
            "A body of another type was expected", next_step=f"Send it as {' or '.join(taken)}"
        )
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise MediaTypeError("An encoded body is not taken here", next_step="Send it as it is")


def _require_length(request: web.Request, cap: int) -> None:
    if request.content_length is not None and request.content_length > cap:
        raise _too_large(cap)


def _too_large(cap: int) -> TooLargeError:
    return TooLargeError(f"More than {cap} bytes were sent", next_step="Send less at once")


async def _read(request: web.Request, cap: int) -> bytes:
    held = bytearray()
    try:
        while piece := await request.content.readany():
            held += piece
            if len(held) > cap:
                raise _too_large(cap)
    except (ClientError, OSError, web.RequestPayloadError):
        raise MalformedError("The body broke off") from None
    return bytes(held)


def _pairs(data: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            data.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(data),
            errors="strict",
            max_num_fields=FORM_FIELDS_MAX,
        )
    except ValueError:
        raise MalformedError("The form could not be read") from None


def _form(wanted: type, given: list[tuple[str, Any]]) -> Any:
    """A dataclass from a form: a field without a default must be there, a tuple may repeat."""
    hints = hints_of(wanted)
    values: dict[str, Any] = {}
    for name, value in given:
        if name not in hints:
            raise MalformedError("The form holds a field that is not known here")
        if _is_many(hints[name]):
            values[name] = (*values.get(name, ()), value)
        elif name in values:
            raise MalformedError(f"The form holds {name} twice")
        else:
            values[name] = value
    for field in dataclasses.fields(wanted):
        if field.name not in values and _is_many(hints[field.name]):
            values[field.name] = ()
        elif field.name not in values and field.default is dataclasses.MISSING:
            raise MalformedError(f"The form lacks {field.name}")
    for name, value in values.items():
        is_file = hints[name] is UploadedFile
        if is_file != isinstance(value, UploadedFile):
            raise MalformedError(f"The form's {name} is of the wrong kind")
        within(hints[name], value, name)
    try:
        return wanted(**values)
    except ValueError as error:
        raise MalformedError(f"The form: {error}"[:300]) from None


def _is_many(hint: Any) -> bool:
    inner = getattr(hint, "__origin__", hint)
    return inner is tuple or getattr(inner, "__origin__", None) is tuple


async def _multipart(request: web.Request, kind: FormBody) -> Any:
    given: list[tuple[str, Any]] = []
    left = kind.max_bytes
    try:
        reader = MultipartReader(request.headers, request.content)
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or len(given) >= FORM_FIELDS_MAX:
                raise MalformedError("The form could not be read")
            held = bytearray()
            while piece := await part.read_chunk(65536):
                held += piece
                if len(held) > left:
                    raise _too_large(kind.max_bytes)
            left -= len(held)
            given.append((part.name or "", _part(part.filename, bytes(held))))
    except (ClientError, OSError, ValueError, web.RequestPayloadError):
        raise MalformedError("The form could not be read") from None
    return _form(kind.type, given)


def _part(file_name: str | None, data: bytes) -> str | UploadedFile:
    if file_name is not None:
        return UploadedFile(file_name[:FILE_NAME_MAX], data)
    return data.decode("utf-8")
