-- Version 2: replays as resources, and endpoints as they were.

-- `definition`, `control` and `progress` are JSON documents: what was asked for, how it is steered, how
-- far it is. `page` counts the pages of items written; `revision` is that of the last steering.
CREATE TABLE replays (
  id          uuid PRIMARY KEY,
  project     uuid NOT NULL,
  state       smallint NOT NULL,
  open        boolean NOT NULL,
  revision    bigint NOT NULL,
  page        bigint NOT NULL,
  key         bytea,
  fingerprint bytea,
  definition  text NOT NULL,
  control     text NOT NULL,
  progress    text NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX replays_by_project ON replays (project, id);
CREATE INDEX replays_open ON replays (project) WHERE open;
CREATE INDEX replays_by_revision ON replays (revision);
CREATE UNIQUE INDEX replays_by_key ON replays (project, key) WHERE key IS NOT NULL;

-- One row. Rises with every steering; held while one is written, so that they are seen in order.
CREATE TABLE replay_revision (revision bigint NOT NULL);
INSERT INTO replay_revision VALUES (0);

-- Settled items by how they ended; counted in the transaction that settles them. Spread over `slot`s,
-- so that transactions side by side seldom wait for each other. reason -1: none.
CREATE TABLE replay_counts (
  replay uuid NOT NULL,
  slot   smallint NOT NULL,
  status smallint NOT NULL,
  reason smallint NOT NULL,
  count  bigint NOT NULL,
  PRIMARY KEY (replay, slot, status, reason)
) WITH (fillfactor = 50);

-- Which steerings a node acts by.
ALTER TABLE nodes ADD COLUMN replays_seen bigint NOT NULL DEFAULT 0;
-- What a node had in exchange when it learnt of a stop.
CREATE TABLE replay_flights (
  replay    uuid NOT NULL,
  node      uuid NOT NULL,
  revision  bigint NOT NULL,
  in_flight bigint NOT NULL,
  PRIMARY KEY (replay, node)
);

-- The replay's id in `detail`, see detail.rs. Class 2 is replay.
CREATE INDEX waiting_by_replay ON waiting (substring(detail FROM 19 FOR 16), endpoint, id) WHERE class = 2;
CREATE INDEX settled_by_replay ON settled (substring(detail FROM 19 FOR 16), id) WHERE trigger = 1;

-- A state of an endpoint that was replaced, and when.
CREATE TABLE endpoint_versions (
  endpoint uuid NOT NULL,
  until    bigint NOT NULL,
  doc      text NOT NULL,
  PRIMARY KEY (endpoint, until)
);
