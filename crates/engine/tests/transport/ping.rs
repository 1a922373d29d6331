//! Trying an https address out (contracts/convoy.md §3.2), against a real TLS server.

use super::{NEVER, SOON, local, secure};
use dacapo_engine::ping::{PING_TIME_MAX, Ping, PingFailed};
use dacapo_engine::transport::{Failure, HttpTransport};
use http::Method;
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

const ALL: [Method; 3] = [Method::HEAD, Method::GET, Method::POST];

fn ping(certificate: CertificateDer<'static>, methods: &[Method]) -> Ping {
    let transport = Arc::new(HttpTransport::trusting(local(), vec![certificate]).unwrap());
    Ping { transport, methods: methods.to_vec(), within: NEVER, user_agent: "Dacapo/test".to_owned() }
}

async fn try_out(ping: &Ping, address: SocketAddr) -> Result<(), PingFailed> {
    ping.try_out(&format!("https://{address}/hook?a=1").parse().unwrap()).await
}

#[tokio::test]
async fn methods_are_tried_in_turn_until_one_is_answered_with_2xx() {
    for alpn in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        for (accepted, asked) in [
            (&ALL[..], &["HEAD"][..]),
            (&[Method::GET], &["HEAD", "GET"]),
            (&[Method::POST], &["HEAD", "GET", "POST {\"test\":\"ping\"}"]),
        ] {
            let (address, certificate, mut told) = secure::choosy(alpn, accepted).await;
            assert_eq!(try_out(&ping(certificate, &ALL), address).await, Ok(()));
            for expected in asked {
                assert_eq!(told.try_recv().as_deref(), Ok(*expected), "{accepted:?}");
            }
            assert!(told.try_recv().is_err(), "asked on after a success");
        }
    }
}

#[tokio::test]
async fn what_the_last_one_came_to_is_told() {
    let (address, certificate, mut told) = secure::choosy(&["h2"], &[]).await;
    assert_eq!(try_out(&ping(certificate.clone(), &ALL), address).await, Err(PingFailed::Status(405)));
    assert_eq!(PingFailed::Status(405).to_string(), "endpoint returned a non-2xx response: got status code 405");
    while told.try_recv().is_ok() {}
    assert_eq!(try_out(&ping(certificate, &[Method::GET]), address).await, Err(PingFailed::Status(405)));
    assert_eq!((told.try_recv().as_deref(), told.try_recv().is_err()), (Ok("GET"), true), "as the operator said");
}

#[tokio::test]
async fn strangers_and_refused_addresses_will_not_do() {
    let (address, certificate, _) = secure::choosy(&["h2"], &ALL).await;
    let (stranger, ..) = secure::choosy(&["h2"], &ALL).await;
    let ping = ping(certificate, &ALL);
    assert!(matches!(try_out(&ping, stranger).await, Err(PingFailed::Unanswered(Failure::Tls(_)))));
    let refused = try_out(&ping, SocketAddr::from(([10, 0, 0, 1], address.port()))).await;
    assert!(matches!(refused, Err(PingFailed::Unanswered(Failure::AddressRefused(_)))), "{refused:?}");
}

#[tokio::test]
async fn all_methods_together_have_so_long() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = Arc::new(HttpTransport::new(local()).unwrap());
    let ping = Ping { transport, methods: ALL.to_vec(), within: SOON, user_agent: String::new() };
    let failed = try_out(&ping, silent.local_addr().unwrap()).await;
    assert_eq!(failed, Err(Failure::TimedOut(SOON).into()));
    assert_eq!(PING_TIME_MAX, Duration::from_secs(10));
}
