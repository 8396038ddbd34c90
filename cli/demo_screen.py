"""The demo's live picture: one line a drive, redrawn on a terminal, told line by line elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from nullbay.cli import output
from nullbay.cli.progress import PHASES
from nullbay.domain.status import BayState, BayStatus

BAR_CELLS = 28
STORY_CHARACTERS = 52


@dataclass(slots=True)
class Line:
    """What is shown of one drive."""

    bay: str
    story: str
    state: str = "waiting"
    share: float = 0.0
    speed_bytes_per_s: int = 0
    done: bool = False
    colour: str = "36"


@dataclass(slots=True)
class Screen:
    """All lines. On a terminal they stay in place; elsewhere each change of state is one line."""

    lines: dict[str, Line] = field(default_factory=dict)
    drawn: int = 0

    def add(self, bay: str, story: str) -> None:
        """One more drive."""
        self.lines[bay] = Line(bay, story)

    def status(self, bay: str, shown: BayStatus) -> None:
        """How a bay stands."""
        line, work = self.lines[bay], shown.work
        if work is None:
            line.share, line.speed_bytes_per_s = 0.0, 0
            if shown.state is not BayState.EMPTY:
                self.state(bay, shown.state.value)
            return
        line.share = work.done_bytes / work.total_bytes if work.total_bytes else 1.0
        line.speed_bytes_per_s = work.bytes_per_s
        self.state(bay, PHASES.get(work.phase, work.phase))

    def state(self, bay: str, state: str, *, done: bool = False, colour: str = "36") -> None:
        """A drive changed state."""
        line = self.lines[bay]
        changed = line.state != state
        line.state, line.done, line.colour = state, done, colour
        if output.is_watched():
            self.draw()
        elif changed:
            output.note(f"{bay}  {line.story}: {state}")

    def draw(self) -> None:
        """Redraw everything in place."""
        if self.drawn:
            output.draw(f"\x1b[{self.drawn}A")
        for line in self.lines.values():
            output.draw("\x1b[K" + _words(line) + "\n")
        self.drawn = len(self.lines)


def _words(line: Line) -> str:
    story = line.story[:STORY_CHARACTERS].ljust(STORY_CHARACTERS)
    state = f"\x1b[{line.colour}m{line.state}\x1b[0m"
    if line.done or line.state == "waiting":
        return f" {line.bay}  {story}  {state}"
    bar = "█" * int(line.share * BAR_CELLS)
    return (
        f" {line.bay}  {story}  {bar.ljust(BAR_CELLS, '·')} {line.share:4.0%}"
        f" {line.speed_bytes_per_s / 1e6:4.0f} MB/s  {state}"
    )
