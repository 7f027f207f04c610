//! Manifests that other programs put into the data directory: each is adopted as a delivery, once.
//!
//! What has a name in the ledger is ours. What has none, and follows the convention, becomes a delivery to the apps
//! that its manifest names. One that cannot be adopted is refused once, with the reason in `errors/`; one that may
//! still come right (its data file is missing, its app is not declared) waits, and `why` says so.

use super::ended;
use super::events::Event;
use super::pool::Busy;
use crate::config::{By, Hop};
use crate::context::Context;
use crate::delivery::outputs::hand_over;
use crate::delivery::quarantine::refuse_manifest;
use crate::delivery::said;
use handover_core::{
    AppName, Delivery, DeliveryId, Error, ErrorKind, FileName, Kind, Manifest, NewDelivery, Result, path_text,
};
use handover_file::arrive::{self, Candidate, FolderCache};
use handover_file::read;
use handover_ledger::{ArrivalKey, Arrived, NameRow, NewArrival, Reserve};
use jiff::SignedDuration;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

/// How often the data directory is scanned where no event asks for it.
const SCAN_EVERY: Duration = Duration::from_secs(10);
/// A data file that is shorter than its manifest says and was written so lately is given time.
const GROWING: SignedDuration = SignedDuration::from_secs(5);
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

/// What became of a manifest.
enum Looked {
    /// There is nothing more to do about it.
    Settled,
    /// It may come right: what it waits for, and the data file that is looked out for.
    Waits(String, PathBuf),
}

impl Adopting {
    pub(crate) fn new(ctx: Arc<Context>, busy: Arc<AtomicUsize>) -> Self {
        Self { ctx, cache: FolderCache::new(), waiting: HashMap::new(), busy, scans: Arc::default() }
    }

    pub(crate) async fn serve(
        mut self,
        mut events: mpsc::UnboundedReceiver<arrive::Event>,
        mut end: watch::Receiver<bool>,
    ) {
        let mut next_scan = Instant::now();
        loop {
            if next_scan <= Instant::now() {
                if let Err(e) = self.round().await {
                    warn!("cannot look through the data directory: {e}; it is tried again");
                }
                self.scans.fetch_add(1, Ordering::SeqCst);
                next_scan = Instant::now() + SCAN_EVERY;
            }
            tokio::select! {
                () = ended(&mut end) => return,
                Some(event) = events.recv() => match event.kind {
                    arrive::EventKind::Rescan => next_scan = Instant::now(),
                    arrive::EventKind::Removed => {}
                    _ => self.hinted(&event.path).await,
                },
                () = tokio::time::sleep_until(next_scan) => {}
            }
        }
    }

    /// Looks at one manifest that an event named, or whose data file it named; our own, which make most of the events,
    /// are passed over.
    async fn hinted(&mut self, path: &Path) {
        if let Some((manifest, _)) = self.waiting.get(path).cloned() {
            let _busy = Busy::begin(&self.busy);
            return self.look_and_say(&manifest).await;
        }
        let is_manifest = path.to_str().is_some_and(|p| p.ends_with(handover_core::name::MANIFEST_SUFFIX));
        if is_manifest && !self.ctx.process.published.contains(path) {
            let _busy = Busy::begin(&self.busy);
            self.look_and_say(path).await;
        }
    }

    /// Looks at every manifest of the folders that have changed and that the ledger does not know.
    async fn round(&mut self) -> Result<()> {
        let _busy = Busy::begin(&self.busy);
        let root = self.ctx.project.data.root().to_owned();
        let mut folders: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for path in arrive::scan_manifests(&root, &mut self.cache)? {
            folders.entry(path.parent().unwrap_or(&root).to_owned()).or_default().push(path);
        }
        for (folder, paths) in folders {
            let Some(name) = self.ctx.project.data.relative(&folder) else { continue };
            let known: HashSet<String> = self.ctx.project.ledger.names_in(&name).await?.into_iter().collect();
            for path in paths {
                if self.place(&path).is_some_and(|(_, stem)| !known.contains(&stem)) {
                    self.look_and_say(&path).await;
                }
            }
        }
        Ok(())
    }

