//! The handlers of all paths.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_core::Stream as _;
use gyrus_language::SentenceEncoder;
use gyrus_language::engine::{Event, Job, SentenceInput, SentenceJob};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::answers::{Answer, Kind, Shape};
use crate::chat::ChatRequest;
use crate::completions::CompletionRequest;
use crate::embeddings::EmbeddingRequest;
use crate::error::{ApiError, Result};
use crate::responses::{ResponseAnswer, ResponseRequest};
use crate::service::{Prepared, Service};
use crate::stream::{Assembly, EventStream, Events, Sender};

/// The most bytes of a request's body.
pub(crate) const MOST_BODY_BYTES: usize = 4 << 20;
/// How much of an oversized body to drain before answering.
const MOST_DRAINED_BYTES: usize = 64 << 20;
/// How long to drain it.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client may take to send the body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) type Shared = State<Arc<Service>>;

pub(crate) async fn chat(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let body = body(request).await?;
    let prepare = |service: Arc<Service>, body: Bytes| {
        let request = ChatRequest::parse(&body)?;
        let prepared = service.writer(&request.model)?.prepare_chat(&request)?;
        let shape = Shape {
            kind: Kind::Chat,
            model: request.model,
            texts: prepared.requests.len(),
            choices_of_prompt: request.settings.choices,
            single: !request.parallel,
            include_usage: request.settings.include_usage,
            reader: prepared.reader.clone(),
            reasoning: prepared.reasoning.clone(),
        };
        let (answer, events) = submit(service, prepared, shape)?;
        Ok(Submitted { answer: Box::new(answer), events, stream: request.settings.stream })
    };
    answer(service, body, prepare).await
}

pub(crate) async fn completion(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let body = body(request).await?;
    let prepare = |service: Arc<Service>, body: Bytes| {
        let request = CompletionRequest::parse(&body)?;
        let prepared = service.writer(&request.model)?.prepare_completion(&request)?;
        let shape = Shape {
            kind: Kind::Completion,
            model: request.model,
            texts: prepared.requests.len(),
            choices_of_prompt: request.settings.choices,
            single: false,
            include_usage: request.settings.include_usage,
            reader: prepared.reader.clone(),
            reasoning: prepared.reasoning.clone(),
        };
        let (answer, events) = submit(service, prepared, shape)?;
        Ok(Submitted { answer: Box::new(answer), events, stream: request.settings.stream })
    };
    answer(service, body, prepare).await
}

pub(crate) async fn response(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let body = body(request).await?;
    let prepare = |service: Arc<Service>, body: Bytes| {
        let ResponseRequest { chat, echo } = ResponseRequest::parse(&body)?;
        let prepared = service.writer(&chat.model)?.prepare_chat(&chat)?;
        let shape = Shape {
            kind: Kind::Chat,
            model: chat.model,
            texts: prepared.requests.len(),
            choices_of_prompt: 1,
            single: !chat.parallel,
            include_usage: false,
            reader: prepared.reader.clone(),
            reasoning: prepared.reasoning.clone(),
        };
        let (answer, events) = submit(service, prepared, shape)?;
        let answer = Box::new(ResponseAnswer::new(answer, echo));
        Ok(Submitted { answer, events, stream: chat.settings.stream })
    };
    answer(service, body, prepare).await
}

/// An answer that the engine is working on.
struct Submitted {
    answer: Box<dyn Assembly>,
    events: Events,
    stream: bool,
}

/// Submits all texts of a request to the engine, or none.
fn submit(service: Arc<Service>, prepared: Prepared, shape: Shape) -> Result<(Answer, Events), ApiError> {
    let writer = service.writer(&shape.model)?;
    let (sender, events) = mpsc::unbounded_channel();
    let Prepared { prompts, requests, .. } = prepared;
    let job = |(index, request): (usize, gyrus_language::Request)| Job {
        prompt: prompts[index / shape.choices_of_prompt].clone(),
        request,
        listener: Box::new(Sender { index, events: sender.clone() }),
    };
    writer.engine.submit(requests.into_iter().enumerate().map(job).collect())?;
    Ok((Answer::new(Arc::clone(&service), shape), events))
}

