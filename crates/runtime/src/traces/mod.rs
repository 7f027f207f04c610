//! Traces: one follows a delivery across apps, doors and machines, and its spans are sent to a collector (`traces:`).
//!
//! A delivery that comes without a context begins a trace, whose id follows from the ledger and its number, so that every attempt
//! at it, whoever makes it, is in the same one. Each attempt is a span; what follows from it carries the attempt's context: in
//! the manifest, the row, the request, the program's environment. Of a stream program's records a span of their own have only
//! those that came with a recorded context, and in small batches alone ([`RECORDS_MAX`]); a batch has one.
//!
//! Invariants: nothing waits for a collector: the queue is bounded, and what finds no room is dropped, counted and said. Without
//! `traces:` contexts that came are handed on as they are, and nothing else is done.
//!
//! On a crash the spans that were not yet sent are lost.

mod otlp;
mod send;

use crate::config::Traces;
use handover_core::trace::TraceContext;
use handover_core::{Delivery, Kind};
use jiff::Timestamp;
use send::Message;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// In a batch of so many answers each record has a span of its own, where it came with a recorded context.
pub(crate) const RECORDS_MAX: usize = 16;
/// So many spans wait at most.
const QUEUE: usize = 8_192;

/// What a span is, as OTLP numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Work of our own.
    Internal = 1,
    /// Somebody asked us.
    Server = 2,
    /// We asked somebody.
    Client = 3,
    /// Something was handed over, and is worked on later.
    Producer = 4,
}

/// A span that has ended.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its trace and itself.
    pub context: TraceContext,
    /// Whose child it is.
    pub parent: Option<String>,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: SpanKind,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// What went wrong.
    pub error: Option<String>,
}

/// A span that has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The context for what follows.
    pub context: TraceContext,
    parent: Option<String>,
    began: Timestamp,
    /// Whether the trace begins with this delivery, whose whole time is a span too.
    root: bool,
}

/// Sends spans; clones are one.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    settings: Traces,
    ledger: String,
    queue: mpsc::Sender<Message>,
    /// Taken by the task that sends.
    waiting: Mutex<Option<mpsc::Receiver<Message>>>,
    counts: Sent,
}

/// What became of spans.
#[derive(Debug, Default)]
struct Sent {
    sent: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Tracer {
    /// One for the deliveries of this ledger; without settings it does nothing.
    pub fn new(settings: Option<&Traces>, ledger: &str) -> Self {
        Self(settings.map(|settings| {
            let (queue, waiting) = mpsc::channel(QUEUE);
            Arc::new(Inner {
                settings: settings.clone(),
                ledger: ledger.to_owned(),
                queue,
                waiting: Mutex::new(Some(waiting)),
                counts: Sent::default(),
            })
        }))
    }

    /// Whether spans are sent.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins to send, on the runtime that this is called on.
    pub(crate) fn start(&self) {
        let Some(inner) = &self.0 else { return };
        if let Some(waiting) = inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            tokio::spawn(send::serve(inner.clone(), waiting));
        }
    }

    /// What waits is sent, within a bound.
    pub(crate) async fn flush(&self, within: Duration) {
        let Some(inner) = &self.0 else { return };
        let (done, sent) = oneshot::channel();
        let flush = async {
            if inner.queue.send(Message::Flush(done)).await.is_ok() {
                let _ = sent.await;
            }
        };
        if tokio::time::timeout(within, flush).await.is_err() {
            tracing::warn!("the last spans could not be sent in time; they are lost");
        }
    }

