//! The log on stderr: JSON lines `timestamp, level, app, message, context, trace_id`; on a terminal, plain lines. The API's
//! access log writes lines of the same form, whatever the level.

use handover_core::clock::rfc3339;
use serde_json::{Map, Value, json};
use std::fmt::{Debug, Write as _};
use std::io::{IsTerminal as _, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// The target of what is said whatever the level: a daemon's beginning and end.
pub(crate) const ALWAYS: &str = "handover::always";
/// Where deliveries end; a command that sums up its run says their failures itself.
const ENDS: &str = "handover_runtime::delivery::settle";

/// What the log leaves out unless it is asked for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quiet {
    /// Nothing.
    No,
    /// Failures of deliveries, and warnings: the command says them at its end.
    Failures,
}

/// Starts the log. Only warnings unless `verbose`.
pub(crate) fn start(quiet: Quiet, verbose: u8) {
    let level = match (verbose, quiet) {
        (0, Quiet::No) => LevelFilter::WARN,
        (0, Quiet::Failures) => LevelFilter::ERROR,
        (1, _) => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let wanted = filter_fn(move |event| {
        let said_at_the_end = verbose == 0 && quiet == Quiet::Failures && event.target() == ENDS;
        event.target() == ALWAYS || (*event.level() <= level && !said_at_the_end)
    });
    let plain = std::io::stderr().is_terminal();
    // A second start, as in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(Lines { plain }.with_filter(wanted)).try_init();
}

struct Lines {
    plain: bool,
}

/// The fields of one event.
#[derive(Default)]
struct Fields {
    message: String,
    app: Option<String>,
    trace_id: Option<String>,
    context: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, name: &str, value: Value) {
        let text = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match name {
            "message" => self.message = text(),
            "app" => self.app = Some(text()),
            "trace_id" => self.trace_id = Some(text()),
            name if name.starts_with("log.") => {}
            name => {
                self.context.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field.name(), Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = rfc3339(jiff::Timestamp::now());
        let level = event.metadata().level().as_str().to_lowercase();
        let line = if self.plain {
            let mut line = format!("{now} {level:5}");
            if let Some(app) = &fields.app {
                let _ = write!(line, " {app}:");
            }
            let _ = write!(line, " {}", fields.message);
            line
        } else {
            json!({
                "timestamp": now, "level": level, "app": fields.app, "message": fields.message,
                "context": fields.context, "trace_id": fields.trace_id,
            })
            .to_string()
        };
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}
