-- Version 1. A delivery is in exactly one place: implied by its event's `targets` while it is fresh
-- (see fresh.rs), in `waiting` until its last attempt, then in `settled`. Nothing on the hot path is
-- updated in place. `ord` is Id::order(), `tail` is Id::tail(): together the 16-byte id, with the
-- rising half as the rowid, so that tables append at their right edge.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

-- Endpoints, subscriptions, keys …: few rows, read whole at start, held as JSON documents.
CREATE TABLE catalog (
  kind INTEGER NOT NULL,
  id   BLOB NOT NULL,
  doc  TEXT NOT NULL,
  PRIMARY KEY (kind, id)
) WITHOUT ROWID;

CREATE TABLE events (
  ord          INTEGER PRIMARY KEY,
  tail         INTEGER NOT NULL,
  project      BLOB NOT NULL,
  type         TEXT NOT NULL,
  headers      TEXT,
  flags        INTEGER NOT NULL,
  targets      BLOB,
  audience     BLOB,
  created_at   INTEGER NOT NULL,
  idem         TEXT,
  source       BLOB,
  url_query    TEXT,
  url_path     TEXT,
  related_to   BLOB,
  related_kind TEXT,
  -- Last, so that conditions on the columns before it never read a long payload.
  data         BLOB NOT NULL,
  CHECK ((related_to IS NULL) = (related_kind IS NULL))
);
CREATE INDEX events_by_project ON events (project);

-- The first event with a key, for as long as the event is kept.
CREATE TABLE idempotency (
  project BLOB NOT NULL,
  key     TEXT NOT NULL,
  event   BLOB NOT NULL,
  PRIMARY KEY (project, key)
) WITHOUT ROWID;

CREATE TABLE waiting (
  ord          INTEGER PRIMARY KEY,
  tail         INTEGER NOT NULL,
  project      BLOB NOT NULL,
  event_ord    INTEGER NOT NULL,
  event_tail   INTEGER NOT NULL,
  endpoint     BLOB NOT NULL,
  subscription BLOB NOT NULL,
  class        INTEGER NOT NULL,
  due_at       INTEGER NOT NULL,
  trigger      INTEGER NOT NULL,
  replay       BLOB,
  mode         INTEGER NOT NULL,
  strategy     INTEGER NOT NULL,
  interval_s   INTEGER NOT NULL,
  retry_limit  INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  manual       INTEGER NOT NULL,
  last_status  INTEGER,
  status       INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL
);
CREATE INDEX waiting_by_lane ON waiting (endpoint, class, due_at);
CREATE INDEX waiting_by_project ON waiting (project);
CREATE INDEX waiting_by_event ON waiting (event_ord) WHERE trigger = 1;

-- inline: the attempt it settled on was its first and is in `detail`; otherwise all attempts are in
-- `attempts`.
CREATE TABLE settled (
  ord       INTEGER PRIMARY KEY,
  project   BLOB NOT NULL,
  event_ord INTEGER NOT NULL,
  endpoint  BLOB NOT NULL,
  trigger   INTEGER NOT NULL,
  status    INTEGER NOT NULL,
  inline    INTEGER NOT NULL,
  -- What no index and no join needs (see detail.rs). Last, as `data` is.
  detail    BLOB NOT NULL
);
-- Those an event was born with are found through their event, whose neighbours they are.
CREATE INDEX settled_replays ON settled (project) WHERE trigger = 1;
CREATE INDEX settled_by_event ON settled (event_ord) WHERE trigger = 1;

CREATE TABLE attempts (
  delivery INTEGER NOT NULL,
  number   INTEGER NOT NULL,
  detail   BLOB NOT NULL,
  PRIMARY KEY (delivery, number)
) WITHOUT ROWID;

-- Deliveries by endpoint, written behind the events (see endpoint_log.rs).
CREATE TABLE endpoint_log (
  endpoint BLOB NOT NULL,
  ord      INTEGER NOT NULL,
  PRIMARY KEY (endpoint, ord)
) WITHOUT ROWID;

-- Connect's replay keys (contracts/connect.md): forgotten after a day.
CREATE TABLE replay_keys (
  project     BLOB NOT NULL,
  key         TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  deliveries  BLOB NOT NULL,
  at          INTEGER NOT NULL,
  PRIMARY KEY (project, key)
) WITHOUT ROWID;
CREATE INDEX replay_keys_by_age ON replay_keys (at);

INSERT INTO meta VALUES ('catalog_version', 0), ('fresh_floor', 0), ('endpoint_log_upto', 0);
