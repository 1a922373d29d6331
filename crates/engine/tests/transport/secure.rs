//! Over TLS: who is trusted, and HTTP/2 where the peer has it.

use super::{LOOPBACK, NEVER, answer, local, outgoing};
use bytes::Bytes;
use dacapo_engine::transport::{Failure, HttpTransport, Transport};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// Says which HTTP version it was spoken to in; counts connections.
async fn server(alpn: &[&str]) -> (SocketAddr, CertificateDer<'static>, Arc<AtomicUsize>) {
    let answer = |request: Request<Incoming>| async move {
        let version = if request.version() == Version::HTTP_2 { "h2" } else { "h1" };
        Response::new(Full::new(Bytes::from_static(version.as_bytes())))
    };
    answering(alpn, answer).await
}

/// Takes some methods only, and tells what it was asked, with the body.
pub async fn choosy(
    alpn: &[&str],
    accepted: &'static [Method],
) -> (SocketAddr, CertificateDer<'static>, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel(16);
    let answer = move |request: Request<Incoming>| {
        let tell = tell.clone();
        async move {
            let method = request.method().clone();
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let _ = tell.send(format!("{method} {}", String::from_utf8_lossy(&body)).trim().to_owned()).await;
            let mut response = Response::new(Full::new(Bytes::new()));
            if !accepted.contains(&method) {
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
            response
        }
    };
    let (address, certificate, _) = answering(alpn, answer).await;
    (address, certificate, told)
}

async fn answering<F, Fut>(alpn: &[&str], answer: F) -> (SocketAddr, CertificateDer<'static>, Arc<AtomicUsize>)
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            let (count, answer) = (count.clone(), answer.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let service = service_fn(|request: Request<Incoming>| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, certificate, connections)
}

#[tokio::test]
async fn http2_is_spoken_where_offered_and_connections_are_shared() {
    for (alpn, expected) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "h1"), (&[], "h1")] {
        let (address, certificate, connections) = server(alpn).await;
        let transport = HttpTransport::trusting(local(), vec![certificate]).unwrap();
        for _ in 0..3 {
            let answer = answer(transport.exchange(outgoing(&format!("https://{address}/"), NEVER)).await);
            assert_eq!((answer.status, &answer.body[..]), (200, expected.as_bytes()));
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{expected}");
    }
}

#[tokio::test]
async fn a_stranger_is_not_trusted_and_plain_text_is_no_tls() {
    let (address, _, connections) = server(&["h2"]).await;
    let transport = HttpTransport::new(local()).unwrap();
    let exchange = transport.exchange(outgoing(&format!("https://{address}/"), NEVER)).await;
    assert_eq!(exchange.ip, Some(LOOPBACK));
    let failure = exchange.result.unwrap_err();
    assert!(matches!(&failure, Failure::Tls(text) if text.contains("invalid peer certificate")), "{failure}");
    assert_eq!(connections.load(Ordering::SeqCst), 0);

    let plain =
        super::peer::Peer::new(|mut wire| async move { wire.say(b"HTTP/1.1 400 Bad Request\r\n\r\n").await }).await;
    let exchange = transport.exchange(outgoing(&format!("https://{}/", plain.address), NEVER)).await;
    assert!(matches!(exchange.result, Err(Failure::Tls(_))), "{exchange:?}");
}