/// Prepares and submits a request, and returns its answer.
async fn answer(
    service: Arc<Service>,
    body: Bytes,
    prepare: fn(Arc<Service>, Bytes) -> Result<Submitted, ApiError>,
) -> Result<Response, ApiError> {
    let clock = Instant::now();
    let of_thread = Arc::clone(&service);
    // Tokenizing and compiling schemas can be slow, so it runs on blocking threads.
    let submitted = tokio::task::spawn_blocking(move || prepare(of_thread, body)).await;
    let Submitted { mut answer, mut events, stream } =
        submitted.map_err(|_| ApiError::server("the request could not be prepared"))??;
    let first = next(&mut events).await?;
    service.metrics.first_token(clock.elapsed());
    if stream {
        // A failure before the first token becomes an error with a status code.
        let first = match first {
            (_, Event::Failed(failure)) => return Err(failure.into()),
            first => first,
        };
        let mut response = Response::new(Body::from_stream(EventStream::new(answer, events, first)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        return Ok(response);
    }
    answer.add(first.0, first.1)?;
    while !answer.is_whole() {
        let (index, event) = next(&mut events).await?;
        answer.add(index, event)?;
    }
    Ok(json_response(&answer.whole()))
}

async fn next(events: &mut Events) -> Result<(usize, Event), ApiError> {
    events.recv().await.ok_or_else(|| ApiError::server("the engine dropped the text"))
}

pub(crate) async fn embeddings(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let body = body(request).await?;
    let request = EmbeddingRequest::parse(&body)?;
    let embedder = service.embedder(&request.model)?;
    let width = embedder.engine.encoder().width();
    if let Some(dimensions) = request.dimensions.filter(|&dimensions| dimensions != width) {
        return Err(ApiError::field("dimensions", dimensions, format!("the {width} of this model")));
    }
    check_tokens(&request.texts, embedder.engine.encoder())?;
    let (sender, receiver) = oneshot::channel();
    // Shared by two closures: one replies, the other checks whether the reply is still wanted.
    let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
    let asked = Arc::clone(&sender);
    let job = SentenceJob {
        texts: request.texts,
        reply: Box::new(move |result| {
            if let Ok(mut sender) = sender.lock()
                && let Some(sender) = sender.take()
            {
                // The client may be gone.
                let _ = sender.send(result);
            }
        }),
        is_listening: Box::new(move || {
            asked.lock().is_ok_and(|sender| sender.as_ref().is_some_and(|sender| !sender.is_closed()))
        }),
    };
    embedder.engine.submit(job)?;
    let embedded = receiver.await.map_err(|_| ApiError::server("the encoder dropped the texts"))??;
    let data: Vec<Value> = embedded
        .embeddings
        .chunks_exact(width.max(1))
        .enumerate()
        .map(|(index, embedding)| {
            let embedding = if request.base64 {
                let bytes: Vec<u8> = embedding.iter().flat_map(|number| number.to_le_bytes()).collect();
                Value::String(BASE64_STANDARD.encode(bytes))
            } else {
                json!(embedding)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    Ok(json_response(&json!({
        "object": "list", "data": data, "model": request.model,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    })))
}

/// Refuses tokens that the encoder cannot read.
fn check_tokens(texts: &[SentenceInput], encoder: &SentenceEncoder) -> Result<(), ApiError> {
    for text in texts {
        let SentenceInput::Tokens(tokens) = text else { continue };
        let (vocabulary, longest) = (encoder.vocabulary(), encoder.longest_text());
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(ApiError::field(
                "input",
                format!("the token {token}"),
                format!("tokens below {vocabulary}"),
            ));
        }
        if !(1..=longest).contains(&tokens.len()) {
            return Err(ApiError::field(
                "input",
                format!("{} tokens", tokens.len()),
                format!("1 to {longest}"),
            ));
        }
    }
    Ok(())
}

fn model_json(service: &Service, name: &str) -> Value {
    json!({"id": name, "object": "model", "created": service.created, "owned_by": "gyrus"})
}

pub(crate) async fn models(State(service): Shared) -> Response {
    let data: Vec<Value> = service.names().into_iter().map(|name| model_json(&service, name)).collect();
    json_response(&json!({"object": "list", "data": data}))
}

pub(crate) async fn model(State(service): Shared, Path(name): Path<String>) -> Result<Response, ApiError> {
    if service.names().contains(&name.as_str()) {
        return Ok(json_response(&model_json(&service, &name)));
    }
    // Returns the error for an unknown name.
    service.writer(&name).map(|_| json_response(&Value::Null))
}

pub(crate) async fn health(State(service): Shared) -> Result<Response, ApiError> {
    match service.writer.as_ref().is_some_and(|writer| writer.engine.has_stopped()) {
        true => Err(ApiError::stopping()),
        false => Ok(json_response(&json!({"status": "ok"}))),
    }
}

pub(crate) async fn metrics(State(service): Shared) -> Result<Response, ApiError> {
    let engine = service.writer.as_ref().map(|writer| &writer.engine);
    let counts = engine.map(|engine| (engine.options().slots, engine.statistics()));
    let text = service.metrics.text(counts).map_err(|error| ApiError::server(error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

pub(crate) async fn nowhere() -> ApiError {
    ApiError::not_found("there is no such path".to_owned(), None, None)
}

pub(crate) async fn wrong_method() -> ApiError {
    ApiError::method()
}

pub(crate) fn json_response(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// The body of a request, which must be declared as JSON: a foreign web page cannot declare that without a preflight request.
pub(crate) async fn body(request: Request) -> Result<Bytes, ApiError> {
    let json = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let json = json.and_then(|kind| kind.split(';').next()).map(str::trim);
    if !json.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::media_type());
    }
    timeout(BODY_TIMEOUT, collect(request.into_body())).await.unwrap_or_else(|_| Err(ApiError::too_slow()))
}

/// The bytes of a body. An oversized body is drained for a while, because clients look for an answer only after sending
/// everything.
async fn collect(body: Body) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut kept = Vec::new();
    while let Some(chunk) = next_chunk(&mut stream).await? {
        if kept.len() + chunk.len() > MOST_BODY_BYTES {
            let drain = async {
                let mut drained = 0;
                while let Some(chunk) = next_chunk(&mut stream).await?
                    && drained < MOST_DRAINED_BYTES
                {
                    drained += chunk.len();
                }
                Ok::<_, ApiError>(())
            };
            // It does not matter whether it reached the end.
            let _ = timeout(DRAIN_TIMEOUT, drain).await;
            return Err(ApiError::too_large(MOST_BODY_BYTES));
        }
        kept.extend_from_slice(&chunk);
    }
    Ok(kept.into())
}

async fn next_chunk(stream: &mut BodyDataStream) -> Result<Option<Bytes>, ApiError> {
    let chunk = poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await;
    // The client is gone and will not see this.
    chunk.transpose().map_err(|_| ApiError::invalid("the body ended early"))
}
