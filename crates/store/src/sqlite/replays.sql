-- Version 2: replays as resources, and endpoints as they were.

-- `definition`, `control` and `progress` are JSON documents: what was asked for, how it is steered, how
-- far it is. `page` counts the pages of items written; `revision` is that of the last steering.
CREATE TABLE replays (
  id          BLOB PRIMARY KEY,
  project     BLOB NOT NULL,
  state       INTEGER NOT NULL,
  open        INTEGER NOT NULL,
  revision    INTEGER NOT NULL,
  page        INTEGER NOT NULL,
  key         TEXT,
  fingerprint BLOB,
  definition  TEXT NOT NULL,
  control     TEXT NOT NULL,
  progress    TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX replays_by_project ON replays (project, id);
CREATE INDEX replays_open ON replays (project) WHERE open = 1;
CREATE INDEX replays_by_revision ON replays (revision);
CREATE UNIQUE INDEX replays_by_key ON replays (project, key) WHERE key IS NOT NULL;

-- Settled items by how they ended; counted in the transaction that settles them. reason -1: none.
CREATE TABLE replay_counts (
  replay BLOB NOT NULL,
  status INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  count  INTEGER NOT NULL,
  PRIMARY KEY (replay, status, reason)
) WITHOUT ROWID;

CREATE INDEX waiting_by_replay ON waiting (replay, endpoint, ord) WHERE replay IS NOT NULL;
-- The replay's id in `detail`, see detail.rs.
CREATE INDEX settled_by_replay ON settled (substr(detail, 19, 16), ord) WHERE trigger = 1;

-- A state of an endpoint that was replaced, and when.
CREATE TABLE endpoint_versions (
  endpoint BLOB NOT NULL,
  until    INTEGER NOT NULL,
  doc      TEXT NOT NULL,
  PRIMARY KEY (endpoint, until)
) WITHOUT ROWID;

INSERT INTO meta VALUES ('replay_revision', 0);
