//! Values that no index, no condition and no join looks at, as bytes of one column; the attempt, which
//! both engines pack alike.
//!
//! A byte that names the layout, then postcard's encoding of a struct. Fields are known by their
//! place: another order, type or field is another layout.

use crate::{Result, StoreError};
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::{Attempt, Id, Timestamp};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize, Serializer};
use std::net::IpAddr;

const LAYOUT: u8 = 1;

pub type IdBytes = [u8; 16];

/// An attempt, without what its place says of it: the delivery and its number.
#[derive(Serialize, Deserialize)]
pub struct Made<'a> {
    id: IdBytes,
    url: &'a str,
    ip: Option<IpAddr>,
    request: &'a str,
    status: Option<u16>,
    response: &'a str,
    #[serde(serialize_with = "in_one_piece")]
    body: &'a [u8],
    error: Option<&'a str>,
    succeeded: bool,
    at: i64,
    us: u64,
}

/// Not byte for byte, as slices serialize by themselves; they read the same.
fn in_one_piece<S: Serializer>(bytes: &[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl<'a> Made<'a> {
    pub fn of(attempt: &'a Attempt) -> Self {
        Self {
            id: attempt.id.to_bytes(),
            url: &attempt.url,
            ip: attempt.ip,
            request: attempt.request_headers.as_text(),
            status: attempt.status,
            response: attempt.response_headers.as_text(),
            body: &attempt.response_body,
            error: attempt.error.as_deref(),
            succeeded: attempt.succeeded,
            at: attempt.requested_at.micros(),
            us: attempt.duration_us,
        }
    }

    pub fn attempt(&self, delivery_id: Id, number: u32) -> Attempt {
        Attempt {
            id: Id::from_bytes(self.id),
            delivery_id,
            number,
            url: self.url.to_owned(),
            ip: self.ip,
            request_headers: HeaderLines::from_text(self.request.to_owned()),
            status: self.status,
            response_headers: HeaderLines::from_text(self.response.to_owned()),
            response_body: Bytes::copy_from_slice(self.body),
            error: self.error.map(str::to_owned),
            succeeded: self.succeeded,
            requested_at: Timestamp::from_micros(self.at),
            duration_us: self.us,
        }
    }
}

/// Writes over what the buffer held: one is used for row after row.
pub fn encode(detail: &impl Serialize, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    buffer.push(LAYOUT);
    postcard::serialize_with_flavor(detail, Appending(buffer)).map_err(|cause| StoreError::Refused(cause.to_string()))
}

/// Why it does not read, in words, as the error.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> std::result::Result<T, String> {
    match front(bytes)? {
        (detail, []) => Ok(detail),
        _ => Err("more than was written".to_owned()),
    }
}

/// Of a struct, the fields that come first: what follows them is not looked at.
pub fn decode_front<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> std::result::Result<T, String> {
    front(bytes).map(|(front, _)| front)
}

fn front<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> std::result::Result<(T, &'a [u8]), String> {
    let Some((&LAYOUT, encoded)) = bytes.split_first() else {
        return Err("unknown layout".to_owned());
    };
    postcard::take_from_bytes(encoded).map_err(|cause| cause.to_string())
}

struct Appending<'a>(&'a mut Vec<u8>);

impl Flavor for Appending<'_> {
    type Output = ();

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
