//! A delivery's status in Connect's words (contracts/connect.md, Objects).

use dacapo_model::delivery::Reason;
use dacapo_model::{Delivery, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Pending,
    Processing,
    Delivered,
    /// This attempt failed and another is due, or none may be made.
    Failed,
    /// No attempts left.
    Exhausted,
}

impl Word {
    pub const ALL: [Self; 5] = [Self::Pending, Self::Processing, Self::Delivered, Self::Failed, Self::Exhausted];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Exhausted => "exhausted",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str() == text)
    }

    pub fn of(delivery: &Delivery) -> Self {
        match (delivery.status, delivery.reason) {
            (Status::Scheduled, _) => Self::Pending,
            (Status::Processing, _) => Self::Processing,
            (Status::Success, _) => Self::Delivered,
            (Status::Failure, Some(Reason::RetryLimit)) => Self::Exhausted,
            (Status::Retry | Status::Failure | Status::Discarded, _) => Self::Failed,
        }
    }

    /// The stored statuses that may show as this word; [`Self::of`] tells for sure.
    pub fn stored(self) -> Vec<Status> {
        match self {
            Self::Pending => vec![Status::Scheduled],
            Self::Processing => vec![Status::Processing],
            Self::Delivered => vec![Status::Success],
            Self::Failed => vec![Status::Retry, Status::Failure, Status::Discarded],
            Self::Exhausted => vec![Status::Failure],
        }
    }
}
