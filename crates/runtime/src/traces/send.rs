//! The one task that sends spans: what has come is put together for a moment and posted; what a collector does not take for a
//! while is given up, counted, and said once a minute.

use super::{Inner, Span, otlp};
use handover_core::Result;
use handover_service::client::{self, Http};
use http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

/// So many spans go in one request.
const BATCH: usize = 512;
/// For so long they are put together.
const LINGER: Duration = Duration::from_millis(500);
/// So long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// So often a batch is sent, and pauses between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
/// So often a trouble that lasts is said.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What the queue carries.
pub(super) enum Message {
    Span(Box<Span>),
    /// Tells when all before it has been sent.
    Flush(oneshot::Sender<()>),
}

/// Sends until nobody can send any more.
pub(super) async fn serve(inner: Arc<Inner>, mut waiting: mpsc::Receiver<Message>) {
    let mut sender = Sender { inner, http: None, said: None, dropped: 0 };
    let mut spans = Vec::new();
    while let Some(first) = waiting.recv().await {
        let mut flushes = Vec::new();
        take(first, &mut spans, &mut flushes);
        let until = tokio::time::Instant::now() + LINGER;
        while spans.len() < BATCH && flushes.is_empty() {
            match tokio::time::timeout_at(until, waiting.recv()).await {
                Ok(Some(message)) => take(message, &mut spans, &mut flushes),
                Ok(None) | Err(_) => break,
            }
        }
        if !spans.is_empty() {
            sender.send(&spans).await;
            spans.clear();
        }
        for flush in flushes {
            let _ = flush.send(());
        }
    }
}

fn take(message: Message, spans: &mut Vec<Span>, flushes: &mut Vec<oneshot::Sender<()>>) {
    match message {
        Message::Span(span) => spans.push(*span),
        Message::Flush(done) => flushes.push(done),
    }
}

struct Sender {
    inner: Arc<Inner>,
    http: Option<Http>,
    /// When a trouble was said last, while it lasts.
    said: Option<Instant>,
    /// How many had been dropped when that was said.
    dropped: u64,
}

impl Sender {
    /// Sends a batch, or gives it up.
    async fn send(&mut self, spans: &[Span]) {
        let wrong = match otlp::body(&self.inner.settings.service_name, spans) {
            Ok(body) => match self.posted(body).await {
                Ok(()) => {
                    self.inner.counts.sent.fetch_add(spans.len() as u64, Ordering::Relaxed);
                    return self.fine();
                }
                Err(wrong) => wrong,
            },
            Err(error) => format!("they cannot be written: {error}"),
        };
        self.inner.counts.failed.fetch_add(spans.len() as u64, Ordering::Relaxed);
        self.trouble(&wrong);
    }

    /// Posts a body, again where that may help; else what was wrong.
    async fn posted(&mut self, body: String) -> std::result::Result<(), String> {
        let mut wrong = String::new();
        for nth in 1..=TRIES {
            let (why, again) = match self.post(body.clone()).await {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(status) => {
                    let later = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                    (format!("the answer was {status}"), later)
                }
                Err(e) => (e.to_string(), true),
            };
            wrong = why;
            if !again || nth == TRIES {
                break;
            }
            tokio::time::sleep(PAUSE * nth).await;
        }
        Err(wrong)
    }

    async fn post(&mut self, body: String) -> Result<StatusCode> {
        let http = match &self.http {
            Some(http) => http,
            None => self.http.insert(client::connect()?),
        };
        let settings = &self.inner.settings;
        let headers = settings.headers.iter().map(|(name, value)| (name.as_str(), value.expose()));
        client::post_json(http, &settings.endpoint, headers, body, PATIENCE).await
    }

    fn trouble(&mut self, wrong: &str) {
        if self.said.is_some_and(|at| at.elapsed() < SAY_EVERY) {
            return;
        }
        let failed = self.inner.counts.failed.load(Ordering::Relaxed);
        self.dropped = self.inner.counts.dropped.load(Ordering::Relaxed);
        let (endpoint, dropped) = (&self.inner.settings.endpoint, self.dropped);
        warn!(
            "spans cannot be sent to {endpoint}: {wrong}; {failed} were given up so far, and {dropped} found no room to wait. Work goes on"
        );
        self.said = Some(Instant::now());
    }

    fn fine(&mut self) {
        let dropped = self.inner.counts.dropped.load(Ordering::Relaxed);
        if self.said.take().is_some() {
            info!("spans are sent to {} again", self.inner.settings.endpoint);
        } else if dropped > self.dropped {
            let count = dropped - self.dropped;
            warn!(
                "{count} spans were dropped: more came than {} takes; a lower `traces.sample` makes fewer",
                self.inner.settings.endpoint
            );
        }
        self.dropped = dropped;
    }
}
