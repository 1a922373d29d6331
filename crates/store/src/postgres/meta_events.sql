-- Webhooks about this product itself: written with what they tell of, sent later. status up to 2: to be
-- sent (see meta_events.rs). `last` is the last attempt, packed.
CREATE TABLE meta_events (
  id          uuid PRIMARY KEY,
  project     uuid NOT NULL,
  type        text NOT NULL,
  strategy    smallint NOT NULL,
  interval_s  integer NOT NULL,
  retry_limit integer NOT NULL,
  status      smallint NOT NULL,
  attempts    integer NOT NULL,
  due_at      bigint NOT NULL,
  created_at  bigint NOT NULL,
  updated_at  bigint NOT NULL,
  last        bytea,
  body        bytea NOT NULL
);
CREATE INDEX meta_events_by_project ON meta_events (project, id);
CREATE INDEX meta_events_owed ON meta_events (project, due_at) WHERE status <= 2;
