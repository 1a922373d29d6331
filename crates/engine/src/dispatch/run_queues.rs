//! Items of runs in a lane's memory: a queue for each run, and the runs in turn. One that has to wait holds
//! up nobody else's.

use super::Work;
use dacapo_model::Id;
use std::collections::{BTreeSet, VecDeque};

#[derive(Default)]
pub struct RunQueues {
    /// The one whose turn it is first; none is empty. A project has few runs at a time.
    queues: VecDeque<(Id, VecDeque<Work>)>,
    len: usize,
}

impl RunQueues {
    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Runs that have something here.
    pub fn runs(&self) -> usize {
        self.queues.len()
    }

    pub fn push(&mut self, run: Id, work: Work) {
        self.len += 1;
        match self.queues.iter_mut().find(|(id, _)| *id == run) {
            Some((_, queue)) => queue.push_back(work),
            None => self.queues.push_back((run, VecDeque::from([work]))),
        }
    }

    /// Whose turn it is.
    pub fn front(&self) -> Option<Id> {
        self.queues.front().map(|(id, _)| *id)
    }

    /// The next one's turn.
    pub fn pass(&mut self) {
        if !self.queues.is_empty() {
            self.queues.rotate_left(1);
        }
    }

    /// An item of the run whose turn it is, which stays so while that has more.
    pub fn pop(&mut self) -> Option<Work> {
        let (_, queue) = self.queues.front_mut()?;
        let work = queue.pop_front();
        if queue.is_empty() {
            self.queues.pop_front();
        }
        self.len -= usize::from(work.is_some());
        work
    }

    /// The same, and then it is the next one's turn.
    pub fn take_turn(&mut self) -> Option<Work> {
        let run = self.front();
        let work = self.pop();
        if self.front() == run {
            self.pass();
        }
        work
    }

    /// Takes out what is of these runs.
    pub fn take_out(&mut self, runs: &BTreeSet<Id>) -> Vec<Work> {
        let mut out = Vec::new();
        self.queues.retain_mut(|(id, queue)| {
            let goes = runs.contains(id);
            if goes {
                out.extend(queue.drain(..));
            }
            !goes
        });
        self.len -= out.len();
        out
    }

    pub fn drain(&mut self) -> impl Iterator<Item = Work> {
        self.len = 0;
        std::mem::take(&mut self.queues).into_iter().flat_map(|(_, queue)| queue)
    }
}
