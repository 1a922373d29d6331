//! Where a list goes on: opaque to callers, the id of the next row to us.

use super::error::Error;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dacapo_model::Id;

pub fn write(next: Id) -> String {
    URL_SAFE_NO_PAD.encode(next.to_bytes())
}

pub fn read(text: &str) -> Result<Id, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let id = bytes.and_then(|bytes| Id::from_slice(&bytes));
    id.ok_or(Error::parameter("invalid_cursor", "cursor", "This cursor was not given out by a list."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursors_read_back(value: u128) {
            let id = Id::from_u128(value);
            prop_assert_eq!(read(&write(id)).ok(), Some(id));
        }

        #[test]
        fn anything_else_is_refused(text in ".{0,30}") {
            if let Ok(id) = read(&text) {
                prop_assert_eq!(write(id), text);
            }
        }
    }
}
