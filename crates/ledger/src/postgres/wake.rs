//! Waking without polling, where that can be had: LISTEN on a connection of its own.
//!
//! Whoever makes work tells the channel `handover`, with the app's name: our own transactions after their commit, on the
//! listening connection, many at once (a NOTIFY within a transaction would make all committers wait for one another);
//! where nobody here listens, as in a command, within the transaction; plain SQL by a trigger, once a statement.
//!
//! Ends of files and jobs are told on the same way, by their numbers, for those who wait for one; that wakes no worker.
//!
//! A pooler that pools by transaction takes a LISTEN and never delivers. So a probe is sent through another connection
//! when listening begins; where it does not come back, this looks four times a second whether numbers were given out, and
//! wakes once a second whatever it sees.
//!
//! A lost connection is made again, and what may have been missed meanwhile is made good by a wake.

use super::clock::ServerClock;
use super::pool::Connections;
use crate::api::Queue;
use crate::ends::Ends;
use handover_core::DeliveryId;
use handover_core::id::random_hex;
use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Notification};

const CHANNEL: &str = "handover";
/// What the payload of a probe begins with; no app has such a name.
const PROBE: &str = "?probe-";
/// What the payload of an end begins with; the delivery's number follows.
const END: &str = "?end-";
/// How long a probe may take.
const PROBE_MAX: Duration = Duration::from_secs(2);
/// The first listening is waited for so long, so that what happens after `wake` was called is not missed.
const START_MAX: Duration = Duration::from_secs(5);
/// What no notification told of is found so late at the latest.
const NET: Duration = Duration::from_secs(10);
/// How often to look where there are no notifications; every fourth look wakes.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS_PER_WAKE: u32 = 4;
/// Rings within so short a time after one that was told are told to the others together.
const RING_EVERY: Duration = Duration::from_millis(2);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Those here who wait for work: for any, or for one app's.
#[derive(Default)]
struct Waiting {
    any: watch::Sender<u64>,
    apps: Mutex<HashMap<String, watch::Sender<u64>>>,
}

impl Waiting {
    fn for_app(&self, app: &str) -> watch::Receiver<u64> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        apps.entry(app.to_owned()).or_default().subscribe()
    }

    /// There may be work for these apps; without a name, or with an empty one, for any.
    fn wake<'a>(&self, named: impl Iterator<Item = &'a str> + Clone) {
        let ring = |bell: &watch::Sender<u64>| bell.send_modify(|n| *n += 1);
        ring(&self.any);
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if named.clone().all(|app| !app.is_empty()) && named.clone().next().is_some() {
            named.filter_map(|app| apps.get(app)).for_each(ring);
        } else {
            apps.values().for_each(ring);
        }
    }

    fn wake_all(&self) {
        self.wake(std::iter::empty());
    }
}

/// Tells of new work: those here, and through the server all others.
pub(super) struct Wake {
    here: Arc<Waiting>,
    rings: OnceLock<mpsc::UnboundedSender<BTreeSet<String>>>,
    connections: Arc<Connections>,
    server: Arc<ServerClock>,
    ends: Ends,
    runtime: Handle,
}

impl Wake {
    pub(super) fn new(
        connections: Arc<Connections>,
        server: Arc<ServerClock>,
        ends: Ends,
        runtime: Handle,
    ) -> Self {
        Self { here: Arc::default(), rings: OnceLock::new(), connections, server, ends, runtime }
    }

    /// A receiver of any work; listening begins with the first.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.listen();
        self.here.any.subscribe()
    }

    /// A receiver of one app's work.
    pub(super) fn subscribe_for(&self, app: &str) -> watch::Receiver<u64> {
        self.listen();
        self.here.for_app(app)
    }

    /// Begins to listen, where it has not begun.
    pub(super) fn listen(&self) {
        self.rings.get_or_init(|| {
            let (rings, rung) = mpsc::unbounded_channel();
            let (started, start) = std::sync::mpsc::sync_channel(1);
            let (here, connections, ends) = (self.here.clone(), self.connections.clone(), self.ends.clone());
            let listener = Listener { here, connections, ends, rung, told: Instant::now() };
            self.runtime.spawn(listener.run(started));
            // Whoever listens stays, and can keep house.
            self.runtime.spawn(super::chores::keep(self.connections.clone(), self.server.clone()));
            // Where it takes longer, the wake that follows it makes good what was missed.
            let _ = start.recv_timeout(START_MAX);
            rings
        });
    }

    /// Wakes those here who wait for this app's work, after so long.
    pub(super) fn later(&self, app: String, after: Duration) {
        let here = self.here.clone();
        self.runtime.spawn(async move {
            sleep(after).await;
            here.wake(std::iter::once(app.as_str()));
        });
    }

    /// Whether others are to be told by the transaction itself, since nothing here stays to tell them afterwards.
    pub(super) fn by_transaction(&self) -> bool {
        self.rings.get().is_none()
    }

    /// There is new work, committed: for these apps, or, without a name or with an empty one, for nobody knows whom.
    pub(super) fn ring(&self, apps: BTreeSet<String>) {
        self.here.wake(apps.iter().map(String::as_str));
        if let Some(rings) = self.rings.get() {
            let _ = rings.send(apps);
        }
    }

    /// These files or jobs have ended: others are told.
    pub(super) fn ended(&self, ids: impl Iterator<Item = DeliveryId>) {
        if let Some(rings) = self.rings.get() {
            let _ = rings.send(ids.map(|id| format!("{END}{id}")).collect());
        }
    }
}

struct Listener {
    here: Arc<Waiting>,
    connections: Arc<Connections>,
    ends: Ends,
    rung: mpsc::UnboundedReceiver<BTreeSet<String>>,
    /// When others were last told.
    told: Instant,
}

