//! The answer's body: read up to a limit, un-gzipped up to the same limit.

use super::connection::Connection;
use super::failure::chain;
use crate::transport::Failure;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body, Incoming};
use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;

/// At most `bytes_max` bytes. What lies beyond is not read: the body is dropped, which closes an
/// HTTP/1 connection and resets an HTTP/2 stream. `true` with a body that was read to its end, which
/// frees its connection for reuse.
pub(super) async fn read(
    connection: &mut Connection,
    mut body: Incoming,
    bytes_max: usize,
) -> Result<(Vec<u8>, bool), Failure> {
    let mut kept = Vec::new();
    if body.is_end_stream() {
        return Ok((kept, true));
    }
    while let Some(frame) = poll_fn(|cx| connection.poll_frame(Pin::new(&mut body), cx)).await {
        let frame = frame.map_err(|error| Failure::Broken(chain(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = bytes_max - kept.len();
        // Copied: a slice would keep the connection's whole read buffer alive.
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((kept, false));
        }
    }
    Ok((kept, true))
}

/// `raw`, un-gzipped if that is how it came, to at most `bytes_max` bytes. What was cut off at the
/// limit inflates to its beginning; what is no gzip after all is kept as it came: the endpoint has
/// answered, and its status counts whatever its body looks like.
pub(super) fn decoded(headers: &HeaderMap, raw: Vec<u8>, bytes_max: usize) -> Bytes {
    if raw.is_empty() || !headers.get(CONTENT_ENCODING).is_some_and(is_gzip) {
        return Bytes::from(raw);
    }
    let mut inflated = Vec::new();
    let outcome = MultiGzDecoder::new(raw.as_slice()).take(bytes_max as u64).read_to_end(&mut inflated);
    if outcome.is_err() && inflated.is_empty() {
        return Bytes::from(raw);
    }
    Bytes::from(inflated)
}

fn is_gzip(value: &HeaderValue) -> bool {
    let value = value.as_bytes().trim_ascii();
    value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn gzip_headers() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("GZip"))])
    }

    #[test]
    fn gzip_is_undone_within_the_limit() {
        let raw = gzipped(b"{\"ok\":true}");
        assert_eq!(decoded(&gzip_headers(), raw.clone(), 1_024), &b"{\"ok\":true}"[..]);
        assert_eq!(decoded(&gzip_headers(), raw.clone(), 4), &b"{\"ok"[..]);
        assert_eq!(decoded(&HeaderMap::new(), raw.clone(), 1_024), raw);
    }

    #[test]
    fn a_bomb_inflates_to_the_limit_and_no_further() {
        let bomb = gzipped(&vec![b'a'; 32 * 1024 * 1024]);
        assert!(bomb.len() < 51_200);
        assert_eq!(decoded(&gzip_headers(), bomb, 51_200).len(), 51_200);
    }

    #[test]
    fn cut_off_gzip_gives_its_beginning_and_no_gzip_stays_as_it_came() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut cut = gzipped(&text);
        cut.truncate(cut.len() / 2);
        let beginning = decoded(&gzip_headers(), cut, 1 << 20);
        assert!(!beginning.is_empty() && text.starts_with(&beginning));
        assert_eq!(decoded(&gzip_headers(), b"plain".to_vec(), 64), &b"plain"[..]);
    }
}
