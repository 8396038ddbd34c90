"""The OpenAPI 3.1 document of a table of routes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from nullbay.web import problems
from nullbay.web.bodies import FormBody, JsonBody, RawBody, StreamBody
from nullbay.web.problems import Problem
from nullbay.web.routes import (
    EventAnswer,
    JsonAnswer,
    NoAnswer,
    PageAnswer,
    RawAnswer,
    Route,
)
from nullbay.web.shapes import Schemas, hints_of
from nullbay.web.sse import MEDIA_TYPE as EVENTS

_ALWAYS = ("input.malformed", "http.wrong-host", "internal")
_CLOSED = ("http.unauthenticated", "http.forbidden")
_WITH_BODY = (
    "input.too-large",
    "http.media-type",
    "http.timeout",
    "http.foreign-origin",
    "http.csrf",
)


def openapi(
    routes: Iterable[Route],
    *,
    title: str,
    version: str,
    statuses: Mapping[str, int] = MappingProxyType({}),
    cookie: str = "nullbay_session",
) -> dict[str, Any]:
    """The document; pages are left out. Schemas say exactly what the codec writes and reads."""
    schemas = Schemas()
    known = dict(problems.STATUSES) | dict(statuses)
    paths: dict[str, Any] = {}
    for route in routes:
        if not isinstance(route.answer, PageAnswer):
            place = paths.setdefault(route.path, {})
            place[route.method.lower()] = _operation(route, schemas, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": cookie},
            },
        },
    }


def _operation(route: Route, schemas: Schemas, known: Mapping[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "parameters": _parameters(route, schemas),
        "responses": _responses(route, schemas, known),
        "security": [] if route.access.is_anonymous else [{"bearer": []}, {"session": []}],
    }
    if not route.access.is_anonymous:
        made["x-roles"] = sorted(route.access.roles)
    if route.body is not None:
        made["requestBody"] = {"required": True, "content": _body(route, schemas)}
    return made


def _operation_id(route: Route) -> str:
    words = [part.strip("{}") for part in route.path.split("/") if part]
    return "-".join([route.method.lower(), *words])


def _parameters(route: Route, schemas: Schemas) -> list[dict[str, Any]]:
    if route.params is None:
        return []
    hints = hints_of(route.params)
    made = []
    for field in dataclasses.fields(route.params):
        is_path = field.name in route.path_names
        schema = schemas.of(hints[field.name])
        options = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
        made.append(
            {
                "name": field.name,
                "in": "path" if is_path else "query",
                "required": is_path or field.default is dataclasses.MISSING,
                "schema": options[0] if len(options) == 1 else schema,
            }
        )
    return made


def _body(route: Route, schemas: Schemas) -> dict[str, Any]:
    match route.body:
        case JsonBody(wanted):
            return {"application/json": {"schema": schemas.of(wanted)}}
        case RawBody(media_types) | StreamBody(media_types):
            return {
                name: {"schema": {"type": "string", "format": "binary"}} for name in media_types
            }
        case FormBody() | None:
            return {}


def _responses(route: Route, schemas: Schemas, known: Mapping[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        str(status): {"description": HTTPStatus(status).phrase, **_content(route, schemas)}
        for status in route.statuses
    }
    codes = [*_ALWAYS, *route.errors]
    codes += [] if route.access.is_anonymous else _CLOSED
    codes += _WITH_BODY if route.body is not None else ()
    codes += () if route.method == "GET" else ("http.foreign-origin", "http.csrf")
    codes += ("http.busy",) if isinstance(route.answer, EventAnswer) else ()
    for code in sorted(set(codes)):
        held = made.setdefault(
            str(known[code]),
            {
                "description": HTTPStatus(known[code]).phrase,
                "content": {problems.MEDIA_TYPE: {"schema": schemas.of(Problem)}},
                "x-codes": [],
            },
        )
        held["x-codes"].append(code)
    return dict(sorted(made.items()))


def _content(route: Route, schemas: Schemas) -> dict[str, Any]:
    match route.answer:
        case JsonAnswer(hint):
            return {"content": {"application/json": {"schema": schemas.of(hint)}}}
        case RawAnswer(media_types):
            return {
                "content": {
                    name: {"schema": {"type": "string", "format": "binary"}} for name in media_types
                }
            }
        case EventAnswer(hint):
            schema = {
                "type": "string",
                "description": "server-sent events; data as below",
                "x-data": schemas.of(hint),
            }
            return {"content": {EVENTS: {"schema": schema}}}
        case PageAnswer() | NoAnswer():
            return {}
