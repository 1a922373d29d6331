//! Word of replays, for who drives them: which of them items came to something of here, and to which of
//! them somebody did something.
//!
//! One listener; what is said while it does not listen waits, an entry a replay.

use super::Dispatcher;
use dacapo_model::Id;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

#[derive(Default)]
pub struct Words {
    said: Mutex<Said>,
    told: Notify,
}

/// What was said since the listener last heard.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Items of these were tried or settled, and it is in the store.
    pub moved: BTreeSet<Id>,
    /// These were made, or steered.
    pub steered: BTreeSet<Id>,
}

impl Words {
    fn say(&self, add: impl FnOnce(&mut Said)) {
        add(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
        self.told.notify_one();
    }

    pub(super) fn moved(&self, replays: Vec<Id>) {
        if !replays.is_empty() {
            self.say(|said| said.moved.extend(replays));
        }
    }
}

impl Dispatcher {
    /// Replays were made or steered, by whomever.
    pub fn say_steered(&self, replays: impl IntoIterator<Item = Id>) {
        self.words.say(|said| said.steered.extend(replays));
    }

    /// Waits until there is something to hear. Nothing is lost when the waiting is given up.
    pub async fn hear_of_replays(&self) -> Said {
        loop {
            let said = std::mem::take(&mut *self.words.said.lock().unwrap_or_else(PoisonError::into_inner));
            if said != Said::default() {
                return said;
            }
            self.words.told.notified().await;
        }
    }
}
