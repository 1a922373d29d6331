//! Where a list goes on: opaque to callers; to us, which list gave it out and the id of the next row.

use super::error::Error;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dacapo_model::Id;

/// The lists of this surface. A cursor of one says nothing to another: both hold ids, of other things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Events,
    Deliveries,
}

impl List {
    const fn code(self) -> u8 {
        match self {
            Self::Events => b'e',
            Self::Deliveries => b'd',
        }
    }
}

pub fn write(list: List, next: Id) -> String {
    let mut bytes = vec![list.code()];
    bytes.extend(next.to_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn read(list: List, text: &str) -> Result<Id, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let id = bytes.and_then(|bytes| Id::from_slice(bytes.strip_prefix(&[list.code()])?));
    id.ok_or(Error::parameter("invalid_cursor", "cursor", "This cursor was not given out by this list."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lists() -> impl Strategy<Value = List> {
        prop_oneof![Just(List::Events), Just(List::Deliveries)]
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back_in_its_own_list_alone(value: u128, list in lists(), other in lists()) {
            let id = Id::from_u128(value);
            match read(other, &write(list, id)) {
                Ok(read) => prop_assert_eq!((read, other), (id, list)),
                Err(Error::Parameter { code, .. }) => prop_assert!(code == "invalid_cursor" && other != list),
                Err(error) => prop_assert!(false, "{error:?}"),
            }
        }

        #[test]
        fn anything_else_is_refused(text in ".{0,30}", list in lists()) {
            if let Ok(id) = read(list, &text) {
                prop_assert_eq!(write(list, id), text);
            }
        }
    }
}
