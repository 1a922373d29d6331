-- Large fan-outs. `more`: targets behind those of `targets`, in the same layout, whose deliveries are
-- written later; kept, because lists ask whom an event reached. Few events have any.
ALTER TABLE events ADD COLUMN more BLOB;

-- Those that are not finished: how many of `more` have their deliveries.
CREATE TABLE fan_outs (
  event_ord INTEGER PRIMARY KEY,
  next      INTEGER NOT NULL
);
