//! What an idempotency key stands for: the event and the body, as one hash.

use aws_lc_rs::digest::{Context, SHA256};
use dacapo_model::Id;

/// SHA-256 over the event's 16 bytes and the body as sent.
pub fn of(event: Id, body: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(&event.to_bytes());
    context.update(body);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_and_body_both_count() {
        let (event, other) = (Id::from_u128(1), Id::from_u128(2));
        assert_eq!(of(event, b"{}"), of(event, b"{}"));
        assert_ne!(of(event, b"{}"), of(event, b""));
        assert_ne!(of(event, b"{}"), of(other, b"{}"));
    }
}
