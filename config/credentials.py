"""Keys that systemd hands to a service: files in `$CREDENTIALS_DIRECTORY`, gone when it ends.

A unit loads them with LoadCredential= from /etc/credstore, or decrypts them with
LoadCredentialEncrypted=, bound to this machine's TPM (docs/installation.md, Keys).
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from pathlib import Path


class Credential(enum.StrEnum):
    """The names in the units."""

    STATION_KEY = "nullbay.station-key"
    BENCH_KEY = "nullbay.bench-key"
    CENTRE_TOKEN = "nullbay.centre-token"
    RECEIPT_KEY = "nullbay.receipt-key"
    DATABASE_URL = "nullbay.database-url"
    TLS_KEY = "nullbay.tls-key"


def credential_path(
    name: Credential, otherwise: Path, *, environ: Mapping[str, str] = os.environ
) -> Path:
    """Where to read it: the credential if this service was given one, else the file `otherwise`.

    A credential that is there and cannot be read is not passed over for an older file: reading it
    fails, and says so. Never make a key where this names a credential.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    given = Path(folder) / name.value
    return given if folder and os.path.lexists(given) else otherwise
