//! An answer as server-sent events: `data: {...}` for each chunk, `data: [DONE]` at its end; responses name their events.
//!
//! When the client disconnects, the stream and its channel are dropped, and the engine abandons the texts.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use gyrus_language::engine::{Event, Listener};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::error::{ApiError, Result};

/// The channel from the engine's thread to a request: the index of the text, and the event. It needs no bound, because a text
/// has no more events than the context has tokens.
pub(crate) type Events = UnboundedReceiver<(usize, Event)>;

/// The sending side for one text of a request.
pub(crate) struct Sender {
    pub(crate) index: usize,
    pub(crate) events: UnboundedSender<(usize, Event)>,
}

impl Listener for Sender {
    fn receive(&mut self, event: Event) {
        // `is_listening` notices a client that is gone.
        let _ = self.events.send((self.index, event));
    }

    fn is_listening(&self) -> bool {
        !self.events.is_closed()
    }
}

/// An answer that is put together from the events of its texts.
pub(crate) trait Assembly: Send {
    /// Adds an event of a text to the complete answer.
    fn add(&mut self, index: usize, event: Event) -> Result<(), ApiError>;
    /// Whether all texts are complete.
    fn is_whole(&self) -> bool;
    /// The complete answer.
    fn whole(self: Box<Self>) -> Value;
    /// The lines of a stream for an event of a text.
    fn lines(&mut self, index: usize, event: Event) -> Result<Vec<String>, ApiError>;
    /// The lines that end a stream.
    fn last_lines(&self) -> Vec<String>;
    /// The lines for an answer that failed.
    fn failure(&mut self, error: &ApiError) -> Vec<String>;
}

/// The body of a streamed answer.
pub(crate) struct EventStream {
    answer: Box<dyn Assembly>,
    events: Events,
    lines: VecDeque<String>,
    ended: bool,
}

impl EventStream {
    /// A stream that begins with an event that has already arrived.
    pub(crate) fn new(answer: Box<dyn Assembly>, events: Events, (index, first): (usize, Event)) -> Self {
        let mut stream = Self { answer, events, lines: VecDeque::new(), ended: false };
        stream.take(index, first);
        stream
    }

    fn take(&mut self, index: usize, event: Event) {
        match self.answer.lines(index, event) {
            Ok(lines) => self.lines.extend(lines),
            Err(error) => return self.fail(&error),
        }
        if self.answer.is_whole() {
            self.lines.extend(self.answer.last_lines());
            self.end();
        }
    }

    fn fail(&mut self, error: &ApiError) {
        self.lines.extend(self.answer.failure(error));
        self.end();
    }

    fn end(&mut self) {
        self.ended = true;
        // The other texts, if any, are no longer wanted.
        self.events.close();
    }
}

impl Stream for EventStream {
    type Item = Result<String, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Poll::Ready(Some(Ok(line)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match self.events.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some((index, event))) => self.take(index, event),
                Poll::Ready(None) => self.fail(&ApiError::server("the engine dropped the text")),
            }
        }
    }
}
