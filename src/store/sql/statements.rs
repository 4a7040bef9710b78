//! The statements, in the dialect that SQLite and PostgreSQL share.

pub(super) const CLAIM: &str = "INSERT INTO store (id, trust_domain) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";

pub(super) const STORE: &str = "SELECT trust_domain, own_bundle, own_progress, clock_mark FROM store WHERE id = 1";

pub(super) const PUT_OWN: &str = "UPDATE store SET own_bundle = $1, own_progress = $2 WHERE id = 1";

pub(super) const PUT_CLOCK_MARK: &str = "UPDATE store SET clock_mark = $1 WHERE id = 1";

pub(super) const SECRET: &str = "SELECT value FROM secrets WHERE name = $1";

pub(super) const PUT_SECRET: &str = "
    INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

pub(super) const RELATIONSHIPS: &str = "
    SELECT relationships.trust_domain, incarnation, endpoint, progress, last_revision, accepted_revision,
           number, bundle, accepted_at, origin
    FROM relationships
    JOIN trust_domains ON trust_domains.trust_domain = relationships.trust_domain
    LEFT JOIN revisions
        ON revisions.trust_domain = relationships.trust_domain AND number = accepted_revision";

pub(super) const HELD: &str = "SELECT * FROM held_documents ORDER BY trust_domain, position";

pub(super) const BARRED: &str = "SELECT trust_domain, digest FROM barred_documents ORDER BY trust_domain, digest";

pub(super) const BARRED_OF: &str = "SELECT digest FROM barred_documents WHERE trust_domain = $1 ORDER BY digest";

pub(super) const NEXT_INCARNATION: &str = "
    INSERT INTO trust_domains (trust_domain, last_incarnation, last_revision) VALUES ($1, 1, 0)
    ON CONFLICT (trust_domain) DO UPDATE SET last_incarnation = trust_domains.last_incarnation + 1
    RETURNING last_incarnation, last_revision";

pub(super) const CREATE: &str = "INSERT INTO relationships (trust_domain, incarnation, endpoint) VALUES ($1, $2, $3)";

pub(super) const END: &str = "DELETE FROM relationships WHERE trust_domain = $1";

pub(super) const PROGRESS: &str = "
    UPDATE relationships SET endpoint = $3, progress = $4
    WHERE trust_domain = $1 AND incarnation = $2 RETURNING trust_domain";

pub(super) const LAST_REVISION: &str = "SELECT last_revision FROM trust_domains WHERE trust_domain = $1";

pub(super) const COUNT_REVISION: &str = "UPDATE trust_domains SET last_revision = $2 WHERE trust_domain = $1";

pub(super) const ADD_REVISION: &str = "
    INSERT INTO revisions (trust_domain, number, bundle, accepted_at, origin) VALUES ($1, $2, $3, $4, $5)";

pub(super) const ACCEPT: &str = "UPDATE relationships SET accepted_revision = $2 WHERE trust_domain = $1";

pub(super) const HISTORY: &str = "
    SELECT number, bundle, accepted_at, origin FROM revisions
    WHERE trust_domain = $1 AND number < $2 ORDER BY number DESC LIMIT $3";

/// The newest, which is the accepted one, stays whatever its size.
pub(super) const TRIM_HISTORY: &str = "
    DELETE FROM revisions WHERE trust_domain = $1 AND number IN (
        SELECT number FROM (
            SELECT number, row_number() OVER newest AS place, sum(octet_length(bundle)) OVER newest AS bytes
            FROM revisions WHERE trust_domain = $1 WINDOW newest AS (ORDER BY number DESC)
        ) AS aged
        WHERE place > 1 AND (place > $2 OR bytes > $3)
    )";

pub(super) const HELD_DIGESTS: &str = "SELECT digest FROM held_documents WHERE trust_domain = $1";

pub(super) const RELEASE: &str = "DELETE FROM held_documents WHERE trust_domain = $1 AND digest = $2";

pub(super) const HOLD_STILL: &str = "
    UPDATE held_documents SET position = $3, code = $4, detail = $5, first_seen = $6, last_seen = $7
    WHERE trust_domain = $1 AND digest = $2 RETURNING digest";

pub(super) const HOLD: &str = "
    INSERT INTO held_documents (trust_domain, digest, position, code, detail, first_seen, last_seen, bundle)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

pub(super) const TRIM_HELD: &str = "
    DELETE FROM held_documents WHERE trust_domain = $1 AND digest IN (
        SELECT digest FROM (
            SELECT digest, row_number() OVER newest AS place, sum(octet_length(bundle)) OVER newest AS bytes
            FROM held_documents WHERE trust_domain = $1 WINDOW newest AS (ORDER BY last_seen DESC, position DESC)
        ) AS aged
        WHERE place > $2 OR bytes > $3
    )";

pub(super) const BAR: &str =
    "INSERT INTO barred_documents (trust_domain, digest) VALUES ($1, $2) ON CONFLICT (trust_domain, digest) DO NOTHING";
