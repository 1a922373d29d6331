//! What is kept of one call that sent something again: who, when, what, and what it came to. It is
//! written with what the call did, and not changed after.

use super::Asker;
use crate::clock::Timestamp;
use crate::id::Id;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Of its deliveries too, where it made any.
    pub id: Id,
    pub project_id: Id,
    pub said: Said,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub asked_by: Asker,
    pub at: Timestamp,
    pub asked: Asked,
    /// Deliveries made, or put back.
    pub items: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Asked {
    /// A stored event through routing again.
    Event {
        event_id: Id,
        /// To no other endpoint.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint_id: Option<Id>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
    },
    /// Deliveries that were settled, again as they are.
    Deliveries {
        /// Those that had succeeded; otherwise those that had not.
        succeeded: bool,
        /// Without those that could not be put back.
        delivery_ids: Vec<Id>,
        refused: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    Single,
    Resend,
}

impl CallKind {
    pub const ALL: [Self; 2] = [Self::Single, Self::Resend];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Resend => "resend",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Stored.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl Call {
    pub const fn kind(&self) -> CallKind {
        match self.said.asked {
            Asked::Event { .. } => CallKind::Single,
            Asked::Deliveries { .. } => CallKind::Resend,
        }
    }

    /// Deliveries it put back; empty for one that made its own.
    pub fn put_back(&self) -> &[Id] {
        match &self.said.asked {
            Asked::Event { .. } => &[],
            Asked::Deliveries { delivery_ids, .. } => delivery_ids,
        }
    }
}

/// Where a call's deliveries are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    pub waiting: u64,
    pub success: u64,
    pub failure: u64,
    pub discarded: u64,
}

impl Whereabouts {
    /// Settled ones of this status.
    pub fn add(&mut self, status: crate::Status, count: u64) {
        match status {
            crate::Status::Success => self.success += count,
            crate::Status::Failure => self.failure += count,
            crate::Status::Discarded => self.discarded += count,
            crate::Status::Scheduled | crate::Status::Processing | crate::Status::Retry => self.waiting += count,
        }
    }

    pub const fn known(&self) -> u64 {
        self.waiting + self.success + self.failure + self.discarded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::AskerKind;

    #[test]
    fn what_was_said_reads_back_as_it_was_written() {
        let asked_by = Asker { kind: AskerKind::ConnectKey, id: Some(Id::from_u128(1)) };
        let event = Asked::Event { event_id: Id::from_u128(2), endpoint_id: None, idempotency_key: None };
        let ids = vec![Id::from_u128(3)];
        let again = Asked::Deliveries { succeeded: true, delivery_ids: ids, refused: 1 };
        for (asked, kind) in [(event, CallKind::Single), (again, CallKind::Resend)] {
            let said = Said { asked_by: asked_by.clone(), at: Timestamp::from_millis(5), asked, items: 1 };
            let text = serde_json::to_string(&said).expect("writes");
            assert_eq!(serde_json::from_str::<Said>(&text).expect("reads"), said, "{text}");
            let call = Call { id: Id::MIN, project_id: Id::MIN, said };
            assert_eq!((call.kind(), CallKind::parse(kind.as_str())), (kind, Some(kind)));
        }
    }
}
