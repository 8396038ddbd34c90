from __future__ import annotations

import re

from nullbay.agent.intake.codes import CODES
from support.tree import TOP

LITERAL = re.compile(r'"((?:scan|removal|lot|manifest|person)\.[a-z-]+)"')


def test_every_code_that_the_intake_gives_is_explained_and_no_other() -> None:
    """`removal.<what>-differs` is put together; its three words are those of decide_removal."""
    given = {f"removal.{what}-differs" for what in ("serial", "bay", "verdict")}
    for file in (TOP / "agent" / "intake").glob("*.py"):
        if file.name != "codes.py":
            given |= set(LITERAL.findall(file.read_text()))
    assert given == set(CODES)
    assert all(text.strip() for text in CODES.values())
