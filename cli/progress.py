"""Progress of one drive: a line that redraws on a terminal, few lines elsewhere, or NDJSON."""

from __future__ import annotations

from nullbay.cli import output
from nullbay.wipers import protocol as p

PLAIN_EVERY = 40
BAR_CELLS = 24
PHASES = {
    "resume": "reading back",
    "write": "writing",
    "verify": "verifying",
    "recheck": "reading again",
}


class Progress:
    """Takes every message of a drive process; shows those that a person wants."""

    def __init__(self, *, as_json: bool) -> None:
        """`as_json` puts objects on standard output, words stay on standard error."""
        self._as_json, self._count, self._open_line = as_json, 0, False

    def take(self, message: p.FromDrive) -> None:
        """Show it."""
        match message:
            case p.Progress():
                self._count += 1
                if self._as_json:
                    output.emit("progress", **progress_plain(message))
                self._draw(message)
            case p.Resuming(found, from_zero):
                how = "starting again from zero" if from_zero else "resuming"
                seen = (
                    f"{found.matched} of {found.blocks} blocks read back"
                    if found
                    else "nothing to read back"
                )
                self._line(f"{how}: {seen}")
            case p.SectorUnwritable(_, lba, errno):
                self._line(f"sector {lba} cannot be written ({errno or 'no errno'})")
            case _:
                pass

    def end(self) -> None:
        """Leave the line behind."""
        if self._open_line:
            output.draw("\n")
            self._open_line = False

    def _draw(self, message: p.Progress) -> None:
        if output.is_watched():
            output.draw("\r\x1b[K" + words(message))
            self._open_line = True
        elif self._count % PLAIN_EVERY == 1:
            output.note(words(message))

    def _line(self, text: str) -> None:
        self.end()
        output.note(text)


def words(message: p.Progress) -> str:
    """One line: step, bar, per cent, speed, time left, errors, temperature, pause."""
    share = message.done_bytes / message.total_bytes if message.total_bytes else 1.0
    bar = "█" * int(share * BAR_CELLS)
    parts = [
        f"step {message.number}/{message.steps} {PHASES.get(message.phase, message.phase):9}",
        f"▕{bar.ljust(BAR_CELLS, '·')}▏ {share:5.1%}",
        f"{message.bytes_per_s / 1e6:.0f} MB/s",
    ]
    if message.eta_s is not None:
        parts.append(f"{output.duration_words(message.eta_s)} left")
    if message.errors:
        parts.append(f"{message.errors} errors")
    if message.temperature_celsius is not None:
        parts.append(f"{message.temperature_celsius} °C")
    if message.paused:
        parts.append("paused: " + ", ".join(message.paused))
    return "  ".join(parts)


def progress_plain(message: p.Progress) -> dict[str, object]:
    """As NDJSON."""
    return {
        "step": message.number,
        "steps": message.steps,
        "phase": message.phase,
        "done_bytes": message.done_bytes,
        "total_bytes": message.total_bytes,
        "bytes_per_s": message.bytes_per_s,
        "eta_s": message.eta_s,
        "errors": message.errors,
        "temperature_celsius": message.temperature_celsius,
        "paused": list(message.paused),
    }
