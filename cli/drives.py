"""`nullbay drives` and `nullbay plan`: what is there, what would be done, and why not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from nullbay.cli import context, output
from nullbay.cli.parser import DEFAULT_STATE
from nullbay.domain.codec import to_plain
from nullbay.domain.drive import Drive
from nullbay.domain.plan import Held, OverwriteStep, Refusal, SanitizationPlan
from nullbay.domain.reasons import text_of
from nullbay.wipers.guard import GuardQuestion, refusals
from nullbay.wipers.planner import plan as make_plan
from nullbay.wipers.platform.discover import list_drives
from nullbay.wipers.service import Bench, Host, Placement, RefusedError

EXIT_REFUSED = 40


def drives(arguments: Any) -> int:
    """List drives from the kernel's records, without opening any."""
    clock = context.make_clock()
    settings = context.load_settings(arguments, _state_if_there(arguments))
    found: list[tuple[str, Drive, Host, Placement]] = []
    for device in arguments.devices:
        lab = context.is_lab(device)
        host = context.host_for(clock, lab=lab)
        found.append(
            (device, host.find(device), host, context.placement(arguments, settings, lab=lab))
        )
    if not arguments.devices:
        host, place = (
            context.host_for(clock, lab=False),
            context.placement(arguments, settings, lab=False),
        )
        found = [
            (f"/dev/{one.attachment.nodes[0].name}", one, host, place) for one in list_drives()
        ]
    rows = [
        (device, drive, place.bay_of(drive), _guard(drive, host, place))
        for device, drive, host, place in found
    ]
    if arguments.json:
        output.emit("drives", drives=[_plain(*row) for row in rows])
        return 0
    if not rows:
        output.say("No drives.")
        return 0
    head = ("device", "bay", "size", "model", "serial", "confirm with", "refused because")
    output.say(
        output.table(
            head,
            [
                (
                    device,
                    bay or "-",
                    output.size_words(drive.observed.size_bytes),
                    drive.identity.model.shown,
                    drive.identity.serial.shown or "none",
                    drive.confirm,
                    ", ".join(one.code for one in why) or "-",
                )
                for device, drive, bay, why in rows
            ],
        )
    )
    return 0


def plan(arguments: Any) -> int:
    """Ask the drive itself, plan, explain; nothing is changed."""
    lab = context.is_lab(arguments.device)
    settings = context.load_settings(arguments, _state_if_there(arguments))
    policy = context.load_policy(arguments.policy, settings)
    lot = context.find_lot(arguments.lot, settings)
    clock = context.make_clock()
    place = context.placement(arguments, settings, lab=lab)
    bench = Bench(Path(os.devnull), context.host_for(clock, lab=lab), context.build(), place)

    async def ask() -> tuple[Drive | None, SanitizationPlan | Held | RefusedError]:
        try:
            held = await bench.open(arguments.device)
        except RefusedError as error:
            return error.drive, error
        await held.close()
        return held.drive, make_plan(held.drive, policy, lot)

    drive, result = asyncio.run(ask())
    return _tell(arguments, drive, result)


def refusals_plain(found: tuple[Refusal, ...]) -> list[dict[str, str]]:
    """Refusals as JSON."""
    return [
        {"code": one.code, "text": text_of(one.code), "evidence": one.evidence} for one in found
    ]


def identity_plain(drive: Drive) -> dict[str, str]:
    """A drive's identity as JSON, shown forms, raw serial in hex beside."""
    identity = drive.identity
    return {
        "vendor": identity.vendor.shown,
        "model": identity.model.shown,
        "serial": identity.serial.shown,
        "serial_hex": identity.serial.raw.hex(),
        "wwn": identity.wwn,
        "eui64": identity.eui64,
        "nguid": identity.nguid,
        "key": identity.key,
    }


def _tell(
    arguments: Any, drive: Drive | None, result: SanitizationPlan | Held | RefusedError
) -> int:
    found = () if isinstance(result, SanitizationPlan) else result.refusals
    left = () if isinstance(result, RefusedError) else result.not_chosen
    if arguments.json:
        output.emit(
            "plan",
            device=arguments.device,
            exit_code=EXIT_REFUSED if found else 0,
            identity=identity_plain(drive) if drive else None,
            confirm=drive.confirm if drive else None,
            plan=to_plain(result) if isinstance(result, SanitizationPlan) else None,
            plan_sha256=result.sha256 if isinstance(result, SanitizationPlan) else None,
            refusals=refusals_plain(found),
            not_chosen=[{**to_plain(one), "text": text_of(one.code)} for one in left],
        )
        return EXIT_REFUSED if found else 0
    if drive is not None:
        size = output.size_words(drive.observed.size_bytes)
        name = f"{drive.identity.model.shown} {drive.identity.serial.shown or '(no serial)'}"
        output.say(f"{arguments.device}: {name}, {size}")
    if isinstance(result, SanitizationPlan):
        output.say(
            f"Plan {result.sha256[:16]}: {result.required_method.value} by {result.technique.value}"
        )
        for step in result.steps:
            what = step.pattern.name if isinstance(step, OverwriteStep) else "deallocate"
            check = (
                f", verify {step.verification.kind}"
                if isinstance(step, OverwriteStep) and step.verification
                else ""
            )
            about = output.duration_words(step.estimate_s)
            why = step.purpose.value
            output.say(f"  {step.number}. {step.unit_id}: {what}{check}, about {about} ({why})")
        output.say(f"Confirm with: {drive.confirm if drive else ''}")
    else:
        output.say(
            output.painted("Refused.", "31")
            if isinstance(result, RefusedError)
            else output.painted("Held.", "31")
        )
        for one in found:
            output.say(f"  {one.code}: {text_of(one.code)} [{one.evidence}]")
    for other in left:
        output.say(f"  not {other.technique.value}: {text_of(other.code)} [{other.detail}]")
    return EXIT_REFUSED if found else 0


def _guard(drive: Drive, host: Host, place: Placement) -> tuple[Refusal, ...]:
    answer = host.facts.uses_of(drive)
    root = host.facts.root_drive()
    return refusals(
        GuardQuestion(drive, answer, root, place.pins, place.bay_of(drive), place.outside_bays)
    )


def _plain(
    device: str, drive: Drive, bay: str | None, found: tuple[Refusal, ...]
) -> dict[str, Any]:
    return {
        "device": device,
        "bay": bay,
        "confirm": drive.confirm,
        "size_bytes": drive.observed.size_bytes,
        "identity": identity_plain(drive),
        "media": drive.observed.media.value,
        "transport": drive.observed.transport.value,
        "simulated": drive.simulated,
        "refusals": refusals_plain(found),
    }


def _state_if_there(arguments: Any) -> Path | None:
    """Pins are read where a state directory exists; listing makes none."""
    given = arguments.state_dir or os.environ.get("NULLBAY_STATE_DIR") or DEFAULT_STATE
    path = Path(given)
    return path if path.is_dir() else None


COMMANDS = {"drives": drives, "plan": plan}
