//! Manifests that other programs put into the data directory: each is adopted as a delivery, once.
//!
//! What has a name in the ledger is ours. What has none, and follows the convention, becomes a delivery to the apps
//! that its manifest names. One that cannot be adopted is refused once, with the reason in `errors/`; one that may
//! still come right (its data file is missing, its app is not declared) waits, and `why` says so.

mod assess;
pub(crate) use assess::{Assessed, assess, copied};

use super::ended;
use super::events::Event;
use super::pool::Busy;
use super::watched::Events;
use crate::config::{By, Hop};
use crate::context::Context;
use crate::delivery::outputs::hand_over;
use crate::delivery::quarantine::refuse_manifest;
use crate::delivery::said;
use handover_core::trace::TraceContext;
use handover_core::{
    AppName, Delivery, DeliveryId, Error, ErrorKind, FileName, Kind, Manifest, NewDelivery, Result, path_text,
};
use handover_file::arrive::{self, Candidate, FolderCache};
use handover_ledger::{ArrivalKey, Arrived, NameRow, NewArrival, Reserve};
use jiff::SignedDuration;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

/// How often the data directory is scanned where no event asks for it.
const SCAN_EVERY: Duration = Duration::from_secs(10);
/// A data file that is shorter than its manifest says and was written so lately is given time; and so is a manifest that
/// cannot be read, where it cannot be told whether somebody still writes it.
const GROWING: SignedDuration = SignedDuration::from_secs(5);
/// So many manifests are adopted together.
const TOGETHER_MAX: usize = 256;
/// The name under which refused manifests stand among the arrivals.
pub(crate) const DATA_DIRECTORY: &str = "data-directory";

/// The task that adopts.
pub(crate) struct Adopting {
    ctx: Arc<Context>,
    cache: FolderCache,
    /// The manifests that wait, by the data files that they name; what they wait for was said once.
    waiting: HashMap<PathBuf, (PathBuf, String)>,
    busy: Arc<AtomicUsize>,
    pub(crate) scans: Arc<AtomicUsize>,
}

/// The key of the deliveries of a file that nobody's delivery made: whoever hands it over, it is handed over once.
pub(crate) fn put_key(file_id: DeliveryId) -> String {
    format!("put:{file_id}")
}

/// What is to become of a manifest.
enum Looked {
    /// There is nothing more to do about it.
    Settled,
    /// It can be adopted.
    Fine(Box<Found>),
    /// It may come right: what it waits for, and the data file that is looked out for.
    Waits(String, PathBuf),
}

/// A manifest that can be adopted.
struct Found {
    /// The folder within the data directory.
    folder: String,
    name: FileName,
    manifest: Manifest,
    /// The number of its file, where its name was reserved already.
    file_id: Option<DeliveryId>,
}

impl Found {
    fn reserve(&self) -> Reserve {
        Reserve {
            maker: None,
            slot: "adopted".into(),
            folder: self.folder.clone(),
            app: self.name.app.clone(),
            type_name: self.name.type_name.clone(),
            date: self.name.date,
            wanted: Some(self.name.sequence),
            floor: 0,
            stem: Some(self.name.stem()),
        }
    }
}

impl Adopting {
    pub(crate) fn new(ctx: Arc<Context>, busy: Arc<AtomicUsize>) -> Self {
        Self { ctx, cache: FolderCache::new(), waiting: HashMap::new(), busy, scans: Arc::default() }
    }

    pub(crate) async fn serve(mut self, mut events: Events, mut end: watch::Receiver<bool>) {
        let mut next_scan = Instant::now();
        loop {
            if next_scan <= Instant::now() {
                if let Err(e) = self.round().await {
                    warn!("cannot look through the data directory: {e}; it is tried again");
                    let text = format!("the data directory: {}", said(&e));
                    self.ctx.process.observer.tell(Event::Hindered(text));
                }
                self.scans.fetch_add(1, Ordering::SeqCst);
                next_scan = Instant::now() + SCAN_EVERY;
            }
            tokio::select! {
                () = ended(&mut end) => return,
                Some(event) = events.recv() => match event.kind {
                    arrive::EventKind::Rescan => next_scan = Instant::now(),
                    arrive::EventKind::Removed => {}
                    _ => {
                        if self.hinted(event, &mut events).await {
                            next_scan = Instant::now();
                        }
                    }
                },
                () = tokio::time::sleep_until(next_scan) => {}
            }
        }
    }

    /// Looks at the manifests that events named, or whose data files they named, with those that wait behind the first;
    /// our own, which make most of the events, are passed over. Whether everything is to be looked at.
    async fn hinted(&mut self, first: arrive::Event, events: &mut Events) -> bool {
        let mut rescan = false;
        let mut manifests = Vec::new();
        let more = std::iter::from_fn(|| events.try_recv().ok());
        for event in std::iter::once(first).chain(more).take(TOGETHER_MAX) {
            rescan |= event.kind == arrive::EventKind::Rescan;
            match self.waiting.get(&event.path) {
                Some((manifest, _)) => manifests.push(manifest.clone()),
                None if event.kind != arrive::EventKind::Removed && self.is_foreign(&event.path) => {
                    manifests.push(event.path);
                }
                None => {}
            }
        }
        if !manifests.is_empty() {
            let _busy = Busy::begin(&self.busy);
            manifests.dedup();
            self.look_and_say(&manifests).await;
        }
        rescan
    }

