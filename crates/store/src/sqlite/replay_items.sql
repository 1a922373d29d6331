-- The way of selectors that name a replay: its items by how they ended, in order of their events.
CREATE INDEX settled_items ON settled (substr(detail, 19, 16), status, event_ord) WHERE trigger = 1;
