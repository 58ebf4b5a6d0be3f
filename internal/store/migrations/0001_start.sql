-- +goose Up

-- The one row that change numbers are taken from. Its lock, held from the
-- taking to the commit, makes commit order number order.
CREATE TABLE counter (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    n  BIGINT NOT NULL
);
INSERT INTO counter (id, n) VALUES (1, 0);

CREATE TABLE change (
    number BIGINT NOT NULL PRIMARY KEY,
    org    TEXT   NOT NULL,
    app    TEXT   NOT NULL,
    at     BIGINT NOT NULL,
    actor  TEXT   NOT NULL,
    noun   TEXT   NOT NULL,
    id     TEXT   NOT NULL,
    before TEXT   NOT NULL,
    after  TEXT   NOT NULL
);
CREATE INDEX change_app ON change (org, app, number);

CREATE TABLE app (
    id              TEXT    NOT NULL PRIMARY KEY,
    org             TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    self_set        BOOLEAN NOT NULL,
    expose_metadata BOOLEAN NOT NULL,
    created_at      BIGINT  NOT NULL,
    number          BIGINT  NOT NULL,
    last_seq        BIGINT  NOT NULL,
    last_release    BIGINT  NOT NULL
);
CREATE INDEX app_org ON app (org, id);

CREATE TABLE channel (
    app            TEXT    NOT NULL REFERENCES app (id),
    name           TEXT    NOT NULL,
    org            TEXT    NOT NULL,
    seq            BIGINT  NOT NULL,
    default_for    BIGINT  NOT NULL,
    former_default BIGINT  NOT NULL,
    platforms      BIGINT  NOT NULL,
    self_assign    BOOLEAN NOT NULL,
    policy         TEXT    NOT NULL,
    under_native   BOOLEAN NOT NULL,
    prod           BOOLEAN NOT NULL,
    dev            BOOLEAN NOT NULL,
    device         BOOLEAN NOT NULL,
    emulator       BOOLEAN NOT NULL,
    created_at     BIGINT  NOT NULL,
    number         BIGINT  NOT NULL,
    PRIMARY KEY (app, name),
    UNIQUE (app, seq)
);

CREATE TABLE bundle (
    id            TEXT    NOT NULL PRIMARY KEY,
    app           TEXT    NOT NULL REFERENCES app (id),
    org           TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    root          TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    archive       TEXT    NOT NULL,
    archive_bytes BIGINT  NOT NULL,
    archive_crc32 TEXT    NOT NULL,
    file_count    BIGINT  NOT NULL,
    size_bytes    BIGINT  NOT NULL,
    delta_offered BOOLEAN NOT NULL,
    native_min    TEXT    NOT NULL,
    key_id        TEXT    NOT NULL,
    link          TEXT    NOT NULL,
    comment       TEXT    NOT NULL,
    created_at    BIGINT  NOT NULL,
    created_by    TEXT    NOT NULL,
    number        BIGINT  NOT NULL,
    UNIQUE (app, version)
);
CREATE INDEX bundle_newest ON bundle (app, id);
CREATE INDEX bundle_archive ON bundle (archive);

CREATE TABLE bundle_file (
    bundle     TEXT   NOT NULL REFERENCES bundle (id),
    path       TEXT   NOT NULL,
    org        TEXT   NOT NULL,
    digest     TEXT   NOT NULL,
    size       BIGINT NOT NULL,
    encoding   TEXT   NOT NULL,
    blob       TEXT   NOT NULL,
    blob_bytes BIGINT NOT NULL,
    PRIMARY KEY (bundle, path)
) /* narrow */;
CREATE INDEX bundle_file_blob ON bundle_file (blob);

CREATE TABLE release (
    app        TEXT    NOT NULL,
    number     BIGINT  NOT NULL,
    org        TEXT    NOT NULL,
    channel    TEXT    NOT NULL,
    bundle     TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    share_bp   BIGINT  NOT NULL,
    salt       TEXT    NOT NULL,
    paused     BOOLEAN NOT NULL,
    at         BIGINT  NOT NULL,
    made_by    TEXT    NOT NULL,
    ended_at   BIGINT  NOT NULL,
    end_reason TEXT    NOT NULL,
    PRIMARY KEY (app, number),
    FOREIGN KEY (app, channel) REFERENCES channel (app, name)
);
CREATE INDEX release_newest ON release (app, channel, number);
CREATE INDEX release_ended ON release (app, channel, number) WHERE ended_at > 0;
CREATE INDEX release_bundle ON release (bundle);

