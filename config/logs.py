"""The log of the agent and the centre: structlog in front, the standard library's handler behind.

`logs.get("agent.station").info("drive.arrived", bay="A1")` and a message of aiohttp leave by the
same formatter, with the same fields. Events are names with dots, for those who count them; what
changes stands in fields. `with logs.about(job=…, bay=…):` binds fields for everything inside,
tasks begun there included. wipers/ takes `logging` and `domain.logline` instead.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

from nullbay.config import stdlog
from nullbay.domain.logline import about, fields

__all__ = ["about", "configure", "get"]


def configure(
    *,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Once per process, before anything is logged."""
    stdlog.configure(level=level, stream=stream, environ=environ)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _to_standard],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> FilteringBoundLogger:
    """The logger of a part, `nullbay.<name>`."""
    logger: FilteringBoundLogger = structlog.get_logger(f"nullbay.{name}")
    return logger


def _to_standard(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[object, ...], dict[str, Any]]:
    """As arguments of a standard logger; `fields` takes names that a record has itself, too."""
    given = dict(event)
    told = given.pop("event", "")
    exc_info = given.pop("exc_info", None)
    return ("%s", told), {"exc_info": exc_info, "extra": fields(**given)}
