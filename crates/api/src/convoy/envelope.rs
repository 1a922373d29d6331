//! The wrapper of every answer (contracts/convoy.md §1.2-1.3): compact JSON, `<`, `>` and `&`
//! escaped, a newline at the end. Success always has `data`, failure never has.

use axum::body::Body;
use axum::response::Response;
use dacapo_model::json::escape_html;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[derive(Serialize)]
struct Success<'a, T> {
    status: bool,
    message: &'a str,
    data: T,
}

#[derive(Serialize)]
struct Failure<'a> {
    status: bool,
    message: &'a str,
}

pub fn ok(message: &str, data: impl Serialize) -> Response {
    success(StatusCode::OK, message, data)
}

pub fn created(message: &str, data: impl Serialize) -> Response {
    success(StatusCode::CREATED, message, data)
}

pub fn accepted(message: &str, data: impl Serialize) -> Response {
    success(StatusCode::ACCEPTED, message, data)
}

fn success(status: StatusCode, message: &str, data: impl Serialize) -> Response {
    render(status, &Success { status: true, message, data })
}

pub fn failure(status: StatusCode, message: &str) -> Response {
    render(status, &Failure { status: false, message })
}

/// For answers that are the same each time: rendered at compile time.
pub fn fixed(status: StatusCode, body: &'static str) -> Response {
    json(status, Body::from(body))
}

fn render(status: StatusCode, envelope: &impl Serialize) -> Response {
    match serde_json::to_string(envelope) {
        Ok(text) => json(status, Body::from(printed(&text))),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            fixed(StatusCode::INTERNAL_SERVER_ERROR, "{\"status\":false,\"message\":\"internal server error\"}\n")
        }
    }
}

fn printed(json: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(json.len() + 1);
    escape_html(json, &mut bytes);
    bytes.push(b'\n');
    bytes
}

fn json(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn text(response: Response) -> String {
        let bytes = response.into_body().collect().await.expect("in memory").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }

    #[tokio::test]
    async fn success_has_data_and_failure_has_none() {
        let answer = text(ok("Fetched <b>", serde_json::json!({"a": "x&y"}))).await;
        assert_eq!(
            answer,
            "{\"status\":true,\"message\":\"Fetched \\u003cb\\u003e\",\"data\":{\"a\":\"x\\u0026y\"}}\n"
        );
        assert_eq!(text(ok("Deleted", ())).await, "{\"status\":true,\"message\":\"Deleted\",\"data\":null}\n");
        let answer = text(failure(StatusCode::BAD_REQUEST, "no")).await;
        assert_eq!(answer, "{\"status\":false,\"message\":\"no\"}\n");
    }
}
