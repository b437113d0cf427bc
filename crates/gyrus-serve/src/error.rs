//! Errors sent to clients, in the form of OpenAI's errors, and errors of the server itself.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use gyrus_language::engine::{Failure, Refusal};
use serde_json::{Value, json};

/// Seconds after which a client may retry when the queue was full.
const RETRY_AFTER_SECONDS: &str = "1";

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be bound.
    #[error("{host}, port {port}: {reason}")]
    Address {
        /// As given.
        host: String,
        /// As given.
        port: u16,
        /// The operating system's reason.
        reason: String,
    },
    /// Anyone on the network could use the model.
    #[error(
        "{host} can be reached from other machines: got no API key, expected one (--api-key or GYRUS_API_KEY), or a \
         loopback address"
    )]
    Unprotected {
        /// As given.
        host: String,
    },
    /// A key that clients cannot send.
    #[error("API key: got {got}, expected visible ASCII characters, at least one")]
    Key {
        /// What is wrong with it.
        got: &'static str,
    },
    /// A web page's origin that is none.
    #[error(
        "--cors: got {got:?}, expected an origin such as https://example.org or http://localhost:3000, or *"
    )]
    Origin {
        /// As given.
        got: String,
    },
    /// Neither a decoder nor an encoder was given.
    #[error("got no model, expected a text model or an embedding model")]
    NoModel,
    /// The model cannot be served.
    #[error(transparent)]
    Model(#[from] gyrus_language::Error),
    /// The operating system refused something.
    #[error("cannot serve: {0}")]
    System(#[from] std::io::Error),
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error sent to a client.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), param: None, code: None }
    }

    /// An invalid request, where no single field is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// An invalid field.
    pub(crate) fn field(param: &str, got: impl std::fmt::Display, expected: impl std::fmt::Display) -> Self {
        let message = format!("{param}: got {got}, expected {expected}");
        Self { param: Some(param.to_owned()), ..Self::invalid(message) }
    }

    /// A schema that cannot be enforced, at `place`.
    pub(crate) fn schema(place: &str, error: &gyrus_language::Error) -> Self {
        match error {
            gyrus_language::Error::Request { got, .. } => {
                Self::field(place, got, "a JSON schema that can be enforced")
            }
            other => Self { param: Some(place.to_owned()), ..Self::invalid(other.to_string()) },
        }
    }

    /// An unsupported field that would change the answer.
    pub(crate) fn unsupported(param: &str) -> Self {
        let message = format!("{param} is not supported and would change the answer");
        Self { param: Some(param.to_owned()), code: Some("unsupported_parameter"), ..Self::invalid(message) }
    }

    /// A prompt that is too long together with the requested answer.
    pub(crate) fn context(place: &str, prompt: usize, wanted: usize, most: usize) -> Self {
        let got = format!("{prompt} tokens and {wanted} to generate");
        let expected = format!("at most {most} together: the context of this server");
        Self { code: Some("context_length_exceeded"), ..Self::field(place, got, expected) }
    }

    /// The API key is missing or wrong.
    pub(crate) fn unauthorized() -> Self {
        let message = "a valid API key is required: Authorization: Bearer KEY";
        let code = Some("invalid_api_key");
        Self { code, ..Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message) }
    }

    /// The client is not allowed to do this.
    pub(crate) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "invalid_request_error", message)
    }

    /// The resource does not exist.
    pub(crate) fn not_found(message: String, param: Option<&str>, code: Option<&'static str>) -> Self {
        let param = param.map(str::to_owned);
        Self { param, code, ..Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message) }
    }

    /// The method does not exist for this path.
    pub(crate) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "this path expects another method")
    }

    /// The body is too long.
    pub(crate) fn too_large(most: usize) -> Self {
        let message = format!("the body is longer than {most} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
    }

    /// The body has the wrong content type.
    pub(crate) fn media_type() -> Self {
        let message = "Content-Type: expected application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", message)
    }

    /// The body did not arrive in time.
    pub(crate) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "the body did not arrive in time")
    }

    /// An internal error.
    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// The server is shutting down.
    pub(crate) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "the server is shutting down")
    }

    /// `{"error": {...}}`
    pub(crate) fn json(&self) -> Value {
        let Self { kind, message, param, code, .. } = self;
        json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full { .. } => {
                let message = format!("{refusal}: try again");
                let code = Some("rate_limit_exceeded");
                Self { code, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message) }
            }
            Refusal::Job(error) => Self::invalid(error.to_string()),
            _ => Self::stopping(),
        }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Stopped => Self::stopping(),
            failure => Self::server(failure.to_string()),
        }
    }
}

impl From<gyrus_language::Error> for ApiError {
    fn from(error: gyrus_language::Error) -> Self {
        Self::invalid(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.json().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