/// A listening connection.
struct Line {
    client: Client,
    heard: mpsc::UnboundedReceiver<Notification>,
    /// The server's process behind it: what it says itself is no news.
    process: i32,
}

/// Why serving a line ended.
enum End {
    /// The ledger is closed.
    Closed,
    /// The connection is lost.
    Lost,
}

impl Listener {
    async fn run(mut self, started: std::sync::mpsc::SyncSender<()>) {
        let mut wait = FIRST_WAIT;
        let mut line = listen(&self.connections).await;
        let _ = started.try_send(());
        loop {
            if let Ok(line) = line {
                wait = FIRST_WAIT;
                if let End::Closed = self.serve(line).await {
                    return;
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            line = listen(&self.connections).await;
            // Whatever was told meanwhile was missed.
            self.here.wake_all();
        }
    }

    async fn serve(&mut self, mut line: Line) -> End {
        let delivers = self.delivers(&mut line).await;
        // What delivers notifications is one connection throughout, and so are the others.
        self.connections.keep_statements(delivers == Some(true));
        match delivers {
            Some(true) => self.serve_events(line).await,
            Some(false) => self.serve_looks(line).await,
            None => End::Lost,
        }
    }

    /// Whether notifications come through; none where the line is lost.
    async fn delivers(&self, line: &mut Line) -> Option<bool> {
        let probe = format!("{PROBE}{}", random_hex());
        let sent = self.connections.get().await.ok()?;
        let values: [super::tx::Value<'_>; 2] = [(&CHANNEL, Type::TEXT), (&probe, Type::TEXT)];
        sent.rows("SELECT pg_notify($1, $2)", &values).await.ok()?;
        let until = Instant::now() + PROBE_MAX;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left, line.heard.recv()).await {
                Ok(Some(heard)) if heard.payload() == probe => return Some(true),
                Ok(Some(heard)) => self.hear(line.process, &heard),
                Ok(None) => return None,
                Err(_) => return Some(false),
            }
        }
    }

    fn hear(&self, own: i32, heard: &Notification) {
        let payload = heard.payload();
        if heard.process_id() == own || payload.starts_with(PROBE) {
            return;
        }
        match payload.strip_prefix(END).and_then(|id| id.parse().ok()) {
            Some(id) => self.ends.tell(Queue::Deliveries, std::iter::once(DeliveryId(id))),
            None => self.here.wake(std::iter::once(payload)),
        }
    }

    async fn serve_events(&mut self, mut line: Line) -> End {
        let mut net = interval(NET);
        net.tick().await;
        loop {
            tokio::select! {
                heard = line.heard.recv() => match heard {
                    Some(heard) => self.hear(line.process, &heard),
                    None => return End::Lost,
                },
                rung = self.rung.recv() => match rung {
                    Some(apps) => if let Err(end) = self.tell(&line, apps).await { return end },
                    None => return End::Closed,
                },
                _ = net.tick() => self.here.wake_all(),
            }
        }
    }

    async fn serve_looks(&mut self, mut line: Line) -> End {
        let mut look = interval(LOOK);
        let (mut seen, mut looks) = (None, 0u32);
        loop {
            tokio::select! {
                heard = line.heard.recv() => if heard.is_none() { return End::Lost },
                rung = self.rung.recv() => match rung {
                    Some(apps) => if let Err(end) = self.tell(&line, apps).await { return end },
                    None => return End::Closed,
                },
                _ = look.tick() => {
                    let Ok(given) = given_out(&line.client).await else { return End::Lost };
                    looks += 1;
                    if (seen.is_some() && seen != Some(given)) || looks % LOOKS_PER_WAKE == 0 {
                        self.here.wake_all();
                    }
                    seen = Some(given);
                }
            }
        }
    }

    /// Tells the others of all that was rung until now: at once, unless they have just been told. Its transaction is not synced: it
    /// changes nothing.
    async fn tell(&mut self, line: &Line, mut apps: BTreeSet<String>) -> Result<(), End> {
        sleep_until(self.told + RING_EVERY).await;
        self.told = Instant::now();
        while let Ok(more) = self.rung.try_recv() {
            apps.extend(more);
        }
        if apps.is_empty() {
            apps.insert(String::new());
        }
        let apps: Vec<String> = apps.into_iter().collect();
        let values: [super::tx::Value<'_>; 2] = [(&CHANNEL, Type::TEXT), (&apps, Type::TEXT_ARRAY)];
        let (begun, told, ended) = tokio::join!(
            line.client.batch_execute("BEGIN; SET LOCAL synchronous_commit = off"),
            line.client.query_typed("SELECT pg_notify($1, app) FROM unnest($2) AS app", &values),
            line.client.batch_execute("COMMIT"),
        );
        if begun.is_ok() && told.is_ok() && ended.is_ok() { Ok(()) } else { Err(End::Lost) }
    }
}

/// The last number that was given out.
async fn given_out(client: &Client) -> Result<i64, tokio_postgres::Error> {
    let query = "SELECT last_value FROM integration.delivery_ids";
    client.query_typed_one(query, &[]).await?.try_get(0)
}

async fn listen(connections: &Connections) -> Result<Line, tokio_postgres::Error> {
    let address = connections.address();
    let (client, mut connection) = address.connector.clone().connect(&address.config).await?;
    let (notes, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        // It ends with the connection, and with it the channel.
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(note) = message
                && notes.send(note).is_err()
            {
                return;
            }
        }
    });
    client.batch_execute("LISTEN handover").await?;
    let process = client.query_typed_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
    Ok(Line { client, heard, process })
}
