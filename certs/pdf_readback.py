"""How a drive was verified and what could have gone unnoticed, in plain words for page 1."""

from __future__ import annotations

from dataclasses import dataclass

from nullbay.certs import pdf_words as words
from nullbay.certs.predicate import Predicate, Verification
from nullbay.domain.plan import StepPurpose
from nullbay.domain.reasons import text_of

SCATTERED = "scattered in sectors"
IN_ONE_PIECE = "in one piece"


@dataclass(frozen=True, slots=True)
class Missed:
    """A size that would have been missed with little probability."""

    label: str
    size: str
    exact: str


@dataclass(frozen=True, slots=True)
class Readback:
    """How it was verified, and what could have gone unnoticed."""

    headline: str
    text: str
    missed_title: str
    missed: tuple[Missed, ...]


def readback_of(said: Predicate) -> Readback:
    """The worst that can be said of the readings of the method's steps.

    A bound is given only on a sanitized drive: elsewhere a small number would comfort wrongly.
    """
    purposes = {one.step: one.purpose for one in said.sanitization.passes}
    checked = [one for one in said.verification if purposes.get(one.step) is StepPurpose.METHOD]
    results = [one.result for one in checked if one.result is not None]
    units = {unit.unit_id for unit in said.media.units}
    if not checked:
        return _no_bound("Not verified", "No verification was planned, and nothing was read back.")
    if len(results) < len(checked) or units - {one.unit_id for one in checked}:
        done = f"{len(results):,} of {max(len(checked), len(units)):,} readings took place."
        return _no_bound("Not verified" if not results else "Verified in part", done)
    planned = sum(one.planned_bytes for one in results)
    read = sum(one.read_bytes for one in results)
    differ = sum(one.mismatched for one in results)
    silent = sum(one.unreadable.count for one in results)
    amount = f"{words.human(read)} of {words.human(planned)} to be read were read"
    if differ:
        first = min((sector.lba for one in results for sector in one.mismatches), default=None)
        where = "" if first is None else f", the first at LBA {first:,}"
        what = f"{words.counted(differ, 'sector')} did not hold what was written{where}; {amount}."
        return _no_bound("Read back: it differs", what)
    if silent:
        what = f"{words.counted(silent, 'sector')} that had to be read could not be read; {amount}."
        return _no_bound("Read back: unreadable sectors", what)
    if read != planned:
        return _no_bound("Read back in part", words.sentence(amount))
    flaws = [one.code for one in said.reasons if one.code.startswith("verification.")]
    if flaws:
        return _no_bound("Read back, but not soundly", words.sentence(text_of(flaws[0])))
    if not said.result.is_sanitized:
        return _no_bound("Read back; nothing differed", words.sentence(amount))
    return _clean(said, checked)


def _no_bound(headline: str, text: str) -> Readback:
    return Readback(headline, text, "No bound on what was missed is given.", ())


def _clean(said: Predicate, checked: list[Verification]) -> Readback:
    """Everything planned was read and nothing differed. Only the last reading of a unit counts.

    Several units: residue of the sum of their scattered bounds puts at least its bound into one of
    them; a single piece lies in one of them, so the largest bound holds.
    """
    results = list({one.unit_id: one.result for one in checked if one.result}.values())
    bounds = [one.bounds for one in results if one.bounds is not None]
    total = said.media.size_bytes
    read = sum(one.read_bytes for one in results)
    scattered = sum(one.scattered_bytes for one in bounds)
    contiguous = max((one.contiguous_bytes for one in bounds), default=0)
    if len(bounds) < len(results) or (read < total and not (scattered and contiguous)):
        return _no_bound("Read back; nothing differed", f"{words.both(read)} were read.")
    if read >= total and not scattered and not contiguous:
        return Readback(
            "Read back in full",
            "After the last write, every addressable byte was read back and compared with what "
            f"was written: {words.exact(read)}. Nothing differed.",
            "Would have been missed: nothing, as every byte was read",
            (Missed(SCATTERED, "0 bytes", ""), Missed(IN_ONE_PIECE, "0 bytes", "")),
        )
    places = sum(one.samples for one in bounds if one.scattered_bytes)
    chance = max(one.miss_probability_percent for one in bounds)
    return Readback(
        f"Read back by sample: {words.percent(read, total)}",
        f"After the last write, {places:,} places were drawn at random and read back, with both "
        f"ends of the drive: {words.human(read)} of {words.human(total)}. Nothing differed.",
        "Old data of this size or more would have been missed with a probability of at most "
        f"{chance} %",
        (
            Missed(SCATTERED, words.human(scattered, upwards=True), words.exact(scattered)),
            Missed(IN_ONE_PIECE, words.human(contiguous, upwards=True), words.exact(contiguous)),
        ),
    )
