//! The longer ways of answering badly.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

const CHUNK_BYTES: usize = 64 << 10;
const HUGE_BODY_BYTES: usize = 64 << 20;
const HUGE_HEADERS_BYTES: usize = 8 << 20;
const BOMB_BYTES: usize = 100 << 20;
/// `100 Continue`s sent at most.
const CONTINUES_MAX: u32 = 10_000;
const CONTINUE_PAUSE: Duration = Duration::from_millis(10);
const DRIP_PAUSE: Duration = Duration::from_secs(1);

static CHUNK: [u8; CHUNK_BYTES] = [b'x'; CHUNK_BYTES];

static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0_u8; 1 << 20];
    for _ in 0..BOMB_BYTES / zeros.len() {
        // Into memory: it cannot fail.
        let _ = encoder.write_all(&zeros);
    }
    encoder.finish().unwrap_or_default()
});

pub(super) async fn drip(stream: &mut TcpStream) -> std::io::Result<()> {
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".iter().chain([b'x'; 100].iter()) {
        stream.write_all(&[*byte]).await?;
        sleep(DRIP_PAUSE).await;
    }
    Ok(())
}

pub(super) async fn huge_body(stream: &mut TcpStream) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {HUGE_BODY_BYTES}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    for _ in 0..HUGE_BODY_BYTES / CHUNK_BYTES {
        stream.write_all(&CHUNK).await?;
    }
    Ok(())
}

pub(super) async fn redirect(stream: &mut TcpStream, own: SocketAddr) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 302 Found\r\nLocation: http://{own}/again\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).await
}

pub(super) async fn huge_headers(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
    let line = [b"X-Filler: ".as_slice(), &CHUNK[..1000], b"\r\n"].concat();
    for _ in 0..HUGE_HEADERS_BYTES / line.len() {
        stream.write_all(&line).await?;
    }
    stream.write_all(b"Content-Length: 0\r\n\r\n").await
}

pub(super) async fn endless_continue(stream: &mut TcpStream) -> std::io::Result<()> {
    for _ in 0..CONTINUES_MAX {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        sleep(CONTINUE_PAUSE).await;
    }
    Ok(())
}

pub(super) async fn gzip_bomb(stream: &mut TcpStream) -> std::io::Result<()> {
    let bomb = &*BOMB;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(bomb).await
}

/// Bytes of the request whose head is in `buffer`; `None` while the head is not complete.
pub(super) fn request_length(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some(head + length.and_then(|length| length.trim().parse::<usize>().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bomb_is_small() {
        assert!(BOMB.len() < 256 << 10, "{}", BOMB.len());
        assert!(BOMB.len() > 50 << 10);
    }

    #[test]
    fn knows_where_a_request_ends() {
        assert_eq!(request_length(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel"), Some(43));
        assert_eq!(request_length(b"POST / HTTP/1.1\r\n"), None);
    }
}
