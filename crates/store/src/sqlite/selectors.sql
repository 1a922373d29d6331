-- Ways that selectors take. What was delivered at the first try enters neither.

-- Of an event that was replayed to many, those to one endpoint.
CREATE INDEX settled_replays_by_target ON settled (event_ord, endpoint) WHERE trigger = 1;
-- What failed (4) or was discarded (5), in order of its event, whoever it was for.
CREATE INDEX settled_given_up ON settled (project, status, event_ord, endpoint) WHERE status IN (4, 5);
