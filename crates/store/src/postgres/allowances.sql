-- How far the rate limits of endpoints were used up when their shard was let go. Who takes the shard
-- next takes its rows out.
CREATE TABLE allowances (
  shard    smallint,
  endpoint uuid,
  -- The shard's when it was let go: for whom takes it from there, and nobody later.
  epoch    bigint NOT NULL,
  whole_at timestamptz NOT NULL,
  PRIMARY KEY (shard, endpoint)
);
