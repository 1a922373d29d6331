-- Where a copy into this database is (see copy.rs): made by it, not by a migration, and kept after it.
CREATE TABLE copy_progress (
  one         boolean PRIMARY KEY DEFAULT true CHECK (one),
  -- Names the store it comes from.
  mark        bigint NOT NULL,
  stage       smallint NOT NULL,
  after       bytea NOT NULL,
  started_at  timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz
);

-- Half a store is not to be served. Waits for nodes that are joining, and keeps those after them out.
CREATE FUNCTION refuse_node_while_copying() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a store is being copied into this database: run the same `dacapo copy` until it has finished'
    USING ERRCODE = 'DC002';
END $$;
CREATE TRIGGER copying BEFORE INSERT ON nodes FOR EACH STATEMENT EXECUTE FUNCTION refuse_node_while_copying();
