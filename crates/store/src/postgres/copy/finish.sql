DROP TRIGGER copying ON nodes;
DROP FUNCTION refuse_node_while_copying();
UPDATE copy_progress SET finished_at = now();
-- Nothing is known yet of what came all at once.
ANALYZE catalog, events, waiting, settled, attempts, idempotency, meta_events;
