-- Integers are Unix seconds or counters from 0; bundles are canonical SPIFFE documents,
-- because a sequence number of 64 unsigned bits has no column type; digests are hexadecimal.

CREATE TABLE store (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    trust_domain TEXT NOT NULL,
    own_bundle   BLOB,
    own_progress TEXT NOT NULL DEFAULT '',
    clock_mark   INTEGER
) STRICT;

-- Outlives the relationship, so that no number is ever used twice.
CREATE TABLE trust_domains (
    trust_domain     TEXT PRIMARY KEY,
    last_incarnation INTEGER NOT NULL,
    last_revision    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revisions (
    trust_domain TEXT NOT NULL REFERENCES trust_domains,
    number       INTEGER NOT NULL,
    bundle       BLOB NOT NULL,
    accepted_at  INTEGER NOT NULL,
    origin       TEXT NOT NULL,
    PRIMARY KEY (trust_domain, number)
) STRICT;

-- Living ones only.
CREATE TABLE relationships (
    trust_domain      TEXT PRIMARY KEY REFERENCES trust_domains,
    incarnation       INTEGER NOT NULL,
    endpoint          TEXT NOT NULL,
    progress          TEXT,
    accepted_revision INTEGER,
    FOREIGN KEY (trust_domain, accepted_revision) REFERENCES revisions (trust_domain, number)
) STRICT;

CREATE TABLE held_documents (
    trust_domain TEXT NOT NULL REFERENCES relationships ON DELETE CASCADE,
    digest       TEXT NOT NULL,
    position     INTEGER NOT NULL,
    bundle       BLOB NOT NULL,
    code         TEXT NOT NULL,
    detail       TEXT NOT NULL,
    first_seen   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    PRIMARY KEY (trust_domain, digest)
) STRICT;

CREATE TABLE barred_documents (
    trust_domain TEXT NOT NULL REFERENCES trust_domains,
    digest       TEXT NOT NULL,
    PRIMARY KEY (trust_domain, digest)
) STRICT, WITHOUT ROWID;
