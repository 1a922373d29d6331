-- Nodes vacuum it when there is something to be done (sweep.rs). What is left for the server's own, rows that only
-- came, may take its time: without a pause it kept everything else waiting for tens of milliseconds.
ALTER TABLE waiting RESET (autovacuum_vacuum_cost_delay);
ALTER TABLE waiting SET (vacuum_truncate = off);

-- Rows of nobody, in no node's shard and behind every time. A vacuum that comes while nothing has waited for long counts
-- the queue as empty, and until the next one plans would walk all of it for each row that is looked up by its id.
INSERT INTO waiting (id, shard, endpoint, class, due_at, project, event, attempts, detail)
  SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, -1, '00000000-0000-0000-0000-000000000000', 0,
         9223372036854775807, '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 0, ''
  FROM generate_series(1, 1000) n;
