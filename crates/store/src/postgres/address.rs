//! Where the database is and how much of its identity is checked: the URL, and TLS.
//!
//! `sslmode` is read here, because the driver knows no `verify-full`. What the modes mean is libpq's
//! meaning: `disable`, `prefer` (TLS if the server has it), `require` (TLS, whoever answers),
//! `verify-full` (TLS, and the certificate must be right for the host's name). `sslrootcert` names a
//! PEM file to trust instead of the system's roots, and makes `require` verify as `verify-full` does.

use crate::{Result, StoreError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// One try to reach one host.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent connection is asked after this whether its peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TRIES: u32 = 3;
/// What was sent and not acknowledged for this long ends the connection.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(8);

/// A parsed database URL.
#[derive(Clone)]
pub struct Address {
    pub config: tokio_postgres::Config,
    pub tls: MakeRustlsConnect,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verify {
    Nothing,
    Full,
}

impl Address {
    /// `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…` and whatever else the
    /// driver knows (several hosts with `target_session_attrs=read-write`, `application_name`, …).
    pub fn parse(url: &str) -> Result<Self> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(refused("it must begin with postgres:// or postgresql://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut root_file, mut rest) = ("prefer".to_owned(), None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = decoded(value)?,
                Some(("sslrootcert", value)) => root_file = Some(decoded(value)?),
                _ => rest.push(pair),
            }
        }
        let mut config: tokio_postgres::Config =
            format!("{base}?{}", rest.join("&")).parse().map_err(|cause| refused(&describe(&cause)))?;
        let (ssl, verify) = match (mode.as_str(), &root_file) {
            ("disable", _) => (SslMode::Disable, Verify::Nothing),
            ("prefer", None) => (SslMode::Prefer, Verify::Nothing),
            ("require", None) => (SslMode::Require, Verify::Nothing),
            ("require" | "verify-full", _) => (SslMode::Require, Verify::Full),
            ("prefer", Some(_)) => return Err(refused("sslrootcert needs sslmode=require or verify-full")),
            _ => return Err(refused("sslmode must be disable, prefer, require or verify-full")),
        };
        config
            .ssl_mode(ssl)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(UNACKNOWLEDGED_MAX)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_TRIES);
        if config.get_application_name().is_none() {
            config.application_name("dacapo");
        }
        let tls = MakeRustlsConnect::new(client_config(verify, root_file.as_deref().map(Path::new))?);
        Ok(Self { config, tls })
    }
}

fn client_config(verify: Verify, root_file: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|cause| refused(&cause.to_string()))?;
    if verify == Verify::Nothing {
        let anyone = Arc::new(Anyone(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth());
    }
    Ok(builder.with_root_certificates(roots(root_file)?).with_no_client_auth())
}

fn roots(file: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() {
            Err(refused("the system trusts no certificate; name sslrootcert"))
        } else {
            Ok(roots)
        };
    };
    let unreadable = |cause: &dyn std::fmt::Display| refused(&format!("sslrootcert {}: {cause}", file.display()));
    for certificate in CertificateDer::pem_file_iter(file).map_err(|cause| unreadable(&cause))? {
        let certificate = certificate.map_err(|cause| unreadable(&cause))?;
        roots.add(certificate).map_err(|cause| unreadable(&cause))?;
    }
    if roots.is_empty() { Err(unreadable(&"no certificate in it")) } else { Ok(roots) }
}

fn decoded(value: &str) -> Result<String> {
    let pair = format!("v={value}");
    let decoded = url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned());
    decoded.ok_or_else(|| refused("a parameter does not read"))
}

fn describe(cause: &tokio_postgres::Error) -> String {
    std::error::Error::source(cause).map_or_else(|| cause.to_string(), ToString::to_string)
}

/// The URL itself is not repeated: it holds a password.
fn refused(why: &str) -> StoreError {
    StoreError::Refused(format!("the database URL: {why}"))
}

/// `sslmode=require`: encrypted, to whoever answers. The handshake is still checked against the
/// certificate that was shown.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_libpq_means_them() {
        let mode =
            |query: &str| Address::parse(&format!("postgres://u:p@h/d{query}")).map(|one| one.config.get_ssl_mode());
        assert_eq!(mode("").unwrap(), SslMode::Prefer);
        assert_eq!(mode("?sslmode=disable").unwrap(), SslMode::Disable);
        assert_eq!(mode("?sslmode=require&application_name=x").unwrap(), SslMode::Require);
        for wrong in ["?sslmode=verify-ca", "?sslmode=", "?sslrootcert=/none", "?sslmode=verify-full&sslrootcert=/none"]
        {
            assert!(mode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        for url in ["mysql://u:hidden@h/d", "postgres://u:hidden@h:port/d", "postgres://u:hidden@h/d?sslmode=hidden"] {
            let cause = Address::parse(url).err().expect("is refused").to_string();
            assert!(!cause.contains("hidden"), "{cause}");
        }
    }
}
