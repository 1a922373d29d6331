-- Calls that sent something again, for the audit: `said` is a JSON document. kind 0: an event, routed
-- again (its deliveries name the call); 1: deliveries put back (`said` names them).
CREATE TABLE replay_calls (
  project uuid NOT NULL,
  kind    smallint NOT NULL,
  id      uuid NOT NULL,
  said    text NOT NULL,
  PRIMARY KEY (project, kind, id)
);
