//! What a sink answers: first a list of answers in order, then one for good, of which a fraction may fail.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
    pub delay: Duration,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: Vec::new(),
            body: Bytes::new(),
            delay: Duration::ZERO,
        }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.status_mut() = self.status;
        for (name, value) in &self.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response
    }
}

/// `failures` of every `requests` get `answer`, counted by arrival.
#[derive(Clone, Debug)]
pub struct Failing {
    pub failures: u64,
    pub requests: u64,
    pub answer: Answer,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub first: Vec<Answer>,
    pub then: Answer,
    pub failing: Option<Failing>,
}

impl Default for Plan {
    fn default() -> Self {
        Self::always(Answer::status(200))
    }
}

impl Plan {
    pub fn always(answer: Answer) -> Self {
        Self { first: Vec::new(), then: answer, failing: None }
    }

    /// These in order, then `then` for good.
    pub fn in_turn(first: Vec<Answer>, then: Answer) -> Self {
        Self { first, then, failing: None }
    }

    /// 200, but 500 to `failures` of every `requests`.
    pub fn failing(failures: u64, requests: u64) -> Self {
        let failing = Failing { failures, requests: requests.max(1), answer: Answer::status(500) };
        Self { failing: Some(failing), ..Self::default() }
    }

    /// The answer to the request with this index, from 0.
    pub(super) fn answer(&self, index: u64) -> &Answer {
        if let Some(answer) = usize::try_from(index).ok().and_then(|index| self.first.get(index)) {
            return answer;
        }
        match &self.failing {
            Some(failing) if index % failing.requests < failing.failures => &failing.answer,
            _ => &self.then,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_fails() {
        let plan = Plan::failing(1, 3);
        let failed = (0..300).filter(|&index| plan.answer(index).status == 500).count();
        assert_eq!(failed, 100);
    }

    #[test]
    fn first_in_order_then_for_good() {
        let plan = Plan::in_turn(vec![Answer::status(503), Answer::status(410)], Answer::status(204));
        let statuses: Vec<u16> = (0..4).map(|index| plan.answer(index).status.as_u16()).collect();
        assert_eq!(statuses, [503, 410, 204, 204]);
    }
}
