"""Any order in which entries may arrive: the chain grows by the next true one, by nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nullbay.certs import ledger
from nullbay.server.db import intake
from nullbay.server.db.engine import Database, open_database
from nullbay.server.db.intake import Fork, Gap, Taken
from support import evidence_factory as factory
from support.centre import MadeStation

TRUE, OTHER = MadeStation(), MadeStation()
for _number in range(8):
    TRUE.event(f"true {_number}")
    # Another history that parts from the true one after the third entry.
    if _number < 3:
        OTHER.entries.append(TRUE.entries[-1])
    else:
        OTHER.event(f"other {_number}")
NAMES = itertools.count()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    made = open_database("", tmp_path_factory.mktemp("chain"))
    yield made
    made.close()


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 8)), max_size=25))
@settings(max_examples=40)
def test_the_chain_is_always_one_history(
    database: Database, arrivals: list[tuple[bool, int]]
) -> None:
    name = f"bench-{next(NAMES)}"
    intake.ensure_stations(database, (name,), factory.stamp(0))
    kept: list[ledger.LedgerEntry] = []
    receipts: dict[int, bytes] = {}
    for second, (is_true, sequence) in enumerate(arrivals):
        given_entry = (TRUE if is_true else OTHER).entries[sequence - 1]
        heads: list[ledger.Head] = []

        def receipt(head: ledger.Head, heads: list[ledger.Head] = heads) -> bytes:
            heads.append(head)
            return f"{head.sequence} {head.sha256} {len(receipts)}".encode()

        taken = intake.add_entry(
            database,
            name,
            given_entry,
            ledger.read_body(given_entry.body),
            factory.stamp(second),
            receipt,
        )
        if sequence <= len(kept):
            if kept[sequence - 1].sha256 == given_entry.sha256:
                assert taken == Taken(receipts[sequence], is_new=False)
            else:
                assert taken == Fork(sequence)
            assert heads == []
        elif sequence > len(kept) + 1:
            assert taken == Gap(len(kept) + 1)
            assert heads == []
        elif kept and given_entry.previous != kept[-1].sha256:
            assert taken == Fork(len(kept))
        else:
            assert isinstance(taken, Taken)
            assert taken.is_new
            assert heads == [given_entry.head]
            kept.append(given_entry)
            receipts[sequence] = taken.receipt
    keys = (TRUE.station_key.public_key, OTHER.station_key.public_key)
    assert ledger.check_chain(kept, keys) == (kept[-1].head if kept else ledger.EMPTY)
