"""What a station is told about its services, as frozen values: how it runs bays, HTTP, the centre.

The defaults are those of an empty configuration; `service_tables.py` holds types and meanings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from nullbay.config.service_tables import MEBIBYTE, is_loopback
from nullbay.domain.ids import BayId

CREDENTIALS = "CREDENTIALS_DIRECTORY"


@dataclass(frozen=True, slots=True)
class FileName:
    """A file that the configuration names: as written there, and the folder it is relative to."""

    given: str
    folder: Path

    def located(self, environment: Mapping[str, str] | None = None) -> Path:
        """Where it is for this process.

        A relative name is looked for in systemd's credentials (`$CREDENTIALS_DIRECTORY`) first,
        if it is there, else beside the file that names it.
        """
        credentials = (os.environ if environment is None else environment).get(CREDENTIALS)
        if credentials and not Path(self.given).is_absolute():
            handed = Path(credentials) / self.given
            if handed.is_file():
                return handed
        return self.folder / self.given


@dataclass(frozen=True, slots=True)
class StationRules:
    """`[station]`, as far as it rules how bays run. As shipped nothing starts by itself."""

    unattended: bool = False
    countdown_s: int = 30
    settle_s: int = 3
    idle_lock_s: int = 300


@dataclass(frozen=True, slots=True)
class BayRule:
    """`[[bay]]`, as far as it rules how one bay runs. `policy` None: the default policy."""

    bay_id: BayId
    unattended: bool = False
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """`[http]`. With TLS both files are given; only loopback goes without unless it is insecure."""

    address: str = "127.0.0.1"
    port: int = 8420
    hosts: tuple[str, ...] = ()
    tls_certificate: FileName | None = None
    tls_key: FileName | None = None
    insecure_http: bool = False
    status_token_sha256: str | None = None

    @property
    def uses_tls(self) -> bool:
        """Whether it is served over TLS."""
        return self.tls_certificate is not None and self.tls_key is not None

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach it without TLS: the console says so in red."""
        return not self.uses_tls and not is_loopback(self.address)


@dataclass(frozen=True, slots=True)
class CentreSettings:
    """`[centre]`, where there is one: all three are given. `heartbeat_s` 0: the centre asks."""

    url: str
    token_file: FileName
    public_key_file: FileName
    heartbeat_s: int = 0


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """`[admission]`. 0 is no limit, for `jobs_max` as many as there are bays."""

    jobs_max: int = 0
    bytes_per_s_total: int = 0
    bytes_per_s_per_hba: int = 0
    memory_available_min_bytes: int = 256 * MEBIBYTE
    load_per_cpu_max: Decimal = Decimal(32)
    retries: int = 0


@dataclass(frozen=True, slots=True)
class RecordsSettings:
    """`[records]`."""

    reserve_bytes_per_job: int = 64 * MEBIBYTE
