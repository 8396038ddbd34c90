"""Log lines as a reader of the journal gets them: fields, bindings, and what never stands there."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from nullbay.config import logs, stdlog
from nullbay.domain.logline import (
    DROPPED,
    ITEMS_MAX,
    TEXT_MAX,
    JsonFormatter,
    PeopleFormatter,
    about,
    clean,
    clean_text,
    fields,
    is_secret,
)

SECRET = "hunter2-4711"


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging belongs to the whole process; pytest's own handlers come back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def written(to: Callable[[], None], *, screen: bool = False) -> str:
    stream = Screen() if screen else io.StringIO()
    logs.configure(stream=stream, environ={})
    to()
    return stream.getvalue()


def fail(text: str) -> NoReturn:
    raise ValueError(text)


def line(to: Callable[[], None]) -> dict[str, Any]:
    (only,) = written(to).splitlines()
    return dict(json.loads(only))


def test_structlog_and_the_standard_library_write_the_same_line() -> None:
    one = line(lambda: logs.get("agent.station").warning("drive.late", bay="A1", seconds=3.5))
    other = line(
        lambda: logging.getLogger("nullbay.agent.station").warning(
            "drive.late", extra=fields(bay="A1", seconds=3.5)
        )
    )
    assert list(one) == ["schema", "at", "level", "logger", "event", "bay", "seconds"]
    assert one["at"].endswith("Z")
    assert one | {"at": ""} == other | {"at": ""}
    assert one | {"at": ""} == {
        "schema": "nullbay.log/1",
        "at": "",
        "level": "warning",
        "logger": "nullbay.agent.station",
        "event": "drive.late",
        "bay": "A1",
        "seconds": 3.5,
    }


def test_job_and_bay_are_bound_also_for_tasks_begun_inside_and_not_beyond() -> None:
    async def work() -> None:
        log = logs.get("agent.conduct")

        async def part(name: str) -> None:
            with about(bay=name):
                await asyncio.sleep(0)
                log.info("step")

        with logs.about(job="0190-a"):
            async with asyncio.TaskGroup() as group:
                group.create_task(part("A1"))
                group.create_task(part("B2"))
            logging.getLogger("aiohttp.server").error("of another package")
        log.info("after")

    told = [json.loads(one) for one in written(lambda: asyncio.run(work())).splitlines()]
    assert [(one["event"], one.get("job"), one.get("bay")) for one in told] == [
        ("step", "0190-a", "A1"),
        ("step", "0190-a", "B2"),
        ("of another package", "0190-a", None),
        ("after", None, None),
    ]


def test_fields_may_have_any_name_and_never_replace_what_the_line_says() -> None:
    told = line(
        lambda: logs.get("a").info("e", name="n", args=[1], level="debug", schema="x", msg="m")
    )
    assert (told["level"], told["schema"], told["event"]) == ("info", "nullbay.log/1", "e")
    assert (told["name"], told["args"], told["msg"]) == ("n", [1], "m")
    assert (told["field_level"], told["field_schema"]) == ("debug", "x")


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PIN",
        "psid",
        "token",
        "centre_token",
        "Authorization",
        "Set-Cookie",
        "job_key",
        "pattern_key",
        "private_key",
        "login_link",
        "data_in",
        "data_out",
        "database_url",
    ],
)
def test_secret_fields_are_dropped_at_any_depth(name: str) -> None:
    assert is_secret(name)
    text = json.dumps(line(lambda: logs.get("a").info("e", **{name: SECRET})))
    assert SECRET not in text
    deep = line(lambda: logs.get("a").info("e", given=[{"headers": {name: SECRET}}]))
    assert deep["given"] == [{"headers": {name: DROPPED}}]


@pytest.mark.parametrize(
    "name", ["job", "bay", "key_id", "key_name", "public_key", "serial", "lot"]
)
def test_what_is_no_secret_is_shown(name: str) -> None:
    assert line(lambda: logs.get("a").info("e", **{name: "shown"}))[name] == "shown"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"postgresql://nullbay:{SECRET}@db/nullbay",
        f"GET /login?token={SECRET}&next=/ HTTP/1.1",
        f"password={SECRET}",
        f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
    ],
)
def test_what_looks_like_a_secret_is_dropped_from_text(text: str) -> None:
    def say() -> None:
        logs.get("a").error(text, note=text)
        logging.getLogger("other").error("it said %s", text)
        try:
            fail(text)
        except ValueError:
            logging.getLogger("other").exception("failed")

    for screen in (False, True):
        told = written(say, screen=screen)
        assert SECRET not in told
        assert "ValueError" in told


def test_bytes_are_counted_and_unforeseen_objects_are_named_never_shown() -> None:
    class Sector:
        def __repr__(self) -> str:
            return "customer's bytes"

    class Kind(StrEnum):
        FLASH = "flash"

    told = line(
        lambda: logs.get("a").info(
            "e",
            read=b"customer's bytes",
            sector=Sector(),
            many=[Sector()],
            kind=Kind.FLASH,
            path=Path("/sys/x"),
            why=OSError(5, "I/O"),
        )
    )
    assert "customer" not in json.dumps(told)
    assert told["read"] == "[16 bytes]"
    assert told["sector"] == "[Sector]"
    assert (told["kind"], told["path"]) == ("flash", "/sys/x")
    assert told["why"] == "OSError: [Errno 5] I/O"


def test_a_trace_has_no_values_of_variables() -> None:
    def crash() -> None:
        sector = SECRET
        try:
            fail(f"{len(sector)} read")
        except ValueError:
            logs.get("a").exception("job.crashed")

    told = line(crash)
    assert "ValueError: 12 read" in told["trace"]
    assert SECRET not in json.dumps(told)


def test_size_is_bounded() -> None:
    nested: list[Any] = []
    for _ in range(50):
        nested = [nested]
    told = clean({"text": "x" * 10**6, "items": list(range(10**5)), "nested": nested})
    assert len(str(told["text"])) == TEXT_MAX
    assert len(json.dumps(told)) < 2 * TEXT_MAX
    many = clean({str(number): number for number in range(1000)})
    assert len(many) == ITEMS_MAX + 1
    assert many["more"] == 900


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.text(), st.dictionaries(st.text(), JSON, max_size=5))
def test_whatever_is_logged_is_one_line_of_ascii(event: str, told: dict[str, Any]) -> None:
    record = logging.makeLogRecord(
        {"name": "nullbay.x", "msg": event, "levelno": 30, "levelname": "WARNING"}
    )
    record.fields = told
    text = JsonFormatter().format(record)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["event"] == clean_text(event)
    shown = PeopleFormatter().format(record)
    assert shown.isprintable()


def test_a_message_whose_arguments_do_not_fit_is_still_a_line() -> None:
    record = logging.makeLogRecord({"name": "x", "msg": "%d drives", "args": ("many",)})
    assert json.loads(JsonFormatter().format(record))["event"] == "%d drives"


def test_a_terminal_gets_words() -> None:
    told = written(lambda: logs.get("a").warning("drive.late", bay="A1\x1b[31m", n=3), screen=True)
    assert told.endswith(" warning  drive.late  bay=A1\\x1b[31m n=3\n")


def test_levels_and_other_packages_chatter() -> None:
    def say() -> None:
        logs.get("a").debug("not asked for")
        logging.getLogger("aiohttp.access").info("GET /login?token=x")
        warnings.warn("told as a line", UserWarning, stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        (only,) = written(say).splitlines()
    assert "told as a line" in json.loads(only)["event"]


def test_the_journal_gets_priorities_and_a_pipe_does_not(tmp_path: Path) -> None:
    code = (
        "import logging; from nullbay.config import stdlog; stdlog.configure()\n"
        "logging.getLogger('nullbay.x').error('a'); logging.getLogger('nullbay.x').info('b')\n"
        "import sys; assert 'structlog' not in sys.modules and 'pydantic' not in sys.modules"
    )
    out = tmp_path / "stderr"
    with out.open("wb") as file:
        status = os.fstat(file.fileno())
        for stream in (f"{status.st_dev}:{status.st_ino}", "1:2"):
            subprocess.run(
                [sys.executable, "-I", "-c", code],
                stderr=file,
                env={"JOURNAL_STREAM": stream},
                check=True,
            )
    lines = out.read_text().splitlines()
    assert [one.partition("{")[0] for one in lines] == ["<3>", "<6>", "", ""]


def test_configuring_twice_writes_once() -> None:
    stream = io.StringIO()
    stdlog.configure(stream=stream, environ={})
    logs.configure(stream=stream, environ={})
    logs.get("a").info("once")
    assert len(stream.getvalue().splitlines()) == 1
