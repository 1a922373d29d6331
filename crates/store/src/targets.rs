//! Targets as bytes of one column: a fixed number for each, so that a piece of the column is a piece of
//! the list, and its length says how many there are.

use dacapo_model::delivery::Reason;
use dacapo_model::event::Target;
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Id, Mode};

/// endpoint 16, subscription 16, mode 1, strategy 1, reason 1 (255: none), interval 4, limit 4.
pub const TARGET_BYTES: usize = 43;
const NO_REASON: u8 = 255;

pub fn encode(targets: &[Target]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(targets.len() * TARGET_BYTES);
    for target in targets {
        bytes.extend_from_slice(&target.endpoint_id.to_bytes());
        bytes.extend_from_slice(&target.subscription_id.to_bytes());
        bytes.push(target.mode.code());
        bytes.push(target.policy.kind.code());
        bytes.push(target.discarded.map_or(NO_REASON, Reason::code));
        bytes.extend_from_slice(&target.policy.interval_s.to_be_bytes());
        bytes.extend_from_slice(&target.policy.limit.to_be_bytes());
    }
    bytes
}

/// `None` when it is not a whole number of them, or a code means nothing.
pub fn decode(bytes: &[u8]) -> Option<Vec<Target>> {
    if !bytes.len().is_multiple_of(TARGET_BYTES) {
        return None;
    }
    bytes.chunks_exact(TARGET_BYTES).map(decode_one).collect()
}

/// Of such bytes, whom they are for, in order; a rest that is no target is left out.
pub fn endpoints(bytes: &[u8]) -> impl Iterator<Item = Id> {
    bytes.chunks_exact(TARGET_BYTES).filter_map(|target| Id::from_slice(&target[..16]))
}

fn decode_one(bytes: &[u8]) -> Option<Target> {
    Some(Target {
        endpoint_id: Id::from_slice(&bytes[..16])?,
        subscription_id: Id::from_slice(&bytes[16..32])?,
        mode: Mode::from_code(bytes[32])?,
        policy: Policy {
            kind: Kind::from_code(bytes[33])?,
            interval_s: u32::from_be_bytes(bytes[35..39].try_into().ok()?),
            limit: u32::from_be_bytes(bytes[39..43].try_into().ok()?),
        },
        discarded: match bytes[34] {
            NO_REASON => None,
            code => Some(Reason::from_code(code)?),
        },
    })
}
