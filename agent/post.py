"""The way to the centre over HTTP: one connection, capped answers, no redirects, no proxies."""

from __future__ import annotations

import asyncio
import io
import json
import re
import ssl
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import aiohttp

from nullbay.agent.outbox import Answer, UnreachableError
from nullbay.domain.clock import Clock

ANSWER_MAX_BYTES = 64 * 1024
DEADLINE_S = 120.0
SLOW_BYTES_PER_S = 50_000
CONNECT_S = 20.0
WANTED = "Nullbay-Wanted-Sequence"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


class HttpPost:
    """`agent.outbox.Post` with a bearer token. Used as a context manager."""

    def __init__(self, url: str, token: str, clock: Clock) -> None:
        """`url` is the centre's base address; https is checked against the system's authorities."""
        self._url, self._token, self._clock = url.rstrip("/"), token, clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Make the session."""
        tls = ssl.create_default_context() if self._url.startswith("https:") else True
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._token}"},
            connector=aiohttp.TCPConnector(limit=2, ssl=tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._session is not None:
            await self._session.close()

    async def put(self, path: str, body: bytes | Path) -> Answer:
        """PUT bytes or a file."""
        if isinstance(body, bytes):
            return await self._ask("PUT", path, io.BytesIO(body), "application/json", len(body))
        size = await asyncio.to_thread(lambda: body.stat().st_size)
        with await asyncio.to_thread(body.open, "rb") as file:
            return await self._ask("PUT", path, file, "application/zstd", size)

    async def has(self, path: str) -> bool:
        """HEAD."""
        return (await self._ask("HEAD", path, None, "", 0)).status == 200

    async def heartbeat(self, status: bytes) -> Answer:
        """POST the status."""
        data = io.BytesIO(status)
        return await self._ask("POST", "/v1/heartbeats", data, "application/json", len(status))

    async def _ask(
        self, method: str, path: str, data: IO[bytes] | None, kind: str, size: int
    ) -> Answer:
        deadline_s = DEADLINE_S + size / SLOW_BYTES_PER_S
        assert self._session is not None, "used outside its context"  # noqa: S101 - our own order of calls
        try:
            async with (
                self._clock.timeout(deadline_s),
                self._session.request(
                    method,
                    self._url + path,
                    data=data,
                    headers={"Content-Type": kind} if kind else {},
                    allow_redirects=False,
                ) as answer,
            ):
                body = b""
                async for chunk in answer.content.iter_chunked(8192):
                    body += chunk
                    if len(body) > ANSWER_MAX_BYTES:
                        raise UnreachableError("the centre's answer is too large to be one")
                wanted = answer.headers.get(WANTED, "")
                return Answer(
                    answer.status,
                    _code(answer.status, body),
                    body,
                    int(wanted) if _NUMBER.fullmatch(wanted) else None,
                )
        except TimeoutError:
            raise UnreachableError(f"no answer within {deadline_s:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}"[:200]) from None


def _code(status: int, body: bytes) -> str:
    """The code of an RFC 9457 problem, as far as the answer is one."""
    if status < 400:
        return ""
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    code = plain.get("code") if isinstance(plain, dict) else None
    return code[:64] if isinstance(code, str) else ""