    /// How many spans were sent, were dropped because too many waited, and were not taken by the collector.
    pub fn counts(&self) -> Option<[(&'static str, u64); 3]> {
        let counts = &self.0.as_ref()?.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Some([
            ("sent", read(&counts.sent)),
            ("dropped", read(&counts.dropped)),
            ("failed", read(&counts.failed)),
        ])
    }

    /// The context of a delivery: the one that it came with, or the one that begins with it.
    pub fn context_of(&self, delivery: &Delivery) -> Option<TraceContext> {
        let given = delivery.trace.as_deref().and_then(TraceContext::parse);
        given.or_else(|| {
            let inner = self.0.as_ref()?;
            Some(TraceContext::of(&inner.ledger, delivery.id.0, inner.settings.sample))
        })
    }

    /// An attempt at a delivery begins; none where nothing is sent. A record of a stream program begins no trace of its own.
    pub(crate) fn attempt(&self, delivery: &Delivery, is_stream: bool, now: Timestamp) -> Option<Begun> {
        self.0.as_ref()?;
        if is_stream && delivery.kind == Kind::Record {
            let given = TraceContext::parse(delivery.trace.as_deref()?)?;
            return given.sampled.then(|| begin(&given, false, now));
        }
        let root = delivery.trace.as_deref().and_then(TraceContext::parse).is_none();
        self.context_of(delivery).map(|context| begin(&context, root, now))
    }

    /// A request begins whose context is this; `given` says whether it came with it. None where its span is not sent.
    pub fn request(&self, context: &str, given: bool, now: impl FnOnce() -> Timestamp) -> Option<Begun> {
        let inner = self.0.as_ref()?;
        let mut context = TraceContext::parse(context)?;
        if !given {
            context.sampled = TraceContext::is_drawn(&context.trace, inner.settings.sample);
        }
        let mut begun = context.sampled.then(|| begin(&context, false, now()))?;
        begun.parent = begun.parent.filter(|_| given);
        Some(begun)
    }

    /// Several records are answered together: a trace of its own.
    pub(crate) fn batch(&self, now: Timestamp) -> Option<Begun> {
        let inner = self.0.as_ref()?;
        let trace = handover_core::id::random_hex();
        let sampled = TraceContext::is_drawn(&trace, inner.settings.sample);
        let context = TraceContext { trace, span: handover_core::trace::new_span(), sampled };
        sampled.then_some(Begun { context, parent: None, began: now, root: false })
    }

    /// A span has ended: it is sent if its trace is recorded and there is room.
    pub fn end(&self, span: Span) {
        let Some(inner) = &self.0 else { return };
        if span.context.sampled && inner.queue.try_send(Message::Span(Box::new(span))).is_err() {
            inner.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn begin(parent: &TraceContext, root: bool, now: Timestamp) -> Begun {
    Begun { context: parent.child(), parent: Some(parent.span.clone()), began: now, root }
}

impl Begun {
    /// The same, ended.
    pub fn ended(
        &self,
        name: String,
        kind: SpanKind,
        now: Timestamp,
        attributes: Vec<(&'static str, Value)>,
        error: Option<String>,
    ) -> Span {
        Span {
            context: self.context.clone(),
            parent: self.parent.clone(),
            name,
            kind,
            began: self.began,
            // A clock that was set back makes no negative time.
            ended: now.max(self.began),
            attributes,
            error,
        }
    }

    /// Where the trace begins with this delivery: the span of its whole life, from its arrival to its end, whose children its
    /// attempts are.
    pub(crate) fn whole(&self, delivery: &Delivery, now: Timestamp, error: Option<String>) -> Option<Span> {
        let id = self.parent.clone().filter(|_| self.root)?;
        let target = delivery.target_app.as_deref().unwrap_or_default();
        Some(Span {
            context: TraceContext { span: id, ..self.context.clone() },
            parent: None,
            name: format!("{} for {target}", delivery.kind),
            kind: SpanKind::Producer,
            began: delivery.created_at,
            ended: now.max(delivery.created_at),
            attributes: about(delivery),
            error,
        })
    }
}

/// What a span says of a delivery.
pub(crate) fn about(delivery: &Delivery) -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("handover.delivery_id", Value::from(delivery.id.0)),
        ("handover.kind", Value::from(delivery.kind.as_str())),
        ("handover.source", Value::from(delivery.source_app.as_str())),
        ("handover.attempt", Value::from(delivery.attempts)),
    ];
    all.extend(delivery.flow.as_deref().map(|flow| ("handover.flow", Value::from(flow))));
    all
}
