//! What the transport promises towards receivers that do not keep their side (design §1.4, §1.5).

#[path = "transport/peer.rs"]
mod peer;
#[path = "transport/ping.rs"]
mod ping;
#[path = "transport/secure.rs"]
mod secure;

use bytes::Bytes;
use dacapo_engine::transport::{Answer, Exchange, Failure, HttpTransport, Outgoing, Transport};
use dacapo_model::address::Guard;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method};
use peer::Peer;
use std::future::pending;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const BODY_MAX: usize = 51_200;
const NEVER: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_millis(300);

fn local() -> Guard {
    Guard::new(vec!["127.0.0.0/8".parse().unwrap()])
}

fn transport() -> HttpTransport {
    HttpTransport::new(local()).unwrap()
}

fn outgoing(url: &str, timeout: Duration) -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert("x-convoy-signature", HeaderValue::from_static("abc"));
    Outgoing {
        method: Method::POST,
        uri: url.parse().unwrap(),
        headers,
        body: Bytes::from_static(b"{\"n\":1}"),
        timeout,
        body_bytes_max: BODY_MAX,
    }
}

async fn post(url: &str) -> Exchange {
    transport().exchange(outgoing(url, NEVER)).await
}

fn answer(exchange: Exchange) -> Answer {
    assert_eq!(exchange.ip, Some(LOOPBACK));
    exchange.result.unwrap()
}

