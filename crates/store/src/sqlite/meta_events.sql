-- Webhooks about this product itself: written with what they tell of, sent later. status up to 2: to be
-- sent (see meta_events.rs). `last` is the last attempt, packed.
CREATE TABLE meta_events (
  ord         INTEGER PRIMARY KEY,
  tail        INTEGER NOT NULL,
  project     BLOB NOT NULL,
  type        TEXT NOT NULL,
  strategy    INTEGER NOT NULL,
  interval_s  INTEGER NOT NULL,
  retry_limit INTEGER NOT NULL,
  status      INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  due_at      INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  last        BLOB,
  body        BLOB NOT NULL
);
CREATE INDEX meta_events_by_project ON meta_events (project);
CREATE INDEX meta_events_owed ON meta_events (project, due_at) WHERE status <= 2;
