"""A table of routes as an application: who gets in, what is read, what comes out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator

from nullbay.domain.codec import U64
from nullbay.domain.errors import NullbayError
from nullbay.domain.lot import DataCategory
from nullbay.web.bodies import FormBody, JsonBody, RawBody, StreamBody, UploadedFile, chunks
from nullbay.web.openapi import openapi
from nullbay.web.pages import see_other
from nullbay.web.routes import (
    Answer,
    Ask,
    EventAnswer,
    JsonAnswer,
    NoAnswer,
    PageAnswer,
    RawAnswer,
    Route,
    application,
)
from nullbay.web.security import ANYONE, CSRF_HEADER, Gate, only
from nullbay.web.sessions import Caller, FixedTokens, Sessions, token_sha256
from nullbay.web.shapes import Items, Number, Text
from nullbay.web.sse import Event, last_event_id
from support.web import HandClock, client, run, served

READ = "read-token"
WRITE = "write-token"


@dataclass(frozen=True, slots=True)
class Which:
    name: Annotated[str, Text(8, 1, "^[a-z]+$")]
    limit: Annotated[int, Number(1, 100)] = 10
    category: DataCategory | None = None


@dataclass(frozen=True, slots=True)
class Order:
    count: Annotated[int, Number(1, 9)]
    size_bytes: U64
    tags: Annotated[tuple[Annotated[str, Text(4)], ...], Items(2)]
    note: str | None


@dataclass(frozen=True, slots=True)
class Form:
    text: Annotated[str, Text(8)]
    file: UploadedFile
    plan: tuple[Annotated[str, Text(4)], ...] = ()


class OwnError(NullbayError):
    code = "own.refused"


async def show(ask: Ask[Which, None]) -> Order:
    return Order(ask.params.limit, 2**63, (ask.params.name[:4],), None)


async def order(ask: Ask[None, Order]) -> Answer:
    return Answer(ask.body, 201, {"Location": "/v1/orders/1"})


async def fail(ask: Ask[Which, None]) -> Order:
    if ask.params.name == "told":
        raise OwnError("It is refused", next_step="Do something else")
    raise RuntimeError("a secret of the inside")


async def take(ask: Ask[None, bytes]) -> Answer:
    return Answer(ask.body[::-1])


STREAM = StreamBody(("application/zstd",), 100_000)
CLOCK = HandClock()


async def stream(ask: Ask[None, None]) -> None:
    async for _ in chunks(ask.request, STREAM, CLOCK):
        pass


async def events(ask: Ask[None, None]) -> AsyncIterator[Event]:
    last = int(last_event_id(ask.request) or 0)

    async def source() -> AsyncIterator[Event]:
        for number in range(last + 1, last + 4):
            yield Event(str(number), "bay", f"line {number}\nsecond")

    return source()


async def enter(ask: Ask[None, None]) -> Any:
    response = see_other("/page")
    GATES[0].sign_in(ask.request, response, Caller("p-1", frozenset({"reader", "writer"}), "x"))
    return response


async def page(ask: Ask[None, None]) -> str:
    return f"<p>{ask.session.csrf if ask.session else ''}</p>"


async def form(ask: Ask[None, Form]) -> str:
    return f"{ask.body.text} {ask.body.file.data!r} {','.join(ask.body.plan)}"


GATES: list[Gate] = []
ROUTES = (
    Route("GET", "/open", "Anybody", ANYONE, page, PageAnswer()),
    Route("POST", "/enter", "Logs in", ANYONE, enter, PageAnswer(), statuses=(303,)),
    Route("GET", "/page", "A page", only("reader"), page, PageAnswer()),
    Route("POST", "/form", "A form", only("writer"), form, PageAnswer(), body=FormBody(Form, 4096)),
    Route("GET", "/v1/show/{name}", "Shows", only("reader"), show, JsonAnswer(Order), params=Which),
    Route(
        "POST",
        "/v1/orders",
        "Orders",
        only("writer"),
        order,
        JsonAnswer(Order),
        body=JsonBody(Order, 2048),
        statuses=(201,),
    ),
    Route(
        "GET",
        "/v1/fail/{name}",
        "Fails",
        only("reader"),
        fail,
        JsonAnswer(Order),
        params=Which,
        errors=("own.refused",),
    ),
    Route(
        "PUT",
        "/v1/raw",
        "Takes bytes",
        only("writer"),
        take,
        RawAnswer(("text/csv",)),
        body=RawBody(("text/csv",), 1000),
    ),
    Route("PUT", "/v1/stream", "Takes many", only("writer"), stream, NoAnswer(), body=STREAM),
    Route("GET", "/v1/events", "News", only("reader"), events, EventAnswer(Order)),
)
STATUSES = {"own.refused": 409}


@asynccontextmanager
async def site() -> AsyncIterator[tuple[aiohttp.ClientSession, str, Gate]]:
    known = FixedTokens(
        [
            (token_sha256(READ).hex(), Caller("r", frozenset({"reader"}), "bearer")),
            (token_sha256(WRITE).hex(), Caller("w", frozenset({"reader", "writer"}), "bearer")),
        ]
    )
    clock = HandClock()
    gate = Gate(clock, known, Sessions(clock), frozenset({"127.0.0.1", "localhost"}))
    GATES[:] = [gate]
    app = application(ROUTES, gate, statuses=STATUSES)
    async with served(app) as listener, client(listener.url) as session:
        yield session, listener.url, gate


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def ask(
    method: str, path: str, *, headers: Mapping[str, str] | None = None, data: Any = None
) -> tuple[int, dict[str, str], bytes]:
    async def main() -> tuple[int, dict[str, str], bytes]:
        async with site() as (session, _url, _gate):
            reply = await session.request(
                method, path, headers=headers, data=data, allow_redirects=False
            )
            return reply.status, dict(reply.headers), await reply.read()

    return run(main)


def code(body: bytes) -> str:
    told = json.loads(body)
    assert told["type"] == "urn:nullbay:problem:" + told["code"]
    assert told.keys() == {"type", "title", "status", "code", "detail", "next_step"}
    return str(told["code"])


ORDER: dict[str, Any] = {"count": 1, "size_bytes": "5", "tags": [], "note": None}


@pytest.mark.parametrize(
    ("headers", "status", "wanted"),
    [
        ({}, 401, "http.unauthenticated"),
        (bearer("wrong"), 401, "http.unauthenticated"),
        (bearer(""), 401, "http.unauthenticated"),
        ({"Authorization": "Basic cmVhZC10b2tlbg=="}, 401, "http.unauthenticated"),
        (bearer("x" * 600), 401, "http.unauthenticated"),
        (bearer(READ), 403, "http.forbidden"),
        ({**bearer(WRITE), "Host": "evil.example"}, 421, "http.wrong-host"),
        ({**bearer(WRITE), "Host": "127.0.0.1.evil.example"}, 421, "http.wrong-host"),
        ({**bearer(WRITE), "Host": "127.0.0.1:x"}, 421, "http.wrong-host"),
        ({**bearer(WRITE), "Origin": "http://evil.example"}, 403, "http.foreign-origin"),
        ({**bearer(WRITE), "Origin": "null"}, 403, "http.foreign-origin"),
    ],
)
def test_who_may_not(headers: dict[str, str], status: int, wanted: str) -> None:
    sent = {"Content-Type": "application/json", **headers}
    got, _, body = ask("POST", "/v1/orders", headers=sent, data=json.dumps(ORDER))
    assert (got, code(body)) == (status, wanted)


@pytest.mark.parametrize(
    ("body", "status", "wanted"),
    [
        (json.dumps(ORDER | {"more": 1}), 400, "input.malformed"),
        (json.dumps({"count": 1}), 400, "input.malformed"),
        (json.dumps(ORDER | {"count": "1"}), 400, "input.malformed"),
        (json.dumps(ORDER | {"count": 1.0}), 400, "input.malformed"),
        (json.dumps(ORDER | {"count": True}), 400, "input.malformed"),
        (json.dumps(ORDER | {"count": 10}), 400, "input.malformed"),
        (json.dumps(ORDER | {"size_bytes": 5}), 400, "input.malformed"),
        (json.dumps(ORDER | {"tags": ["a", "b", "c"]}), 400, "input.malformed"),
        (json.dumps(ORDER | {"tags": ["abcde"]}), 400, "input.malformed"),
        (json.dumps(ORDER | {"note": "\ud800"}), 400, "input.malformed"),
        ('{"count":1,"count":1,"size_bytes":"5","tags":[],"note":null}', 400, "input.malformed"),
        ("NaN", 400, "input.malformed"),
        ("[" * 2000, 400, "input.malformed"),
        ("1" * 2048, 400, "input.malformed"),
        (b"\xff\xfe", 400, "input.malformed"),
        ("", 400, "input.malformed"),
        ("x" * 2049, 413, "input.too-large"),
    ],
)
def test_bodies_that_are_refused(body: str | bytes, status: int, wanted: str) -> None:
    headers = {"Content-Type": "application/json", **bearer(WRITE)}
    got, _, told = ask("POST", "/v1/orders", headers=headers, data=body)
    assert (got, code(told)) == (status, wanted)


def test_a_body_without_length_is_cut_at_the_cap() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 1000

    headers = {"Content-Type": "application/json", **bearer(WRITE)}
    status, _, told = ask("POST", "/v1/orders", headers=headers, data=endless())
    assert (status, code(told)) == (413, "input.too-large")


def test_a_body_of_another_type_is_not_read() -> None:
    headers = {"Content-Type": "text/plain", **bearer(WRITE)}
    status, _, told = ask("POST", "/v1/orders", headers=headers, data=json.dumps(ORDER))
    assert (status, code(told)) == (415, "http.media-type")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/show/UPPER",
        "/v1/show/abcdefghi",
        "/v1/show/abc%0A",
        "/v1/show/abc?limit=0",
        "/v1/show/abc?limit=101",
        "/v1/show/abc?limit=1.0",
        "/v1/show/abc?limit=" + "9" * 50,
        "/v1/show/abc?limit=1&limit=2",
        "/v1/show/abc?other=1",
        "/v1/show/abc?category=none",
    ],
)
def test_parameters_that_are_refused(path: str) -> None:
    status, _, told = ask("GET", path, headers=bearer(READ))
    assert (status, code(told)) == (400, "input.malformed")


def test_answers_are_spelled_by_the_codec() -> None:
    status, headers, body = ask("GET", "/v1/show/abc?limit=3&category=low", headers=bearer(READ))
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "count": 3,
        "size_bytes": str(2**63),
        "tags": ["abc"],
        "note": None,
    }


def test_a_change_by_token_needs_no_origin() -> None:
    headers = {"Content-Type": "application/json", **bearer(WRITE)}
    status, got, body = ask("POST", "/v1/orders", headers=headers, data=json.dumps(ORDER))
    assert (status, got["Location"], json.loads(body)) == (201, "/v1/orders/1", ORDER)


def test_expected_errors_keep_their_words_and_others_lose_theirs() -> None:
    status, headers, body = ask("GET", "/v1/fail/told", headers=bearer(READ))
    assert (status, headers["Content-Type"]) == (409, "application/problem+json")
    assert code(body) == "own.refused"
    assert json.loads(body)["next_step"] == "Do something else"
    status, _, body = ask("GET", "/v1/fail/other", headers=bearer(READ))
    assert (status, code(body)) == (500, "internal")
    assert b"secret" not in body


def test_addresses_and_methods_nobody_knows_are_problems_too() -> None:
    status, _, body = ask("GET", "/v2/show")
    assert (status, code(body)) == (404, "http.not-found")
    status, headers, body = ask("DELETE", "/v1/orders")
    assert (status, code(body), headers["Allow"]) == (405, "http.method", "POST")


@pytest.mark.parametrize("path", ["/open", "/v1/nothing", "/v1/orders", "/v1/events"])
def test_every_answer_carries_the_strict_headers(path: str) -> None:
    _, headers, _ = ask("GET", path, headers=bearer(READ))
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "nullbay"


def test_raw_and_streamed_bodies() -> None:
    headers = {**bearer(WRITE), "Content-Type": "text/csv"}
    assert ask("PUT", "/v1/raw", headers=headers, data=b"abc")[2] == b"cba"
    assert ask("PUT", "/v1/raw", headers=headers, data=b"x" * 1001)[0] == 413
    headers = {**bearer(WRITE), "Content-Type": "application/zstd"}
    assert ask("PUT", "/v1/stream", headers=headers, data=b"x" * 99_999)[0] == 200
    assert ask("PUT", "/v1/stream", headers=headers, data=b"x" * 100_001)[0] == 413

    async def unknown_length() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 10_000

    assert ask("PUT", "/v1/stream", headers=headers, data=unknown_length())[0] == 413


def test_a_page_is_used_with_a_cookie_an_origin_and_a_token() -> None:
    async def main() -> None:
        async with site() as (session, url, _gate):
            own = {"Origin": url}

            async def change(**headers: str) -> tuple[int, bytes]:
                data = aiohttp.FormData({"text": "hello"})
                data.add_field("plan", "ab")
                data.add_field("plan", "cd")
                data.add_field("file", b"1,2", filename="a.csv")
                reply = await session.post("/form", data=data, headers=headers)
                return reply.status, await reply.read()

            assert (await session.post("/enter")).status == 403
            assert (await session.post("/enter", headers={"Origin": "http://x"})).status == 403
            reply = await session.post("/enter", headers=own, allow_redirects=False)
            cookie = reply.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            csrf = (await (await session.get("/page")).text()).strip("<p/>")
            assert code((await change())[1]) == "http.foreign-origin"
            assert code((await change(**own))[1]) == "http.csrf"
            assert code((await change(**own, **{CSRF_HEADER: "wrong"}))[1]) == "http.csrf"
            assert code((await change(Origin="http://x", **{CSRF_HEADER: csrf}))[1])
            status, body = await change(**own, **{CSRF_HEADER: csrf})
            assert (status, body) == (200, b"hello b'1,2' ab,cd")

    run(main)


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "hello"},
        {"text": "hello", "file": "no file"},
        {"text": "too long a text", "file": b"x"},
        {"text": "hello", "file": b"x", "more": "y"},
        {"text": "hello", "file": b"x" * 5000},
    ],
)
def test_forms_that_are_refused(fields: dict[str, Any]) -> None:
    data = aiohttp.FormData()
    for name, value in fields.items():
        data.add_field(name, value, filename="f" if isinstance(value, bytes) else None)
    status, _, _ = ask("POST", "/form", headers={**bearer(WRITE), "Origin": ""}, data=data)
    assert status == 403

    async def main() -> int:
        async with site() as (session, url, _gate):
            own = {**bearer(WRITE), "Origin": url}
            return (await session.post("/form", data=data, headers=own)).status

    data = aiohttp.FormData()
    for name, value in fields.items():
        data.add_field(name, value, filename="f" if isinstance(value, bytes) else None)
    assert run(main) in {400, 413}


def test_events_go_on_where_the_client_left() -> None:
    _, headers, body = ask("GET", "/v1/events", headers=bearer(READ))
    assert headers["Content-Type"] == "text/event-stream"
    assert body.decode().startswith(
        "retry: 2000\n\nid: 1\nevent: bay\ndata: line 1\ndata: second\n\nid: 2\n"
    )
    _, _, body = ask("GET", "/v1/events", headers={**bearer(READ), "Last-Event-ID": "7"})
    assert b"id: 8\n" in body
    assert b"id: 7\n" not in body
    status, _, _ = ask("GET", "/v1/events", headers={**bearer(READ), "Last-Event-ID": "a b"})
    assert status == 400


def test_the_document_says_what_the_codec_does() -> None:
    document = openapi(ROUTES, title="t", version="1", statuses=STATUSES)
    schema = document["components"]["schemas"]["Order"]
    check = Draft202012Validator(schema)
    assert check.is_valid(ORDER)
    assert not check.is_valid(ORDER | {"size_bytes": 5})
    assert not check.is_valid(ORDER | {"more": 5})
    assert "/page" not in document["paths"]
    assert "409" in document["paths"]["/v1/fail/{name}"]["get"]["responses"]
    assert document["paths"]["/v1/show/{name}"]["get"]["parameters"][0] == {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 8, "pattern": "^[a-z]+$"},
    }
    json.dumps(document)


def test_a_wrong_token_costs_time_and_the_right_one_none() -> None:
    async def main() -> None:
        async with site() as (session, _url, gate):
            assert isinstance(clock := gate.clock, HandClock)
            await asyncio.gather(
                *(session.get("/v1/show/abc", headers=bearer("wrong")) for _ in range(5))
            )
            assert clock.slept == [0.5] * 5
            assert (await session.get("/v1/show/abc", headers=bearer(READ))).status == 200
            assert clock.slept == [0.5] * 5

    run(main)