    fn is_foreign(&self, path: &Path) -> bool {
        let is_manifest = path.to_str().is_some_and(|p| p.ends_with(handover_core::name::MANIFEST_SUFFIX));
        is_manifest && !self.ctx.process.published.contains(path)
    }

    /// Looks at every manifest of the folders that have changed and that the ledger does not know.
    async fn round(&mut self) -> Result<()> {
        let _busy = Busy::begin(&self.busy);
        self.waiting.retain(|_, (manifest, _)| manifest.symlink_metadata().is_ok());
        let root = self.ctx.project.data.root().to_owned();
        let mut folders: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for path in arrive::scan_manifests(&root, &mut self.cache)? {
            folders.entry(path.parent().unwrap_or(&root).to_owned()).or_default().push(path);
        }
        for (folder, paths) in folders {
            let Some(name) = self.ctx.project.data.relative(&folder) else { continue };
            let known: HashSet<String> = self.ctx.project.ledger.names_in(&name).await?.into_iter().collect();
            let unknown = |path: &PathBuf| self.place(path).is_some_and(|(_, stem)| !known.contains(&stem));
            let paths: Vec<PathBuf> = paths.into_iter().filter(unknown).collect();
            for some in paths.chunks(TOGETHER_MAX) {
                self.look_and_say(some).await;
            }
        }
        Ok(())
    }

    /// Looks at manifests, one after the other, and adopts those that are fine, together.
    async fn look_and_say(&mut self, paths: &[PathBuf]) {
        let mut fine = Vec::new();
        let places = paths.iter().map(|path| self.place(path).unwrap_or_default()).collect();
        let known = match self.ctx.project.ledger.names(places).await {
            Ok(known) => known,
            Err(e) => return paths.iter().for_each(|path| self.not_now(path, &e)),
        };
        for (path, known) in paths.iter().zip(known) {
            match self.look(path, known).await {
                Ok(Looked::Settled) => self.waiting.retain(|_, (manifest, _)| manifest != path),
                Ok(Looked::Fine(found)) => {
                    self.waiting.retain(|_, (manifest, _)| manifest != path);
                    fine.push(*found);
                }
                // It is looked at again at the next scan, whether its folder has changed or not.
                Ok(Looked::Waits(what, data)) => {
                    path.parent().into_iter().for_each(|folder| self.cache.forget(folder));
                    self.say_waiting(path, what, data);
                }
                Err(e) => self.not_now(path, &e),
            }
        }
        if let Err(e) = self.adopt(&fine).await {
            paths.iter().for_each(|path| self.not_now(path, &e));
        }
    }

    /// Says that a manifest could not be adopted, and sees to it that its folder is looked at again.
    fn not_now(&mut self, path: &Path, error: &Error) {
        path.parent().into_iter().for_each(|folder| self.cache.forget(folder));
        warn!("cannot adopt {}: {error}; it is tried again", path.display());
    }

    /// Says what a manifest waits for, once.
    fn say_waiting(&mut self, path: &Path, what: String, data: PathBuf) {
        let before = self.waiting.insert(data, (path.to_owned(), what.clone()));
        if before.is_none_or(|(_, said)| said != what) {
            let text = format!("{} waits: {what}", path_text::to_text(path));
            warn!("{text}");
            self.ctx.process.observer.tell(Event::Notice(text));
        }
    }

