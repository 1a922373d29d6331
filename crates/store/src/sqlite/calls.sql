-- Calls that sent something again, for the audit: `said` is a JSON document. kind 0: an event, routed
-- again (its deliveries name the call); 1: deliveries put back (`said` names them).
CREATE TABLE replay_calls (
  project BLOB NOT NULL,
  kind    INTEGER NOT NULL,
  id      BLOB NOT NULL,
  said    TEXT NOT NULL,
  PRIMARY KEY (project, kind, id)
) WITHOUT ROWID;
