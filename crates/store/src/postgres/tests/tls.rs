//! TLS to the server: who is trusted, and who is not.

use crate::postgres::{Options, PostgresStore};
use crate::roles::{Commit, Lease};
use base64::Engine;
use dacapo_peers::Postgres;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::PathBuf;

/// A certificate for a name by an authority of its own, whose certificate lies in a file.
struct Identity {
    certificate: String,
    key: String,
    authority: PathBuf,
    _directory: tempfile::TempDir,
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl Identity {
    fn of(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&authority_key).expect("signs itself");
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = own.signed_by(&key, &issuer).expect("is signed");
        let directory = tempfile::TempDir::new().expect("a place for a file");
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, pem("CERTIFICATE", authority.der())).expect("is writable");
        Self {
            certificate: pem("CERTIFICATE", certificate.der()),
            key: pem("PRIVATE KEY", &key.serialize_der()),
            authority: file,
            _directory: directory,
        }
    }

    /// A server that shows it.
    fn server(&self) -> Postgres {
        tokio::task::block_in_place(|| {
            let mut server = Postgres::start(&[]);
            server.encrypt(&self.certificate, &self.key);
            server
        })
    }
}

fn url(server: &Postgres, mode: &str, authority: Option<&PathBuf>) -> String {
    let root = authority.map_or_else(String::new, |file| format!("&sslrootcert={}", file.display()));
    server.url("postgres").replace("sslmode=disable", &format!("sslmode={mode}{root}"))
}

async fn opened(url: String) -> crate::Result<PostgresStore> {
    PostgresStore::open(&Options::new(url, "test")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_full_takes_the_right_certificate_and_no_other() {
    let (right, other) = (Identity::of("127.0.0.1"), Identity::of("127.0.0.1"));
    let server = right.server();
    let store = opened(url(&server, "verify-full", Some(&right.authority))).await.expect("is trusted");
    store.hold().await.expect("joins");
    store.probe().await.expect("works");
    let encrypted = "SELECT count(*) > 0 AND bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                     WHERE a.application_name = 'dacapo'";
    assert_eq!(server.ask("postgres", encrypted).expect("answers"), "t", "every connection is encrypted");
    store.release().await.expect("releases");

    let stranger = opened(url(&server, "verify-full", Some(&other.authority))).await.err().expect("signed by another");
    assert!(stranger.is_unavailable() && stranger.to_string().contains("certificate"), "{stranger}");
    let system = opened(url(&server, "verify-full", None)).await.err().expect("no authority of the system's");
    assert!(system.to_string().contains("certificate"), "{system}");
    opened(url(&server, "require", None)).await.expect("whoever answers").release().await.expect("releases");

    let misnamed = Identity::of("db.example.test");
    let elsewhere = misnamed.server();
    let told = opened(url(&elsewhere, "verify-full", Some(&misnamed.authority))).await.err().expect("another's name");
    assert!(told.to_string().contains("certificate"), "{told}");
}
