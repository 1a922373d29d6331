//! A small JSON client: status, headers and body of whatever is answered, errors included.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Longest one call may take.
const CALL_WITHIN: Duration = Duration::from_secs(30);
/// Largest answer read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: Http<HttpConnector, Full<Bytes>>,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    /// `Null` when the body is not JSON.
    pub body: Value,
    pub text: String,
}

impl Reply {
    /// This status, or an error that shows the answer.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "{} instead of {status}: {}", self.status, self.text);
        Ok(self)
    }

    /// `data` of Convoy's envelope.
    pub fn data(&self) -> &Value {
        &self.body["data"]
    }

    /// `message` of Convoy's envelope.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or("")
    }

    /// First value of a header, or `""`.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

impl Client {
    pub fn new(base: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Http::builder(TokioExecutor::new()).build(connector);
        Self { base: base.trim_end_matches('/').to_owned(), http }
    }

    /// `authorization` is the whole header value; `headers` come on top.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        authorization: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<Bytes>,
    ) -> Result<Reply> {
        let mut request = Request::new(Full::new(body.unwrap_or_default()));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.base).parse().context("uri")?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(authorization)?);
        }
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
        timeout(CALL_WITHIN, self.exchange(request)).await.with_context(|| format!("{path}: no answer"))?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply> {
        let response = self.http.request(request).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let bytes = body.map_err(|error| anyhow::anyhow!("read the answer: {error}"))?.to_bytes();
        Ok(Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    pub async fn get(&self, path: &str, authorization: Option<&str>) -> Result<Reply> {
        self.call(Method::GET, path, authorization, &[], None).await
    }
}
