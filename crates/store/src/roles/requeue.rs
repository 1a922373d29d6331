//! The two doors back into the pipeline: an existing delivery again, or new deliveries of a stored event.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::event::Target;
use dacapo_model::replay::{Asked, Asker, Call, Said};
use dacapo_model::{Delivery, Id, Status, Timestamp};

/// New deliveries of a stored event.
#[derive(Clone, Debug)]
pub struct NewReplay {
    pub project_id: Id,
    pub event_id: Id,
    pub replay_id: Id,
    /// One new delivery each, with its id; none leaves the event as it is and remembers no key.
    pub targets: Vec<(Id, Target)>,
    /// Set when the caller gave a key: see [`Idempotency`].
    pub idempotency: Option<Idempotency>,
    pub at: Timestamp,
    /// Kept when this is written; without it, nothing tells of the call.
    pub call: Option<Call>,
}

/// The same key and the same fingerprint within the window give the deliveries of the first call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// SHA-256 over what the key stands for (event and body).
    pub fingerprint: [u8; 32],
    /// Keys written at or before this moment are forgotten.
    pub forget_before: Timestamp,
}

/// What a replay call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayWritten {
    /// The deliveries as they wait now.
    New(Vec<Delivery>),
    /// The key was used for the same thing before: ids of the deliveries made then.
    Before(Vec<Id>),
    /// The key was used for something else.
    Conflict,
    UnknownEvent,
}

/// Sending an existing delivery again (contracts/convoy.md §2.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResendKind {
    /// From `Failure` and `Discarded` only.
    Failed,
    /// From `Success` only.
    Succeeded,
}

impl ResendKind {
    /// A settled delivery as it waits again from `at` on; `None` when the kind does not allow its state.
    pub fn again(self, settled: &Delivery, at: Timestamp) -> Option<Delivery> {
        let allowed = match self {
            Self::Failed => matches!(settled.status, Status::Failure | Status::Discarded),
            Self::Succeeded => settled.status == Status::Success,
        };
        allowed.then(|| Delivery {
            status: Status::Scheduled,
            reason: None,
            manual: true,
            latency_us: 0,
            due_at: at,
            updated_at: at,
            ..settled.clone()
        })
    }
}

/// Settled deliveries to be put back.
#[derive(Clone, Debug)]
pub struct NewResend {
    pub project_id: Id,
    pub deliveries: Vec<Id>,
    pub kind: ResendKind,
    pub at: Timestamp,
    /// Under which the call is kept.
    pub call_id: Id,
    pub asked_by: Asker,
}

impl NewResend {
    /// What is kept of it; `None` when nothing was put back.
    pub fn call(&self, answers: &[Resend]) -> Option<Call> {
        let scheduled = answers.iter().filter_map(|answer| match answer {
            Resend::Scheduled(delivery) => Some(delivery.id),
            Resend::WrongState(_) | Resend::Unknown => None,
        });
        let delivery_ids: Vec<Id> = scheduled.collect();
        let items = delivery_ids.len() as u64;
        let refused = answers.len() as u64 - items;
        let asked = Asked::Deliveries { succeeded: self.kind == ResendKind::Succeeded, delivery_ids, refused };
        let said = Said { asked_by: self.asked_by.clone(), at: self.at, asked, items };
        (items > 0).then_some(Call { id: self.call_id, project_id: self.project_id, said })
    }
}

/// What became of one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resend {
    /// Waiting again, as this.
    Scheduled(Delivery),
    /// In a state the kind does not allow.
    WrongState(Delivery),
    Unknown,
}

#[async_trait]
pub trait Requeue: Send + Sync + 'static {
    /// Writes all deliveries, the call and the idempotency row in one transaction. Fifty racing calls with
    /// one key write once. A replayed event whose fan-out had matched nobody becomes matched.
    async fn replay(&self, replay: NewReplay) -> Result<ReplayWritten>;

    /// Puts settled deliveries back into the queue, due at `at`. One answer an id, in order.
    /// History stays: earlier attempts remain, `attempts` goes on counting; the call is kept with it.
    async fn resend(&self, resend: NewResend) -> Result<Vec<Resend>>;
}