    async fn look(&self, path: &Path, known: Option<NameRow>) -> Result<Looked> {
        let Some((folder, stem)) = self.place(path) else { return Ok(Looked::Settled) };
        let ledger = &self.ctx.project.ledger;
        if let Some(row) = &known
            && (row.maker.is_some() || ledger.get(row.file_id).await?.is_some())
        {
            return Ok(Looked::Settled);
        }
        let manifest = match arrive::read_written(path, self.ctx.project.clock.now(), GROWING) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Ok(Looked::Waits("it is still being written".to_owned(), path.to_owned())),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Looked::Settled),
            Err(e) if e.kind() == ErrorKind::BadData => return self.refuse(path, e).await,
            Err(e) => return Err(e),
        };
        if known.is_none()
            && let Some(id) = copied(ledger.as_ref(), &manifest).await?
        {
            info!(
                "{} says that it is delivery {id}, which this ledger knows: it is not adopted again",
                path.display()
            );
            return Ok(Looked::Settled);
        }
        match assess(self.ctx.config(), self.ctx.project.clock.now(), path, &stem, &manifest) {
            Assessed::Refused(error) => self.refuse(path, error).await,
            Assessed::Waits(what, data) => Ok(Looked::Waits(what, data)),
            Assessed::Fine(name) => {
                let file_id = known.map(|row| row.file_id);
                Ok(Looked::Fine(Box::new(Found { folder, name, manifest, file_id })))
            }
        }
    }

    /// The folder and the name without extension, within the data directory.
    fn place(&self, path: &Path) -> Option<(String, String)> {
        let relative = self.ctx.project.data.relative(path)?;
        let (folder, name) = relative.rsplit_once('/')?;
        Some((folder.to_owned(), name.strip_suffix(handover_core::name::MANIFEST_SUFFIX)?.to_owned()))
    }

    /// Adopts them, in their order: two transactions for all. After a crash between the two, a name is reserved without a
    /// delivery, and the next look goes on from there.
    async fn adopt(&self, found: &[Found]) -> Result<()> {
        let ledger = &self.ctx.project.ledger;
        let nameless: Vec<&Found> = found.iter().filter(|one| one.file_id.is_none()).collect();
        if found.is_empty() {
            return Ok(());
        }
        let reserved = ledger.reserve_all(nameless.iter().map(|one| one.reserve()).collect()).await?;
        let mut reserved = reserved.into_iter();
        let mut deliveries = Vec::new();
        for one in found {
            let file_id = match one.file_id {
                Some(id) => id,
                None => match reserved.next() {
                    Some(Ok(reservation)) => reservation.file_id,
                    // Another process has just adopted it.
                    Some(Err(_)) | None => continue,
                },
            };
            deliveries.extend(self.deliveries(one, file_id));
        }
        let holder = self.ctx.process.holder.clone();
        ledger.push(&holder.0, deliveries).await.map(drop)
    }

    /// What an adopted file becomes.
    fn deliveries(&self, found: &Found, file_id: DeliveryId) -> Vec<NewDelivery> {
        let relative = format!("{}/{}", found.folder, found.manifest.filename);
        let attempts =
            |app: &AppName| self.ctx.config().app(app.as_str()).map_or(1, |app| app.max_attempts());
        let hops = self.hops(&found.manifest);
        let mut deliveries = hand_over(&found.manifest, &relative, file_id, &hops, attempts);
        // The trace goes on here, if what the manifest says is one.
        let trace = found.manifest.traceparent.clone().filter(|text| TraceContext::parse(text).is_some());
        deliveries.iter_mut().for_each(|new| {
            new.dedup_key = Some(put_key(file_id));
            new.trace.clone_from(&trace);
        });
        info!(app = %found.name.app, delivery = file_id.0, "{relative} was put here by another program: adopted as delivery {file_id}");
        deliveries
    }

    /// Where an adopted file goes: to the apps that its manifest names and that are declared, in the flows it names,
    /// or else in those that lead from its app to theirs.
    fn hops(&self, manifest: &Manifest) -> Vec<Hop> {
        let declared =
            manifest.targets().into_iter().filter(|app| self.ctx.config().app(app.as_str()).is_some());
        declared
            .map(|to| {
                let through = self.ctx.routes.flows_through(&to);
                let named: Vec<String> =
                    manifest.flows.iter().filter(|f| through.contains(f)).cloned().collect();
                let linked: Vec<String> = self
                    .ctx
                    .routes
                    .next(&manifest.created_by, &through)
                    .into_iter()
                    .find(|hop| hop.to == to)
                    .map_or_else(Vec::new, |hop| hop.flows);
                let flows = [named, linked, through].into_iter().find(|f| !f.is_empty()).unwrap_or_default();
                Hop { to, flows, by: By::File }
            })
            .collect()
    }

    /// Refuses a manifest, once, with the reason in `errors/`.
    async fn refuse(&self, path: &Path, error: Error) -> Result<Looked> {
        let candidate = match Candidate::look(path) {
            Ok(candidate) => candidate,
            Err(_) => return Ok(Looked::Settled),
        };
        let text = said(&error);
        let original = path_text::to_text(path);
        let delivery = NewDelivery::new(
            Kind::File,
            "outside",
            Some(DATA_DIRECTORY.into()),
            serde_json::json!({ "original": original }),
        );
        let key = ArrivalKey {
            app: DATA_DIRECTORY.into(),
            path: original.clone(),
            device: candidate.device,
            inode: candidate.inode,
            size: candidate.size,
            mtime: candidate.mtime,
        };
        let holder = self.ctx.process.holder.0.clone();
        let arrival = NewArrival { key, proof: String::new(), delivery, refused: Some(text.clone()) };
        let answers = self.ctx.project.ledger.arrive(&holder, vec![arrival]).await?;
        if let Some(Arrived::New(id)) = answers.first().copied() {
            warn!(delivery = id.0, "{original} is refused: {text}");
            let app = AppName::new(DATA_DIRECTORY)?;
            if let Some(delivery) = self.ctx.project.ledger.get(id).await? {
                self.leave_reason(&app, delivery, path, &error).await;
            }
            self.ctx.process.observer.tell(Event::Refused { app, id, original, error: text });
        }
        Ok(Looked::Settled)
    }

    async fn leave_reason(&self, app: &AppName, delivery: Delivery, path: &Path, error: &Error) {
        if let Err(e) = refuse_manifest(&self.ctx, app, &delivery, path, error).await {
            warn!("cannot leave the reason for {} in errors/: {e}", path.display());
        }
    }
}