    async fn look_and_say(&mut self, path: &Path) {
        match self.look(path).await {
            Ok(Looked::Settled) => self.waiting.retain(|_, (manifest, _)| manifest != path),
            // It is looked at again at the next scan, whether its folder has changed or not.
            Ok(Looked::Waits(what, data)) => {
                path.parent().into_iter().for_each(|folder| self.cache.forget(folder));
                self.say_waiting(path, what, data);
            }
            Err(e) => warn!("cannot adopt {}: {e}; it is tried again", path.display()),
        }
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

    async fn look(&self, path: &Path) -> Result<Looked> {
        let Some((folder, stem)) = self.place(path) else { return Ok(Looked::Settled) };
        let ledger = &self.ctx.project.ledger;
        let known = ledger.name(&folder, &stem).await?;
        if let Some(row) = &known
            && (row.maker.is_some() || ledger.get(row.file_id).await?.is_some())
        {
            return Ok(Looked::Settled);
        }
        let manifest = match read::read_manifest(path) {
            Ok(manifest) => manifest,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Looked::Settled),
            Err(e) if e.kind() == ErrorKind::BadData => return self.refuse(path, e).await,
            Err(e) => return Err(e),
        };
        if let Some(id) = self.copied(&manifest, known.as_ref()).await? {
            info!(
                "{} says that it is delivery {id}, which this ledger knows: it is not adopted again",
                path.display()
            );
            return Ok(Looked::Settled);
        }
        self.adopt(path, folder, stem, manifest, known).await
    }

    /// The folder and the name without extension, within the data directory.
    fn place(&self, path: &Path) -> Option<(String, String)> {
        let relative = self.ctx.project.data.relative(path)?;
        let (folder, name) = relative.rsplit_once('/')?;
        Some((folder.to_owned(), name.strip_suffix(handover_core::name::MANIFEST_SUFFIX)?.to_owned()))
    }

    /// The delivery that this ledger knows it as, where it was copied here from another place.
    async fn copied(&self, manifest: &Manifest, known: Option<&NameRow>) -> Result<Option<DeliveryId>> {
        let ledger = &self.ctx.project.ledger;
        if known.is_some() || manifest.ledger.as_deref() != Some(ledger.identity()) {
            return Ok(None);
        }
        let Some(id) = manifest.delivery_id.as_ref().and_then(|id| id.parse::<DeliveryId>().ok()) else {
            return Ok(None);
        };
        // After an older ledger was restored its numbers come again: the same number must be of the same content.
        let same =
            |data: &serde_json::Value| data.get("checksum") == Some(&serde_json::json!(manifest.checksum));
        Ok(ledger.get(id).await?.filter(|delivery| same(&delivery.data)).map(|delivery| delivery.id))
    }

    async fn adopt(
        &self,
        path: &Path,
        folder: String,
        stem: String,
        manifest: Manifest,
        known: Option<NameRow>,
    ) -> Result<Looked> {
        let name: FileName = match manifest.file_name() {
            Ok(name) if name.stem() == stem => name,
            Ok(_) => {
                return self
                    .refuse(
                        path,
                        Error::bad_data(format!(
                            "the manifest is named {stem} and names {}",
                            manifest.filename
                        )),
                    )
                    .await;
            }
            Err(e) => return self.refuse(path, e).await,
        };
        let data_path = path.with_file_name(&manifest.filename);
        match Candidate::look(&data_path) {
            Ok(data) if data.size < manifest.file_size && self.is_young(&data) => {
                let what = format!(
                    "{} of the {} bytes of {} are there",
                    data.size, manifest.file_size, manifest.filename
                );
                return Ok(Looked::Waits(what, data_path));
            }
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(Looked::Waits(
                    format!("its data file {} is not there yet", manifest.filename),
                    data_path,
                ));
            }
            Err(e) => return self.refuse(path, e).await,
        }
        let hops = self.hops(&manifest);
        if hops.is_empty() && !manifest.targets().is_empty() {
            let names: Vec<String> = manifest.targets().iter().map(ToString::to_string).collect();
            return Ok(Looked::Waits(
                format!("it is for {}, which is not declared", names.join(", ")),
                data_path,
            ));
        }
        let ledger = &self.ctx.project.ledger;
        let file_id = match known {
            Some(row) => row.file_id,
            None => {
                let reserve = Reserve {
                    maker: None,
                    slot: "adopted".into(),
                    folder: folder.clone(),
                    app: name.app.clone(),
                    type_name: name.type_name.clone(),
                    date: name.date,
                    wanted: Some(name.sequence),
                    floor: 0,
                    stem: Some(stem.clone()),
                };
                ledger.reserve(reserve).await?.file_id
            }
        };
        let relative = format!("{folder}/{}", manifest.filename);
        let attempts =
            |app: &AppName| self.ctx.config().app(app.as_str()).map_or(1, |app| app.max_attempts());
        let mut deliveries = hand_over(&manifest, &relative, file_id, &hops, attempts);
        deliveries.iter_mut().for_each(|new| new.dedup_key = Some(put_key(file_id)));
        let holder = self.ctx.process.holder.clone();
        ledger.push(&holder.0, deliveries).await?;
        info!(app = %name.app, delivery = file_id.0, "{relative} was put here by another program: adopted as delivery {file_id}");
        Ok(Looked::Settled)
    }

    /// Whether a data file may still be growing, under a manifest that was written too early.
    fn is_young(&self, data: &Candidate) -> bool {
        self.ctx.project.clock.now().duration_since(data.mtime) < GROWING
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