fn broken(exchange: Exchange) -> String {
    assert_eq!(exchange.ip, Some(LOOPBACK));
    match exchange.result {
        Err(Failure::Broken(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_request_arrives_as_given_and_the_connection_is_used_again() {
    let (tell, mut told) = mpsc::channel(4);
    let peer = Peer::new(move |mut wire| {
        let tell = tell.clone();
        async move {
            loop {
                tell.send(wire.request().await?).await.ok()?;
                wire.say(b"HTTP/1.1 200 OK\r\nx-seen: 1\r\ncontent-length: 2\r\n\r\nok").await?;
            }
        }
    })
    .await;
    let transport = transport();
    for _ in 0..3 {
        let answer = answer(transport.exchange(outgoing(&peer.url(), NEVER)).await);
        assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
        assert_eq!(answer.headers["x-seen"], "1");
        let request = told.recv().await.unwrap();
        assert!(request.starts_with("POST /hook?a=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("X-Convoy-Signature: abc\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n{\"n\":1}"), "{request}");
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn credentials_in_the_url_stay_here() {
    let (tell, mut told) = mpsc::channel(1);
    let peer = Peer::new(move |mut wire| {
        let tell = tell.clone();
        async move {
            tell.send(wire.request().await?).await.ok()?;
            wire.say(b"HTTP/1.1 204 No Content\r\n\r\n").await
        }
    })
    .await;
    assert_eq!(answer(post(&peer.url().replace("//", "//user:secret@")).await).status, 204);
    assert!(!told.recv().await.unwrap().contains("secret"));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let peer = Peer::saying("HTTP/1.1 302 Found\r\nlocation: /hook\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(answer(post(&peer.url()).await).status, 302);
    assert_eq!(peer.requests(), 1);
}

#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_closed() {
    let (tell, mut told) = mpsc::channel(1);
    let peer = Peer::new(move |mut wire| {
        let tell = tell.clone();
        async move {
            wire.request().await?;
            wire.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = [b"4000\r\n".to_vec(), vec![b'x'; 0x4000], b"\r\n".to_vec()].concat();
            let mut sent = 0_usize;
            while wire.say(&chunk).await.is_some() {
                sent += chunk.len();
            }
            tell.send(sent).await.ok()
        }
    })
    .await;
    let started = Instant::now();
    let answer = answer(post(&peer.url()).await);
    assert_eq!((answer.status, answer.body.len()), (200, BODY_MAX));
    let sent = told.recv().await.unwrap();
    assert!(sent < 16 << 20, "{sent} bytes were taken");
    assert!(started.elapsed() < NEVER / 2);
}

#[tokio::test]
async fn a_gzip_bomb_inflates_to_the_limit() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b'a'; 32 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let peer = Peer::saying([head.into_bytes(), bomb].concat()).await;
    let answer = answer(post(&peer.url()).await);
    assert_eq!((answer.body.len(), answer.body[0]), (BODY_MAX, b'a'));
}

#[tokio::test]
async fn silence_and_dripping_end_at_the_time_limit() {
    let silent = Peer::new(|wire| async move {
        let _held = wire;
        pending().await
    })
    .await;
    let dripping = Peer::new(|mut wire| async move {
        wire.request().await?;
        wire.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        loop {
            beat.tick().await;
            wire.say(b".").await?;
        }
    })
    .await;
    let flooding = Peer::new(|mut wire| async move {
        wire.request().await?;
        while wire.say(&b"HTTP/1.1 103 Early Hints\r\nlink: </>\r\n\r\n".repeat(50)).await.is_some() {}
        None
    })
    .await;
    for peer in [silent, dripping, flooding] {
        let started = Instant::now();
        let exchange = transport().exchange(outgoing(&peer.url(), SOON)).await;
        assert_eq!(exchange.result.unwrap_err(), Failure::TimedOut(SOON));
        assert_eq!(exchange.ip, Some(LOOPBACK));
        assert!(started.elapsed() < SOON * 10);
    }
}

#[tokio::test]
async fn what_is_not_http_is_an_outcome_with_a_readable_text() {
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(256 * 1024));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(1_000));
    for says in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 999999 what\r\n\r\n", "\0\0\0", &huge, &many] {
        let peer = Peer::new({
            let says = says.as_bytes().to_vec();
            move |mut wire| {
                let says = says.clone();
                async move {
                    wire.request().await?;
                    wire.say(&says).await
                }
            }
        })
        .await;
        let text = broken(post(&peer.url()).await);
        assert!(!text.is_empty() && !text.contains(['{', '"']), "{text}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_an_outcome() {
    let reset = Peer::new(|mut wire| async move {
        wire.request().await?;
        wire.stream.set_zero_linger().ok()
    })
    .await;
    let early = Peer::new(|mut wire| async move {
        wire.request().await?;
        wire.say(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await
    })
    .await;
    assert_eq!(broken(post(&reset.url()).await), "connection error: Connection reset by peer (os error 104)");
    assert!(broken(post(&early.url()).await).contains("end of file before message length reached"));
}

/// The receiver may have acted on it: sending again is for the retry schedule, which counts it.
#[tokio::test]
async fn a_request_that_left_is_never_sent_twice_from_here() {
    let peer = Peer::new(|mut wire| async move {
        wire.request().await?;
        wire.say(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        wire.request().await.map(drop)
    })
    .await;
    let transport = transport();
    assert_eq!(answer(transport.exchange(outgoing(&peer.url(), NEVER)).await).status, 204);
    broken(transport.exchange(outgoing(&peer.url(), NEVER)).await);
    assert_eq!((peer.connections(), peer.requests()), (1, 2));
}

#[tokio::test]
async fn nothing_is_dialled_where_the_guard_says_no() {
    let peer = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let closed = HttpTransport::new(Guard::default()).unwrap();
    let port = peer.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "169.254.169.254", "10.0.0.1"] {
        let exchange = closed.exchange(outgoing(&format!("http://{host}:{port}/"), NEVER)).await;
        assert!(matches!(exchange.result, Err(Failure::AddressRefused(_))), "{host}: {exchange:?}");
        assert_eq!(exchange.ip, None);
    }
    // Spellings that some systems take for the loopback.
    for host in ["127.1", "0x7f.1", "2130706433", "0177.0.0.1"] {
        let exchange = closed.exchange(outgoing(&format!("http://{host}:{port}/"), NEVER)).await;
        let Err(Failure::AddressRefused(text)) = &exchange.result else { panic!("{host}: {exchange:?}") };
        assert!(text.contains("127.0.0.1"), "{text}");
    }
    let exchange = closed.exchange(outgoing("http://127.0.0.256/", NEVER)).await;
    assert!(matches!(exchange.result, Err(Failure::Unresolved { .. })), "{exchange:?}");
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn names_from_the_hosts_file_work_and_a_closed_port_is_said_to_be_one() {
    let peer = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let exchange = post(&format!("http://localhost:{}/", peer.address.port())).await;
    assert_eq!(answer(exchange).status, 200);

    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let exchange = post(&format!("http://{gone}/")).await;
    assert_eq!(exchange.ip, Some(LOOPBACK));
    let refused = Failure::Unconnected(format!("{gone}: Connection refused (os error 111)"));
    assert_eq!(exchange.result.unwrap_err(), refused);
}
