-- What nearly all batches are, as a call each: sent alone it is a transaction of its own, so that its settings, locks
-- and end are no messages (rows/whole.rs has the callers). Each statement within has a snapshot of its own.

-- Events with what waits of them, unless the catalog is newer than what they were routed under: gives what it is.
-- $1 synchronous_commit, $2 version; $3–$11 columns of events, $12–$20 of waiting.
CREATE FUNCTION commit_events(
  text, bigint,
  uuid[], uuid[], bytea[], uuid[], bytea[], uuid[], smallint[], bytea[], bytea[],
  uuid[], smallint[], uuid[], smallint[], bigint[], uuid[], uuid[], integer[], bytea[]
) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan SET lock_timeout = '8s' AS $$
DECLARE
  current bigint;
BEGIN
  PERFORM set_config('synchronous_commit', $1, true);
  current := (SELECT version FROM catalog_version);
  IF current <= $2 THEN
    INSERT INTO events (id, project, type, source, idem, related_to, flags, detail, data)
      SELECT unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), unnest($8), unnest($9), unnest($10), unnest($11);
    INSERT INTO waiting (id, shard, endpoint, class, due_at, project, event, attempts, detail)
      SELECT unnest($12), unnest($13), unnest($14), unnest($15), unnest($16), unnest($17), unnest($18), unnest($19), unnest($20);
  END IF;
  RETURN current;
END $$;

-- From the queue to the history: gives how many went. Those whose row knows of this attempt already stay, and all of
-- them when one of the shards is not the node's by its epoch. The fence is held until the end, from before the shards
-- are looked at.
-- $1 synchronous_commit, $2 and $3 the fence, $4 shards, $5 epochs, $6 node; $7 ids, $8 attempts from which a row is
-- ahead, $9–$14 further columns of settled.
CREATE FUNCTION settle_first_attempts(
  text, integer, integer, smallint[], bigint[], uuid,
  uuid[], integer[], uuid[], uuid[], uuid[], smallint[], smallint[], bytea[]
) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan SET lock_timeout = '8s' AS $$
DECLARE
  went bigint;
BEGIN
  PERFORM set_config('synchronous_commit', $1, true), pg_advisory_xact_lock_shared($2, $3);
  IF EXISTS (SELECT FROM unnest($4, $5) h (shard, epoch)
             LEFT JOIN shards s ON s.shard = h.shard AND s.owner = $6 AND s.epoch = h.epoch WHERE s.shard IS NULL) THEN
    RETURN 0;
  END IF;
  WITH gone AS (
    DELETE FROM waiting w
    USING (SELECT unnest($7) AS id, unnest($8) AS before, unnest($9) AS project, unnest($10) AS endpoint,
                  unnest($11) AS event, unnest($12) AS trigger, unnest($13) AS status, unnest($14) AS detail) i
    WHERE w.id = i.id AND w.attempts < i.before
    RETURNING i.*)
  INSERT INTO settled (id, project, endpoint, event, trigger, status, inline, detail)
    SELECT id, project, endpoint, event, trigger, status, true, detail FROM gone;
  GET DIAGNOSTICS went = ROW_COUNT;
  RETURN went;
END $$;
