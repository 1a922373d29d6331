//! A running gateway, as the verbs that talk to one see it: its address, a key, and Convoy's envelope.

mod error;

pub use error::RemoteError;

use crate::cli::remote::RemoteOptions;
use crate::first_run::{self, FirstRun};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Longest one call may take: a plan counts as long as the gateway lets it.
const CALL_WITHIN: Duration = Duration::from_secs(120);
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a report is made of.
const LINES: &str = "application/x-ndjson";
/// Whichever project it is: a project's key says so itself.
const ANY_PROJECT: &str = "-";

pub struct Remote {
    url: String,
    project: String,
    authorization: HeaderValue,
    http: Http<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Remote {
    /// Flags, then the environment, then what the first start left in the data directory.
    pub fn new(options: &RemoteOptions) -> Result<Self> {
        let file = match (&options.url, &options.key) {
            (Some(_), Some(_)) => None,
            _ => read_first_run(&options.data_dir)?,
        };
        let missing = |what: &str, flag: &str, variable: &str| {
            format!(
                "no {what}: give --{flag} or {variable}, or --data-dir with the first-run.json of a gateway on this machine ({} has none)",
                options.data_dir.display()
            )
        };
        let url = options.url.clone().or_else(|| file.as_ref().map(|file| file.url.clone()));
        let url = url.with_context(|| missing("address", "url", "DACAPO_URL"))?;
        let url = url.trim_end_matches('/').to_owned();
        let parsed: Uri = url.parse().with_context(|| format!("{url} is no address"))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none() {
            bail!("{url} is no address: write it as http://host:port or https://host");
        }
        // Its key opens its own gateway: it is shown to no other.
        let file = file.filter(|file| file.url.trim_end_matches('/') == url);
        let key = options.key.clone().or_else(|| file.as_ref().map(|file| file.api_key.clone()));
        let key = key.with_context(|| missing("key", "key", "DACAPO_API_KEY"))?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", key.trim()))
            .context("the key holds characters that no key has")?;
        authorization.set_sensitive(true);
        let project = options.project.clone().or_else(|| file.map(|file| file.project_id));
        Ok(Self {
            project: project.unwrap_or_else(|| ANY_PROJECT.to_owned()),
            authorization,
            http: Http::builder(TokioExecutor::new()).build(connector(parsed.scheme_str() == Some("https"))?),
            url,
        })
    }

    /// `data` of the answer. `path`: within the project, with its query.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let exchange = async {
            let answer = self.ask(method, path, body).await?;
            Ok::<_, anyhow::Error>((answer.status(), self.whole(answer).await?))
        };
        let answer = tokio::time::timeout(CALL_WITHIN, exchange).await;
        let (status, bytes) = answer.map_err(|_| self.silent())??;
        if !status.is_success() {
            return Err(RemoteError::refused(status, &bytes).into());
        }
        let mut envelope: Value =
            serde_json::from_slice(&bytes).map_err(|_| RemoteError::NoGateway { url: self.url.clone() })?;
        Ok(envelope["data"].take())
    }

    /// An answer of lines, in pieces as it comes, to `take` until that wants no more. No piece is waited for longer
    /// than a whole call.
    pub async fn stream(&self, path: &str, mut take: impl FnMut(&[u8]) -> bool) -> Result<()> {
        let answer = tokio::time::timeout(CALL_WITHIN, self.ask(Method::GET, path, None)).await;
        let answer = answer.map_err(|_| self.silent())??;
        let status = answer.status();
        if !status.is_success() {
            let text = tokio::time::timeout(CALL_WITHIN, self.whole(answer)).await.map_err(|_| self.silent())??;
            return Err(RemoteError::refused(status, &text).into());
        }
        if answer.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != LINES) {
            return Err(RemoteError::NoGateway { url: self.url.clone() }.into());
        }
        let mut body = answer.into_body();
        loop {
            let frame = tokio::time::timeout(CALL_WITHIN, body.frame()).await;
            let Some(frame) = frame.map_err(|_| self.half("nothing came for minutes"))? else { return Ok(()) };
            let frame = frame.map_err(|error| self.half(&error.to_string()))?;
            if frame.data_ref().is_some_and(|piece| !take(piece)) {
                return Ok(());
            }
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<http::Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/api/v1/projects/{}{path}", self.url, self.project))
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.map(Value::to_string).unwrap_or_default()))?;
        Ok(self.http.request(request).await.map_err(|error| RemoteError::unreachable(&self.url, &error))?)
    }

    async fn whole(&self, answer: http::Response<Incoming>) -> Result<Bytes> {
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let broken = |cause: Box<dyn std::error::Error + Send + Sync>| RemoteError::BrokenOff {
            url: self.url.clone(),
            cause: cause.to_string(),
        };
        Ok(body.map_err(broken)?.to_bytes())
    }

    fn silent(&self) -> RemoteError {
        RemoteError::Silent { url: self.url.clone() }
    }

    fn half(&self, cause: &str) -> RemoteError {
        RemoteError::Half { url: self.url.clone(), cause: cause.to_owned() }
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }
}

/// Roots of the machine, read only when something is to be checked against them.
fn connector(tls: bool) -> Result<HttpsConnector<HttpConnector>> {
    let config = if tls {
        HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .context("cannot read this machine's trusted roots")?
    } else {
        HttpsConnectorBuilder::new().with_tls_config(
            rustls::ClientConfig::builder()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        )
    };
    Ok(config.https_or_http().enable_http1().build())
}

fn read_first_run(data_dir: &Path) -> Result<Option<FirstRun>> {
    let path = first_run::path(data_dir);
    match std::fs::read(&path) {
        Ok(text) => {
            let file = serde_json::from_slice(&text);
            file.map(Some).with_context(|| format!("{} is not what a first start writes", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// A part of a path or a query that came from people.
pub fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"url":"http://127.0.0.1:5005","organisation_id":"o","project_id":"p",
        "api_key":"CO.its.own","connect_key":"sk","admin_email":"a","admin_password":"b"}"#;

    fn remote(url: Option<&str>, key: Option<&str>) -> Result<Remote> {
        let directory = tempfile::tempdir()?;
        std::fs::write(first_run::path(directory.path()), FILE)?;
        let (url, key) = (url.map(str::to_owned), key.map(str::to_owned));
        Remote::new(&RemoteOptions { url, key, data_dir: directory.path().to_owned(), ..RemoteOptions::default() })
    }

    #[test]
    fn a_key_from_the_first_start_is_shown_to_its_own_gateway_only() {
        for own in [None, Some("http://127.0.0.1:5005"), Some("http://127.0.0.1:5005/")] {
            let remote = remote(own, None).expect("knows its key");
            assert_eq!((remote.authorization, remote.project.as_str()), (bearer("CO.its.own"), "p"));
        }
        for other in ["http://127.0.0.1:5006", "https://127.0.0.1:5005", "http://shop.test:5005"] {
            let refused = remote(Some(other), None).err().expect("has no key for it").to_string();
            assert!(refused.starts_with("no key: give --key"), "{refused}");
            let remote = remote(Some(other), Some("CO.an.other")).expect("was given one");
            assert_eq!((remote.authorization, remote.project.as_str()), (bearer("CO.an.other"), ANY_PROJECT));
        }
    }

    fn bearer(key: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Bearer {key}")).expect("letters")
    }
}
