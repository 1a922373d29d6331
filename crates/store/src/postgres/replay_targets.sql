-- Of an event that was replayed to many, those to one endpoint.
CREATE INDEX settled_replays_by_target ON settled (event, endpoint) WHERE trigger = 1;
