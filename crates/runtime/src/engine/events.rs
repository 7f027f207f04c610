//! What happens, told to whoever listens: the progress of `demo`, the summary of `run --once`, `notify:`.

use handover_core::{AppName, DeliveryId};
use jiff::Timestamp;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Something that happened in this process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A file was noticed and its arrival committed.
    Arrived {
        /// The importer.
        app: AppName,
        /// Its delivery.
        id: DeliveryId,
        /// The original's path as text.
        original: String,
    },
    /// A file was refused as it stands.
    Refused {
        /// The importer.
        app: AppName,
        /// The delivery that says so.
        id: DeliveryId,
        /// The original's path as text.
        original: String,
        /// Why.
        error: String,
    },
    /// A delivery was completed.
    Completed {
        /// The app.
        app: AppName,
        /// The delivery.
        id: DeliveryId,
        /// Rows of its input, where they are counted.
        rows_in: Option<u64>,
        /// Rows of its output.
        rows_out: Option<u64>,
        /// Rows rejected, at a built-in app.
        rows_rejected: Option<u64>,
        /// Rows that the configuration leaves out, at a built-in app.
        rows_filtered: Option<u64>,
        /// Size of its output.
        bytes_out: Option<u64>,
        /// Its first output: a path within the data directory, or an export's.
        output: Option<String>,
        /// From arrival to completion.
        latency: Duration,
        /// Whether an importer passed over the file on purpose.
        skipped: bool,
    },
    /// A file became records.
    Split {
        /// The app that the records go to.
        app: AppName,
        /// The file's delivery.
        id: DeliveryId,
        /// Rows of the file.
        rows: u64,
        /// Records that it became.
        records: u64,
        /// Rows that were rejected.
        rejected: u64,
    },
    /// Records became a file.
    Gathered {
        /// The app that the file goes to.
        app: AppName,
        /// The app that made the records.
        by: String,
        /// How many records.
        records: u64,
        /// The file's path within the data directory.
        path: String,
    },
    /// An attempt failed and there will be another.
    Retrying {
        /// The app.
        app: AppName,
        /// The delivery.
        id: DeliveryId,
        /// What went wrong.
        error: String,
        /// When it is tried again.
        run_at: Option<Timestamp>,
    },
    /// A delivery failed for good.
    Failed {
        /// The app.
        app: AppName,
        /// The delivery.
        id: DeliveryId,
        /// The file that it is about, where it is about one.
        file: Option<String>,
        /// What went wrong.
        error: String,
        /// Whether its input went to quarantine.
        quarantined: bool,
    },
    /// A result came after its lease was lost, and was dropped.
    Late {
        /// The app.
        app: AppName,
        /// The delivery.
        id: DeliveryId,
    },
    /// Something that there was to do could not be begun, as on a full disk.
    Hindered(String),
    /// Something worth saying that is no delivery's end.
    Notice(String),
}

type Listener = Box<dyn Fn(&Event) + Send + Sync>;

/// Those who listen. Clones share them.
#[derive(Clone, Default)]
pub struct Observer(Arc<RwLock<Vec<Listener>>>);

impl Observer {
    /// Adds a listener; it must return quickly.
    pub fn listen(&self, listener: impl Fn(&Event) + Send + Sync + 'static) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(listener));
    }

    /// Tells everybody.
    pub(crate) fn tell(&self, event: Event) {
        for listener in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            listener(&event);
        }
    }
}
