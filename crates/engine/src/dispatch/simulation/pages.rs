//! Items in the simulation: written and handed to lanes as `replay/run.rs` does, looked up as `refill.rs` does.

use super::*;
use crate::dispatch::part::Had;
use crate::dispatch::refill::Looked;

impl World {
    /// A page of items of a replay that runs, of an event that is new or has been sent before.
    pub fn schedule(&mut self) {
        let index = self.dice.roll(self.replays.len() as u64) as usize;
        let (id, state) = (self.replays[index].id, self.replays[index].control.state);
        if state != State::Running {
            return;
        }
        let event = if self.dice.roll(2) == 0 { self.event() } else { self.one_before() };
        if self.is_ordered(Some(id)) {
            self.schedule_these(id, &event);
            return;
        }
        let since = self.dispatcher.moment();
        let rows = self.items(id, &event);
        let reached = |work: &&Work| self.reached.contains(&(work.delivery.endpoint_id, event.id));
        let had = Had {
            since,
            read_at: self.clock.now(),
            by: rows.iter().filter(reached).map(|work| work.delivery.id).collect(),
        };
        // Others are recorded while the page is on its way.
        if self.dice.roll(2) == 0 {
            self.record();
        }
        let places = self.dispatcher.place_rows(&rows);
        let is_written = self.never_fails || self.dice.roll(10) > 0;
        if is_written {
            self.write(&rows);
        }
        self.begin_read();
        if self.dice.roll(2) == 0 {
            self.end_read();
        }
        self.dispatcher.offer_rows(rows, &places, is_written, Some(&had));
    }

    /// A single call's, or a page of a run's whose items wait for their predecessors.
    pub fn schedule_these(&mut self, replay: Id, event: &Arc<Event>) {
        let rows = self.items(replay, event);
        self.write(&rows);
        let made: Vec<_> = rows.into_iter().map(|work| work.delivery).collect();
        self.dispatcher.stored(&made);
    }

    /// What the store says of rows that were read, and what is recorded meanwhile.
    pub fn look_up(&mut self, request: &Request, rows: &[Work]) -> Option<Looked> {
        let since = self.dispatcher.moment();
        let asked = self.dispatcher.to_look_up(request.endpoint_id, rows);
        let answer = |(event, endpoint): (Arc<Event>, Id)| (event.id, self.reached.contains(&(endpoint, event.id)));
        let reached = asked.into_iter().map(answer).collect();
        if self.dice.roll(2) == 0 {
            self.record();
        }
        Some(Looked { since, reached })
    }

    fn items(&mut self, replay: Id, event: &Arc<Event>) -> Vec<Work> {
        let now = self.clock.now();
        let is_ordered = self.is_ordered(Some(replay));
        let item = |target: &Target| {
            let mut delivery = target.delivery(event, self.ids.mint(now).0, Trigger::Replay, Some(replay), now);
            if is_ordered {
                delivery.due_at = HELD_UNTIL;
            }
            Work { delivery, event: Arc::clone(event) }
        };
        event.targets.iter().map(item).collect()
    }

    fn write(&mut self, rows: &[Work]) {
        for work in rows {
            let order = work.delivery.id.order();
            self.owed.insert(order);
            self.events.insert(order, Arc::clone(&work.event));
            self.waiting.insert(order, work.clone());
        }
    }

    fn one_before(&mut self) -> Arc<Event> {
        let which = self.dice.roll((self.events.len() as u64).max(1)) as usize;
        let before = self.events.values().nth(which).map(Arc::clone);
        before.unwrap_or_else(|| self.event())
    }
}
