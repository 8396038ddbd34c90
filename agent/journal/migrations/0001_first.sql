CREATE TABLE ledger (
    sequence INTEGER PRIMARY KEY,
    previous TEXT NOT NULL,
    body     BLOB NOT NULL,
    sha256   TEXT NOT NULL UNIQUE,
    envelope BLOB
) STRICT;

CREATE TABLE job (
    job_id        TEXT PRIMARY KEY,
    identity_key  TEXT NOT NULL,
    policy_id     TEXT NOT NULL,
    policy_sha256 TEXT NOT NULL,
    plan_sha256   TEXT NOT NULL,
    request       TEXT NOT NULL,
    attempt       INTEGER NOT NULL,
    statement_id  TEXT,
    told          INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX job_by_identity ON job (identity_key);

CREATE TABLE job_event (
    job_id TEXT NOT NULL REFERENCES job (job_id),
    number INTEGER NOT NULL,
    at     TEXT NOT NULL,
    event  TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
) STRICT;

CREATE TABLE open_insertion (
    insertion_id TEXT PRIMARY KEY,
    identity_key TEXT NOT NULL,
    bay          TEXT NOT NULL,
    job_id       TEXT REFERENCES job (job_id)
) STRICT;