CREATE TABLE pin (
    app     TEXT   NOT NULL,
    device  BYTEA  NOT NULL,
    kind    TEXT   NOT NULL,
    org     TEXT   NOT NULL,
    channel TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (app, device, kind)
) /* narrow */;
CREATE INDEX pin_self_oldest ON pin (app, at, device) WHERE kind = 'self';

-- How many self-set pins an app has: counting them at every new one would cost
-- more than the pin.
CREATE TABLE self_pins (
    app TEXT   NOT NULL PRIMARY KEY,
    n   BIGINT NOT NULL
) /* narrow */;

CREATE TABLE token (
    id         TEXT   NOT NULL PRIMARY KEY,
    org        TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    hash       TEXT   NOT NULL,
    scopes     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL
);
CREATE INDEX token_org ON token (org, id);

-- What every check touches. Narrow on purpose: the row of device is several
-- times as wide and seldom differs from check to check.
CREATE TABLE seen (
    app     TEXT   NOT NULL,
    device  BYTEA  NOT NULL,
    at      BIGINT NOT NULL,
    running TEXT   NOT NULL,
    words   BIGINT NOT NULL, -- hash of what the device said; see Sighting
    PRIMARY KEY (app, device)
) /* narrow */;

CREATE TABLE device (
    app             TEXT    NOT NULL,
    device          BYTEA   NOT NULL,
    org             TEXT    NOT NULL,
    platform        TEXT    NOT NULL,
    custom_id       TEXT    NOT NULL,
    native_version  TEXT    NOT NULL,
    native_build    TEXT    NOT NULL,
    os_version      TEXT    NOT NULL,
    plugin_version  TEXT    NOT NULL,
    install_source  TEXT    NOT NULL,
    channel         TEXT    NOT NULL,
    key_id          TEXT    NOT NULL,
    prod            BOOLEAN NOT NULL,
    emulator        BOOLEAN NOT NULL,
    offered         TEXT    NOT NULL,
    offered_release BIGINT  NOT NULL,
    offered_at      BIGINT  NOT NULL,
    reason          TEXT    NOT NULL,
    first_seen      BIGINT  NOT NULL,
    last_day        BIGINT  NOT NULL,
    PRIMARY KEY (app, device)
) /* narrow */;
CREATE INDEX device_recent ON device (app, last_day, device);
CREATE INDEX device_custom ON device (app, custom_id) WHERE custom_id <> '';
CREATE INDEX device_channel ON device (app, channel) WHERE channel <> '';

CREATE TABLE failure (
    app     TEXT   NOT NULL,
    device  BYTEA  NOT NULL,
    version TEXT   NOT NULL,
    org     TEXT   NOT NULL,
    release BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (app, device, version)
) /* narrow */;

-- Which plain contents an organisation has, and in which stored form.
CREATE TABLE content (
    org        TEXT   NOT NULL,
    digest     TEXT   NOT NULL,
    encoding   TEXT   NOT NULL,
    blob       TEXT   NOT NULL,
    blob_bytes BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    PRIMARY KEY (org, digest, encoding)
) /* narrow */;
CREATE INDEX content_blob ON content (blob);

CREATE TABLE blob (
    digest      TEXT   NOT NULL PRIMARY KEY,
    bytes       BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    lease_until BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
) /* narrow */;
CREATE INDEX blob_deleting ON blob (digest) WHERE state = 'deleting';

/* postgres:
-- On SQLite events live in one file per day, beside this database.
CREATE TABLE event (
    day         BIGINT  NOT NULL,
    id          TEXT    NOT NULL,
    app         TEXT    NOT NULL,
    device      BYTEA   NOT NULL,
    action      TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    file        TEXT    NOT NULL,
    old_version TEXT    NOT NULL,
    platform    TEXT    NOT NULL,
    native      TEXT    NOT NULL,
    plugin      TEXT    NOT NULL,
    prod        BOOLEAN NOT NULL,
    emulator    BOOLEAN NOT NULL,
    at          BIGINT  NOT NULL,
    received_at BIGINT  NOT NULL,
    metadata    TEXT    NOT NULL
) PARTITION BY LIST (day);
:postgres */
