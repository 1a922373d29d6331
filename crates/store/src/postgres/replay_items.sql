-- The way of selectors that name a replay: its items by how they ended, in order of their events.
CREATE INDEX settled_items ON settled (substring(detail FROM 19 FOR 16), status, event) WHERE trigger = 1;
