//! Web pages of other origins (CORS): none may read answers, except those that the operator names.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::{Error, Result};

/// What pages may ask with.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
/// How long a browser may remember that it may ask, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may use the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    every: bool,
    named: Vec<HeaderValue>,
}

impl Origins {
    /// Origins such as `https://example.org` or `http://localhost:3000`, or `*` for all.
    pub(crate) fn of(origins: &[String]) -> Result<Self> {
        let mut read = Self::default();
        for origin in origins {
            let host = origin.split_once("://").filter(|(scheme, _)| {
                !scheme.is_empty()
                    && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            });
            let is_plain = host.is_some_and(|(_, host)| {
                !host.is_empty()
                    && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte))
            });
            match HeaderValue::from_str(&origin.to_ascii_lowercase()) {
                _ if origin == "*" => read.every = true,
                Ok(value) if is_plain => read.named.push(value),
                _ => return Err(Error::Origin { got: origin.clone() }),
            }
        }
        Ok(read)
    }

    /// What the page that sent these headers is told; nothing if it is not named.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        if self.every {
            return Some(HeaderValue::from_static("*"));
        }
        self.named
            .iter()
            .find(|named| named.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
            .map(|_| origin.clone())
    }
}

/// Whether a browser asks whether it may ask.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that.
pub(crate) fn preflight(headers: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let to = response.headers_mut();
    to.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    to.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        to.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    if headers.contains_key("access-control-request-private-network") {
        to.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    }
    response
}

/// Lets the page read an answer.
pub(crate) fn open(response: &mut Response, allowed: HeaderValue) {
    let headers = response.headers_mut();
    if allowed != "*" {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_origins_are_allowed() {
        let allowed = |origins: &[&str], origin: &str| {
            let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
            let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_str(origin).unwrap())]);
            Origins::of(&origins).unwrap().allowed(&headers).map(|value| value.to_str().unwrap().to_owned())
        };
        let named = ["http://localhost:3000", "https://Example.org"];
        assert_eq!(allowed(&named, "https://example.org").as_deref(), Some("https://example.org"));
        assert_eq!(allowed(&named, "http://localhost:3001"), None);
        assert_eq!(allowed(&[], "http://localhost:3000"), None);
        assert_eq!(allowed(&["*"], "null").as_deref(), Some("*"));
        for wrong in ["", "example.org", "https://", "https://a/b", "https://a b"] {
            assert!(Origins::of(&[wrong.to_owned()]).unwrap_err().to_string().contains("--cors"), "{wrong}");
        }
    }
}
