//! When two frozen selectors mean the same: what is under way is not started again.

use super::frozen;
use serde_json::json;

#[test]
fn the_same_conditions_meet_where_their_windows_do() {
    let hour = frozen(&json!({"from": "-1h", "endpoint_ids": [crate::Id::from_u128(10)]}));
    for (other, meets) in [
        (json!({"from": "-1h", "endpoint_ids": [crate::Id::from_u128(10)]}), true),
        // Asked again a little later: the window has moved on.
        (json!({"from": "-2h", "to": "-30m", "endpoint_ids": [crate::Id::from_u128(10)]}), true),
        (json!({"from": "-2h", "to": "-1h", "endpoint_ids": [crate::Id::from_u128(10)]}), true),
        (json!({"from": "-3h", "to": "-2h", "endpoint_ids": [crate::Id::from_u128(10)]}), false),
        (json!({"from": "-1h", "endpoint_ids": [crate::Id::from_u128(11)]}), false),
        (json!({"from": "-1h"}), false),
        (json!({"from": "-1h", "endpoint_ids": [crate::Id::from_u128(10)], "mode": "failed"}), false),
        (json!({"from": "-1h", "endpoint_ids": [crate::Id::from_u128(10)], "idempotency_key": "k"}), false),
        (json!({"from": "-1h", "endpoint_ids": [crate::Id::from_u128(10)], "filter": {"body": {"a": 1}}}), false),
    ] {
        let other_frozen = frozen(&other);
        assert_eq!(hour.meets(&other_frozen), meets, "{other}");
        assert_eq!(other_frozen.meets(&hour), meets, "{other}, the other way");
    }
}
