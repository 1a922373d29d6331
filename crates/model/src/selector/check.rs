//! Selectors that could only ever mean nothing are refused: an empty result would look like good news.

use super::error::{Problem, SelectorError};
use super::{EventStatus, Selector, SetMode};
use crate::delivery::Status;

impl Selector {
    /// What the mode and the conditions say together. Parsing asks it; whoever changes `mode` after
    /// that asks again.
    pub fn check_mode(&self) -> Result<(), SelectorError> {
        let against =
            |field: &str, why| Err(SelectorError::new(field, Problem::AgainstMode { mode: self.mode.as_str(), why }));
        match self.mode {
            SetMode::Missing => {
                const WHY: &str = "what is missing has no deliveries to ask about";
                for (field, is_asked) in [
                    ("delivery_status", !self.delivery_status.is_empty()),
                    ("http_status", !self.http_status.is_empty()),
                    ("attempts_min", self.attempts_min.is_some()),
                    ("replay_id", self.replay_id.is_some()),
                    ("subscription_ids", !self.subscription_ids.is_empty()),
                ] {
                    if is_asked {
                        return against(field, WHY);
                    }
                }
            }
            SetMode::Failed if self.leaves_out(Status::Failure) => {
                return against("delivery_status", "it leaves out Failure, which is all this mode looks for");
            }
            SetMode::Discarded if self.leaves_out(Status::Discarded) => {
                return against("delivery_status", "it leaves out Discarded, which is all this mode looks for");
            }
            SetMode::Failed | SetMode::Discarded | SetMode::All => {}
        }
        let needs_deliveries = matches!(self.mode, SetMode::Failed | SetMode::Discarded) || self.asks_of_deliveries();
        if needs_deliveries && !self.event_status.is_empty() && !self.event_status.contains(&EventStatus::Success) {
            return Err(SelectorError::new("event_status", Problem::NoDeliveries));
        }
        Ok(())
    }

    fn leaves_out(&self, status: Status) -> bool {
        !self.delivery_status.is_empty() && !self.delivery_status.iter().any(|asked| asked.0 == status)
    }
}
