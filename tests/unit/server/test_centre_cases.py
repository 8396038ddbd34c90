"""The centre on SQLite: every case of support/centre_cases.py."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.centre_lots import CASES, Where


@pytest.mark.parametrize("name", CASES)
def test_on_sqlite(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        await CASES[name](Where(tmp_path, "", monkeypatch))

    asyncio.run(run())
