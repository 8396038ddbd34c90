"""What the console's forms send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from nullbay.agent.web.shapes import BAYS_MAX, NO_CONTROLS, Digest, Id, Line, OpenLot
from nullbay.domain.errors import MalformedError
from nullbay.domain.lot import DataCategory, Destination
from nullbay.web.bodies import UploadedFile
from nullbay.web.shapes import Items, Text

Secret = Annotated[str, Text(256)]


@dataclass(frozen=True, slots=True)
class Nothing:
    """A button."""


@dataclass(frozen=True, slots=True)
class Login:
    """Badge and PIN; where to go on."""

    badge: Secret
    pin: Secret
    next: Annotated[str, Text(512)] = "/"


@dataclass(frozen=True, slots=True)
class LoginPage:
    """Where to go on after logging in."""

    next: Annotated[str, Text(512)] = "/"


@dataclass(frozen=True, slots=True)
class Link:
    """The token of a one-time login link."""

    token: Annotated[str, Text(128)]


@dataclass(frozen=True, slots=True)
class LotConsentForm:
    """The plans that stood on the page."""

    plans: Annotated[tuple[Digest, ...], Items(BAYS_MAX)] = ()


@dataclass(frozen=True, slots=True)
class ManifestForm:
    """A file from the browser."""

    file: UploadedFile


@dataclass(frozen=True, slots=True)
class OpenLotForm:
    """A lot; choices as the texts of their values, bays separated by blanks or commas."""

    reference: Annotated[str, Text(64, 1, NO_CONTROLS)]
    customer: Line = ""
    site: Line = ""
    source: Line = ""
    work_order: Line = ""
    data_category: Annotated[str, Text(20)] = ""
    destination: Annotated[str, Text(20)] = ""
    bays: Annotated[str, Text(2000)] = ""

    def opened(self) -> OpenLot:
        """As the API takes it. Raises MalformedError for a choice that is none."""
        try:
            return OpenLot(
                reference=self.reference,
                customer=self.customer,
                site=self.site,
                source=self.source,
                work_order=self.work_order,
                data_category=DataCategory(self.data_category) if self.data_category else None,
                destination=Destination(self.destination) if self.destination else None,
                bays=tuple(self.bays.replace(",", " ").split()[:BAYS_MAX]),
            )
        except ValueError:
            raise MalformedError("Data category or destination is none of the choices") from None


@dataclass(frozen=True, slots=True)
class ScanForm:
    """What a scanner typed; the field may be empty, the answer says so."""

    text: Annotated[str, Text(256)]


@dataclass(frozen=True, slots=True)
class Older:
    """Records before this one."""

    after: Id | None = None
