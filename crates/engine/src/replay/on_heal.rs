//! An endpoint that heals gets what failed there sent again: a replay that nobody had to ask for.

use super::desk::{Desk, Refused, Wish};
use crate::healing::OnHeal;
use async_trait::async_trait;
use dacapo_model::Status;
use dacapo_model::health::{Cause, Heal};
use dacapo_model::replay::{Asker, AskerKind, Options};
use dacapo_model::selector::{DeliveryStatus, Moment, Selector, SetMode};
use dacapo_store::StoreError;

#[async_trait]
impl OnHeal for Desk {
    /// Everything the endpoint missed is behind the replay's high-water mark, so a heal has no end but that.
    async fn healed(&self, heal: &Heal) -> Result<(), StoreError> {
        match self.start(wish(heal)).await {
            Ok((replay, is_repeated)) => {
                tracing::info!(endpoint = %heal.endpoint_id, replay = %replay.id, is_repeated, "an endpoint healed; what failed there is sent again");
                Ok(())
            }
            Err(Refused::Store(cause)) => Err(cause),
            Err(refused @ Refused::TooMany { .. }) => Err(StoreError::Unavailable(refused.to_string())),
            // The project or the endpoint is gone: there is nothing to recover.
            Err(refused) => {
                tracing::info!(endpoint = %heal.endpoint_id, %refused, "an endpoint healed, and nothing is recovered");
                Ok(())
            }
        }
    }
}

fn wish(heal: &Heal) -> Wish {
    // Before it was made active again, what came for it was given up at once, and its newest delivery says so.
    let (mode, delivery_status) = match heal.cause {
        Cause::BreakerClosed => (SetMode::Failed, Vec::new()),
        Cause::Activated => (SetMode::All, [Status::Failure, Status::Discarded].map(DeliveryStatus).to_vec()),
    };
    let selector = Selector {
        mode,
        delivery_status,
        from: Some(Moment::At(heal.at.minus(heal.lookback))),
        endpoint_ids: vec![heal.endpoint_id],
        ..Selector::default()
    };
    let reason = match heal.cause {
        Cause::BreakerClosed => "the endpoint's circuit breaker closed",
        Cause::Activated => "the endpoint was made active again",
    };
    Wish {
        project_id: heal.project_id,
        name: "recover on heal".to_owned(),
        reason: reason.to_owned(),
        asked_by: Asker { kind: AskerKind::System, id: None },
        given: serde_json::to_value(&selector).unwrap_or_default(),
        selector,
        options: Options::default(),
        expected: None,
        confirm_unbounded: false,
        // The key says all there is to say of the call.
        key: Some((heal.key(), [0; 32])),
    }
}
