//! Round robin across projects, then across a project's lanes: a project with a thousand busy
//! endpoints gets as many turns as one with a single endpoint.

use dacapo_model::Id;
use dacapo_model::id::IdMap;
use std::collections::VecDeque;

/// Lanes that can send. Each lane is in here at most once; the caller sees to that.
#[derive(Default)]
pub struct Fair {
    turn: VecDeque<Id>,
    lanes: IdMap<VecDeque<Id>>,
}

impl Fair {
    pub fn push(&mut self, project: Id, lane: Id) {
        let lanes = self.lanes.entry(project).or_default();
        if lanes.is_empty() {
            self.turn.push_back(project);
        }
        lanes.push_back(lane);
    }

    /// The lane whose turn it is; to be pushed again when it has more to send.
    pub fn pop(&mut self) -> Option<Id> {
        let project = self.turn.pop_front()?;
        let lanes = self.lanes.get_mut(&project)?;
        let lane = lanes.pop_front();
        if lanes.is_empty() {
            self.lanes.remove(&project);
        } else {
            self.turn.push_back(project);
        }
        lane
    }

    pub fn is_empty(&self) -> bool {
        self.turn.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_project_gets_no_more_turns_than_a_quiet_one() {
        let (busy, quiet) = (Id::from_u128(1), Id::from_u128(2));
        let mut fair = Fair::default();
        for lane in 10..20 {
            fair.push(busy, Id::from_u128(lane));
        }
        fair.push(quiet, Id::from_u128(99));
        let mut turns_of_quiet = 0;
        for _ in 0..20 {
            let lane = fair.pop().expect("lanes are waiting");
            let project = if lane == Id::from_u128(99) { quiet } else { busy };
            turns_of_quiet += usize::from(project == quiet);
            fair.push(project, lane);
        }
        assert_eq!(turns_of_quiet, 10);
    }
}
