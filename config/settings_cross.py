"""What keys of a configuration say about each other, whichever file each stands in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from nullbay.config.problems import Flaw, Problem, quoted
from nullbay.config.service_tables import is_loopback
from nullbay.config.settings_tables import BayTable, SettingsTable
from nullbay.config.source import Source

Given: TypeAlias = dict[tuple[str, str], tuple[Any, Source]]
"""Single values by table and key, each with the file whose word counts."""

_PAIR = (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate"))
_CENTRE = ("url", "token_file", "public_key_file")


def across(given: Given, read: Sequence[tuple[Source, SettingsTable]]) -> Iterator[Problem]:
    """Every contradiction, at the key that has to change."""
    yield from _http(given)
    yield from _centre(given)
    yield from _unattended(given, [(source, table.bay) for source, table in read])
    yield from _people(given, read)


def _people(given: Given, read: Sequence[tuple[Source, SettingsTable]]) -> Iterator[Problem]:
    """A PIN follows a badge; and the centre's read-only token is no person's."""
    for source, table in read:
        for place, one in enumerate(table.operator):
            if one.pin_scrypt is not None and one.token_sha256 is None:
                message = "is given without `operator.token_sha256`"
                right = "the badge too: a PIN follows it"
                yield source.problem(Flaw(("operator", place, "pin_scrypt"), message, right))
    status, source_of_it = _value(given, "http", "status_token_sha256")
    people = {one.token_sha256 for _, table in read for one in table.operator}
    if status is not None and source_of_it is not None and status in people:
        path = ("http", "status_token_sha256")
        flaw = Flaw(path, "is also the token of a person", "a token of its own for the centre")
        yield source_of_it.problem(flaw)


def _http(given: Given) -> Iterator[Problem]:
    for key, other in _PAIR:
        value, source = _value(given, "http", key)
        if value is not None and source is not None and _value(given, "http", other)[0] is None:
            message = f"is given without `http.{other}`"
            yield source.problem(Flaw(("http", key), message, "both files, or none"))
    address, source = _value(given, "http", "address")
    if address is None or source is None or is_loopback(address):
        return
    has_tls = any(_value(given, "http", key)[0] is not None for key, _ in _PAIR)
    if not has_tls and not _value(given, "http", "insecure_http")[0]:
        message = f"is {quoted(address)}, which other machines can reach without TLS"
        right = "`http.tls_certificate` and `http.tls_key` too, or `http.insecure_http = true`"
        yield source.problem(Flaw(("http", "address"), message, right))


def _centre(given: Given) -> Iterator[Problem]:
    named = [
        key for key in (*_CENTRE, "heartbeat_s") if _value(given, "centre", key)[0] is not None
    ]
    missing = [key for key in _CENTRE if key not in named]
    if not named or not missing:
        return
    key = named[0]
    source = given["centre", key][1]
    wanted = " and ".join(f"`centre.{key}`" for key in missing)
    message = f"is given without {wanted}"
    yield source.problem(Flaw(("centre", key), message, "url, token and public key, or none"))


def _unattended(
    given: Given, bays: Sequence[tuple[Source, Sequence[BayTable]]]
) -> Iterator[Problem]:
    """A bay that shall start by itself and knows no policy never would."""
    if _value(given, "policies", "default")[0] is not None:
        return
    for source, tables in bays:
        for place, bay in enumerate(tables):
            if bay.unattended and bay.policy is None:
                message = "is true and no policy is named for the bay"
                right = "`bay.policy` or `policies.default` too"
                yield source.problem(Flaw(("bay", place, "unattended"), message, right))


def _value(given: Given, table: str, key: str) -> tuple[Any, Source | None]:
    return given.get((table, key), (None, None))
