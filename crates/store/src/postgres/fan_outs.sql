-- Large fan-outs. `more`: targets behind those in `detail`, in the layout of targets.rs, whose
-- deliveries are written later; kept, because lists ask whom an event reached. Few events have any. Not
-- compressed (ids do not compress), so that a piece is read without the rest.
ALTER TABLE events ADD COLUMN more bytea;
ALTER TABLE events ALTER COLUMN more SET STORAGE EXTERNAL;

-- A row for each event that has any, kept as long as the event.
CREATE TABLE fan_outs (
  event   uuid PRIMARY KEY,
  project uuid NOT NULL,
  -- That of the event's id: its owner goes on. NULL once finished.
  shard   smallint,
  -- How many targets `more` holds, and how many of them have their deliveries.
  count   integer NOT NULL,
  next    integer NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX fan_outs_unfinished ON fan_outs (event) WHERE shard IS NOT NULL;
CREATE INDEX fan_outs_by_project ON fan_outs (project, event);
