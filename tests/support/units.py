"""The units as text: settings with their values, comments, and what each setting means here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from support.tree import TOP

FOLDER = TOP / "systemd"
AGENT, WIPERD, SERVER = (
    "nullbay-agent.service",
    "nullbay-wiperd.service",
    "nullbay-server.service",
)
ALL = (AGENT, WIPERD, SERVER)


@dataclass(frozen=True)
class Unit:
    """One unit file."""

    path: Path

    @classmethod
    def named(cls, name: str) -> Unit:
        return cls(FOLDER / name)

    @property
    def text(self) -> str:
        return self.path.read_text()

    def values(self, setting: str) -> list[str]:
        """Every value of a setting, in order."""
        lines = (line.partition("=") for line in self.text.splitlines() if line[:1].isalpha())
        return [value for name, _, value in lines if name == setting]

    def value(self, setting: str) -> str:
        """The only value; empty where the setting is not there."""
        found = self.values(setting)
        assert len(found) < 2, f"{setting} stands there {len(found)} times"
        return found[0] if found else ""

    def comments(self) -> str:
        """All comments as running text."""
        lines = [line[1:].strip() for line in self.text.splitlines() if line.startswith("#")]
        return " ".join(lines)
