"""`nullbay bays learn|list` and `nullbay config udev`: places for drives."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nullbay.agent import bays_learn
from nullbay.agent.discovery import Discovery
from nullbay.agent.udev_rules import udev_rules
from nullbay.cli import context, output
from nullbay.cli.parser import DEFAULT_BENCH_STATE, DEFAULT_STATE
from nullbay.config.pins import read_pins
from nullbay.config.settings import DEFAULT_PATH
from nullbay.domain.clock import Clock
from nullbay.domain.drive import Bay, Drive
from nullbay.domain.errors import NullbayError
from nullbay.domain.ids import BayId
from nullbay.domain.reasons import text_of
from nullbay.domain.text import show
from nullbay.wipers.appendfile import write_durably
from nullbay.wipers.bays import bay_of
from nullbay.wipers.guard import GuardQuestion, Pin, refusals
from nullbay.wipers.platform.discover import find_drive, list_drives
from nullbay.wipers.platform.hostfacts import LinuxHostFacts

EXIT_BAD = 1
NEVER_A_BAY = frozenset({"guard.system-drive", "guard.pinned", "guard.mounted", "guard.swap"})


class BayError(NullbayError):
    """The drive that came is not one whose place may become a bay."""

    code = "bays.own-disk"


@dataclass(frozen=True, slots=True)
class _Place:
    """What a bay is called and where it is on the rack."""

    bay: str
    row: int
    column: int


def learn(arguments: Any) -> int:
    """Bind a bay to the place of the one drive that is plugged in now."""
    directory: Path = arguments.config or DEFAULT_PATH
    if not directory.is_dir():
        raise context.UsageError(
            f"{directory} is no directory, so there is no place for learned bays",
            next_step="Say --config with a directory of settings",
        )
    clock = context.make_clock()
    drive = _the_drive(arguments, clock)
    _require_not_ours(drive, _pins(arguments))
    _tell(drive)
    label = arguments.label_serial
    if not arguments.no_label:
        label = label or _ask("Scan the drive's label: ", "--label-serial")
        bays_learn.require_label(label, drive)
    place = _place(arguments)
    bay = Bay(BayId(place.bay), place.row, place.column, "")
    learned = bays_learn.lesson(drive, bay, list_drives(), clock.now())
    bays_learn.save(directory, bay, learned)
    slot = learned.print.slot
    if arguments.json:
        output.emit(
            "bay-learned",
            bay=place.bay,
            row=place.row,
            column=place.column,
            match=learned.match,
            device=f"/dev/{drive.attachment.nodes[0].name}",
            serial=drive.identity.serial.shown,
            enclosure=slot.enclosure,
            slot=slot.slot,
            phy=slot.phy,
            sas_address=slot.sas_address,
            pci=slot.pci,
        )
    else:
        output.say(f"Bay {place.bay} is {learned.match}")
        output.say("A running station takes it up when it starts again.")
    return 0


def list_bays(arguments: Any) -> int:
    """Every bay, what is in it, and whether the machine is still what was learned."""
    directory: Path = arguments.config or DEFAULT_PATH
    settings = context.load_settings(arguments, None)
    prints = bays_learn.read_bayprints(directory) if directory.is_dir() else ()
    gone = set(bays_learn.unmapped(settings.bays, prints, bays_learn.now_of(prints)))
    learned = {one.bay for one in prints}
    drives: dict[str, list[Drive]] = {bay.bay_id: [] for bay in settings.bays}
    for drive in list_drives():
        bay_id = bay_of(drive, settings.bays)
        if bay_id is not None:
            drives[bay_id].append(drive)

    def state(bay: Bay) -> str:
        if bay.bay_id in gone:
            return "unmapped"
        return "learned" if bay.bay_id in learned else "by hand"

    code = EXIT_BAD if gone else 0
    if arguments.json:
        output.emit(
            "bays",
            exit_code=code,
            bays=[
                {
                    "bay": bay.bay_id,
                    "row": bay.row,
                    "column": bay.column,
                    "match": bay.match,
                    "state": state(bay),
                    "drives": [
                        {
                            "device": f"/dev/{one.attachment.nodes[0].name}",
                            "serial": one.identity.serial.shown,
                        }
                        for one in drives[bay.bay_id]
                    ],
                }
                for bay in settings.bays
            ],
        )
        return code
    rows = [
        (
            bay.bay_id,
            str(bay.row),
            str(bay.column),
            state(bay),
            ", ".join(_short(one) for one in drives[bay.bay_id]) or "-",
            show(bay.match, 200),
        )
        for bay in settings.bays
    ]
    head = ("bay", "row", "column", "mapped", "drive", "match")
    output.say(output.table(head, rows) if rows else "No bays.")
    if gone:
        output.say(
            "Unmapped bays take no drives: the machine is not what it was when they were"
            " learned. Learn them again with `nullbay bays learn`."
        )
    return code


def udev(arguments: Any) -> int:
    """Rules that keep md, LVM, LUKS, bcache, multipath and desktops off the drives in bays."""
    rules = udev_rules(context.load_settings(arguments, None).bays)
    if arguments.out is not None:
        write_durably(arguments.out, rules.text.encode(), mode=0o644)
    if arguments.json:
        output.emit("udev-rules", rules=rules.text, without=list(rules.without))
    elif arguments.out is None:
        output.say(rules.text.rstrip("\n"))
    for bay in rules.without:
        output.note(f"bay {bay} is no device path and has no rule")
    return 0


def _the_drive(arguments: Any, clock: Clock) -> Drive:
    if arguments.device:
        return find_drive(arguments.device)

    async def wait() -> Drive:
        async with Discovery(clock) as source:
            output.note("Plug in the drive: one, and no other.")
            return await bays_learn.one_new_drive(source, clock, patience_s=arguments.wait)

    return asyncio.run(wait())


def _pins(arguments: Any) -> tuple[Pin, ...]:
    """From the state directory that was named, else from both services' own."""
    given = arguments.state_dir or os.environ.get("NULLBAY_STATE_DIR")
    places = [Path(given)] if given else [Path(DEFAULT_STATE), Path(DEFAULT_BENCH_STATE)]
    return tuple(
        Pin(one.wwn, one.serial, one.model) for place in places for one in read_pins(place)
    )


