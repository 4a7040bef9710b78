-- Private keys of our own listeners and accounts, in forms that only their readers know. Never a CA's.
CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
