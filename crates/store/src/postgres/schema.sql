-- Version 1. A delivery is in exactly one of two tables: `waiting` until its last attempt, then
-- `settled`, with the attempt it settled on when that was its first; all others are in `attempts`.
-- Ids are 128-bit ULIDs as uuid, so id order is time order: history is partitioned by it.
-- Callers' texts are bytea: a text of PostgreSQL cannot hold a NUL, and one event must not fail its
-- neighbours. `detail` columns hold what no index and no join looks at (see detail.rs).

-- One row. Rises with every write of `catalog`.
CREATE TABLE catalog_version (version bigint NOT NULL);
INSERT INTO catalog_version VALUES (0);

-- Endpoints, subscriptions, keys …: few rows, read whole at start. `version` is that of the last write.
CREATE TABLE catalog (
  kind    smallint NOT NULL,
  id      uuid NOT NULL,
  version bigint NOT NULL,
  doc     text NOT NULL,
  PRIMARY KEY (kind, id)
);
CREATE INDEX catalog_by_version ON catalog (version);

CREATE TABLE events (
  id         uuid PRIMARY KEY,
  project    uuid NOT NULL,
  type       bytea NOT NULL,
  source     uuid,
  idem       bytea,
  related_to uuid,
  flags      smallint NOT NULL,
  detail     bytea NOT NULL,
  data       bytea NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX events_by_project ON events (project, id);
CREATE TABLE events_rest PARTITION OF events DEFAULT;

-- The first event with a key, for as long as the event is kept.
CREATE TABLE idempotency (
  project uuid NOT NULL,
  key     bytea NOT NULL,
  event   uuid NOT NULL,
  PRIMARY KEY (project, key)
);
CREATE INDEX idempotency_by_event ON idempotency (event);

-- Hot and, at best, small: rows come and go, so it is vacuumed early and leaves room in its pages.
CREATE TABLE waiting (
  id       uuid PRIMARY KEY,
  shard    smallint NOT NULL,
  endpoint uuid NOT NULL,
  class    smallint NOT NULL,
  due_at   bigint NOT NULL,
  project  uuid NOT NULL,
  event    uuid NOT NULL,
  attempts integer NOT NULL,
  detail   bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX waiting_by_lane ON waiting (shard, endpoint, class, due_at, id);
CREATE INDEX waiting_by_project ON waiting (project, id);
-- Class 2 is replay: all others were born right behind their event.
CREATE INDEX waiting_by_event ON waiting (event) WHERE class = 2;

CREATE TABLE settled (
  id       uuid PRIMARY KEY,
  project  uuid NOT NULL,
  endpoint uuid NOT NULL,
  event    uuid NOT NULL,
  trigger  smallint NOT NULL,
  status   smallint NOT NULL,
  inline   boolean NOT NULL,
  detail   bytea NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX settled_by_project ON settled (project, id);
CREATE INDEX settled_by_endpoint ON settled (endpoint, id);
CREATE INDEX settled_by_event ON settled (event) WHERE trigger = 1;
CREATE TABLE settled_rest PARTITION OF settled DEFAULT;

CREATE TABLE attempts (
  delivery uuid NOT NULL,
  number   integer NOT NULL,
  detail   bytea NOT NULL,
  PRIMARY KEY (delivery, number)
) PARTITION BY RANGE (delivery);
CREATE TABLE attempts_rest PARTITION OF attempts DEFAULT;

-- Connect's replay keys (contracts/connect.md): forgotten after a day.
CREATE TABLE replay_keys (
  project     uuid NOT NULL,
  key         bytea NOT NULL,
  fingerprint bytea NOT NULL,
  deliveries  uuid[] NOT NULL,
  at          bigint NOT NULL,
  PRIMARY KEY (project, key)
);
CREATE INDEX replay_keys_by_age ON replay_keys (at);

-- Who runs, by the database's clock alone. `fence` names the node's advisory lock (see lease.rs).
CREATE TABLE nodes (
  id         uuid PRIMARY KEY,
  fence      integer GENERATED ALWAYS AS IDENTITY,
  label      text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  heartbeat  timestamptz NOT NULL DEFAULT now(),
  -- About to end: its shards have other heirs.
  retiring   boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

CREATE TABLE shards (
  shard     smallint PRIMARY KEY,
  owner     uuid,
  epoch     bigint NOT NULL DEFAULT 0,
  since     timestamptz NOT NULL DEFAULT now(),
  -- The owner is asked to leave it to this node, and has not yet.
  wanted_by uuid
) WITH (fillfactor = 50);
INSERT INTO shards (shard) SELECT generate_series(0, 255);

-- Probes write here.
CREATE TABLE probe (one boolean PRIMARY KEY DEFAULT true, at timestamptz NOT NULL DEFAULT now());
INSERT INTO probe DEFAULT VALUES;

-- Fails the transaction when the catalog is newer than what its events were routed under.
CREATE FUNCTION refuse_stale_catalog(routed_at bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT version FROM catalog_version) > routed_at THEN
    RAISE EXCEPTION 'the catalog is newer' USING ERRCODE = 'DC001';
  END IF;
END $$;
