ALTER TABLE job ADD COLUMN state TEXT NOT NULL DEFAULT '';

CREATE TABLE insertion (
    insertion_id    TEXT PRIMARY KEY,
    identity_key    TEXT NOT NULL,
    bay             TEXT NOT NULL,
    opened          TEXT NOT NULL,
    card            TEXT,
    attachment      TEXT,
    closed_sequence INTEGER REFERENCES ledger (sequence)
) STRICT;

CREATE INDEX insertion_by_identity ON insertion (identity_key);

INSERT INTO insertion
    (insertion_id, identity_key, bay, opened, card, attachment, closed_sequence)
    SELECT json_extract(CAST(body AS TEXT), '$.event.insertion_id'),
           json_extract(CAST(body AS TEXT), '$.event.identity_key'),
           json_extract(CAST(body AS TEXT), '$.event.bay'),
           json(json_extract(CAST(body AS TEXT), '$.at')),
           NULL,
           NULL,
           sequence
      FROM ledger WHERE json_extract(CAST(body AS TEXT), '$.event.kind') = 'insertion-closed';

CREATE TABLE station_event (
    number INTEGER PRIMARY KEY,
    at     TEXT NOT NULL,
    event  TEXT NOT NULL
) STRICT;

CREATE TABLE outbox (
    sequence       INTEGER PRIMARY KEY REFERENCES ledger (sequence),
    job_id         TEXT,
    entry_receipt  BLOB,
    record_receipt BLOB,
    document       BLOB,
    document_receipt BLOB,
    refused        TEXT,
    delivered_at   TEXT
) STRICT;

CREATE INDEX outbox_waiting ON outbox (sequence) WHERE delivered_at IS NULL;

INSERT INTO outbox (sequence, job_id)
    SELECT sequence,
           CASE json_extract(CAST(body AS TEXT), '$.event.kind')
                WHEN 'job-concluded' THEN json_extract(CAST(body AS TEXT), '$.event.job_id') END
      FROM ledger;
