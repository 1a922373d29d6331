//! Reading request bodies, bounded.

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use dacapo_model::json::compact;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Duration;

/// Why there is no body to work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyRefused {
    #[error("request body too large: at most {bytes_max} bytes are accepted")]
    TooLarge { bytes_max: usize },
    /// The caller broke off.
    #[error("the request body could not be read to its end")]
    Unreadable,
}

/// Of a refused body this much is read and thrown away: most clients look for an answer only when
/// they have sent all, and would see a broken connection instead.
const DISCARDED_BYTES_MAX: u64 = 64 * 1024 * 1024;
const DISCARDING_MAX: Duration = Duration::from_secs(5);

pub async fn read(mut body: Body, bytes_max: usize) -> Result<Bytes, BodyRefused> {
    let announced = body.size_hint().lower();
    if announced > bytes_max as u64 {
        if announced <= DISCARDED_BYTES_MAX {
            discard(body).await;
        }
        return Err(BodyRefused::TooLarge { bytes_max });
    }
    match Limited::new(&mut body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(fault) if fault.is::<LengthLimitError>() => {
            discard(body).await;
            Err(BodyRefused::TooLarge { bytes_max })
        }
        Err(_) => Err(BodyRefused::Unreadable),
    }
}

async fn discard(mut body: Body) {
    let drained = async {
        let mut left = DISCARDED_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            left = left.saturating_sub(bytes);
            if left == 0 {
                return;
            }
        }
    };
    // Whoever takes longer has waited long enough for a refusal.
    let _ = tokio::time::timeout(DISCARDING_MAX, drained).await;
}

/// The compacted payload. A small one is copied: it would keep the connection's whole read buffer for
/// as long as the event waits, and the connection would have to get itself another one. A large one
/// shares the request's memory, unless most of that is something else.
pub fn payload(body: &Bytes, data: &str) -> Bytes {
    const COPIED_BYTES_MAX: usize = 16 * 1024;
    let data = compact(&body.slice_ref(data.as_bytes()));
    if data.len() <= COPIED_BYTES_MAX || body.len() - data.len().min(body.len()) > data.len() {
        return Bytes::copy_from_slice(&data);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_are_bounded_announced_or_not() {
        assert_eq!(read(Body::from("12345"), 5).await, Ok(Bytes::from_static(b"12345")));
        let refused = Err(BodyRefused::TooLarge { bytes_max: 4 });
        assert_eq!(read(Body::from("12345"), 4).await, refused);
        let pieces = ["123", "45"].map(Ok::<_, std::io::Error>);
        assert_eq!(read(Body::from_stream(futures_util::stream::iter(pieces)), 4).await, refused);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let pieces = [Ok("123"), Err(std::io::Error::other("reset"))];
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        assert_eq!(read(body, 10).await, Err(BodyRefused::Unreadable));
    }
}