def _require_not_ours(drive: Drive, pins: tuple[Pin, ...]) -> None:
    facts = LinuxHostFacts()
    question = GuardQuestion(
        drive, facts.uses_of(drive), facts.root_drive(), pins, None, outside_bays=True
    )
    for one in refusals(question):
        if one.code in NEVER_A_BAY:
            raise BayError(
                f"{_short(drive)}: {text_of(one.code)} [{one.evidence}]",
                next_step="Plug in a drive that may be wiped",
            )


def _place(arguments: Any) -> _Place:
    bay = arguments.bay or _ask("Which bay is this? ", "--bay")
    row = arguments.row or _number("Its row, counted from the top: ", "--row")
    return _Place(bay, row, arguments.column or _number("Its column, from the left: ", "--column"))


def _ask(question: str, option: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise context.UsageError(
            f"nobody is there to be asked for {option}", next_step=f"Say {option}"
        )
    output.draw(question)
    return sys.stdin.readline(256).strip()


def _number(question: str, option: str) -> int:
    text = _ask(question, option)
    if not (text.isascii() and text.isdigit() and 0 < int(text[:4]) <= 999):
        raise context.UsageError(f"{show(text)!r} is no place on a rack", next_step="Use 1 to 999")
    return int(text)


def _short(drive: Drive) -> str:
    serial = drive.identity.serial.shown or "no serial"
    return f"/dev/{drive.attachment.nodes[0].name} {drive.identity.model.shown} {serial}".strip()


def _tell(drive: Drive) -> None:
    output.note(f"{_short(drive)}, {output.size_words(drive.observed.size_bytes)}")
    output.note(f"  in {show(drive.attachment.device_path, 300)}")


COMMANDS = {"bays learn": learn, "bays list": list_bays, "config udev": udev}
