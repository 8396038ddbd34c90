"""What the intake answers, by code: what a console shows or plays, a script branches on.

The message of an answer says it with the drive's own names; this says what the code means.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CODES: Mapping[str, str] = MappingProxyType(
    {
        "scan.bay": "a bay was scanned; a drive's label or tag is to follow",
        "scan.waiting": "the drive is announced and has 60 seconds to appear",
        "scan.bound": "label and tag belong to a drive that is here",
        "scan.known": "this was scanned before",
        "scan.which": "several drives could be meant: scan the bay, or the serial on the label",
        "scan.near": "no drive here is called so, but something like it is here",
        "scan.two-drives": "two drives here answer to one serial",
        "scan.other-bay": "the drive is in another bay than the one that was scanned",
        "scan.other-drive": "the drive in that bay says another serial",
        "scan.manifest-differs": "the manifest gives another serial for this tag",
        "scan.withdrawn": "the announcement is taken back: no drive is expected for it",
        "scan.gone": "the scan or the drive is not there any more",
        "scan.bound-already": "the drive has a tag or a label already",
        "removal.agrees": "serial, bay and verdict agree: the label is printed",
        "removal.again": "the drive was scanned out before: the label is printed once more",
        "removal.bay-wanted": "the bay that the drive was in is to be scanned",
        "removal.serial-wanted": "the serial on the drive's label is to be scanned",
        "removal.serial-differs": "STOP: the bay held another drive",
        "removal.bay-differs": "STOP: the drive was in another bay",
        "removal.verdict-differs": "STOP: the drive has no verdict, or its record says another",
        "removal.audit-hold": "drawn for re-verification: no label until the result is in",
        "lot.active": "the lot is active already",
        "lot.bay-unknown": "no bay is called so",
        "lot.closed": "the lot is closed",
        "lot.differs": "the lot was here before with other facts",
        "lot.overlaps": "another lot is active for that bay",
        "lot.reference": "a lot cannot be called so",
        "lot.unknown": "no lot is called so",
        "manifest.problems": "the manifest has problems and was not taken",
        "person.locked": "too many wrong PINs",
        "person.no-pin": "the person has no PIN",
        "person.pin-needed": "a badge that is followed by a PIN is no bearer token",
        "person.qualification-ended": "the person's qualification has ended",
        "person.role": "the person's role does not allow it",
        "person.same": "one person cannot approve twice",
        "person.unknown": "nobody of that id is known",
        "person.unknown-badge": "nobody here has this badge",
        "person.wrong-pin": "the PIN is wrong",
    }
)
