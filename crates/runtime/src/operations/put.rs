//! Putting a file in by hand: published under a reserved name, by the same protocol as any output, and handed over.
//!
//! Invariants: nothing is replaced; the ledger hears of the file after its manifest is on disk. On a crash in between,
//! or where a running engine is quicker, the engine adopts the manifest under the number that was reserved for it, so
//! that the file is handed over once whoever does it.

use crate::config::{By, Hop, is_kept};
use crate::delivery::outputs::hand_over;
use crate::delivery::payload::FilePayload;
use crate::delivery::rows_of;
use crate::engine::put_key;
use crate::project::Project;
use handover_core::manifest::SCHEMA_VERSION;
use handover_core::{
    AppName, Checksum, DeliveryId, Error, ErrorKind, FileName, HolderId, Manifest, Result, TypeName,
    path_text,
};
use handover_file::arrive::{self, Candidate, TakeLimits};
use handover_file::draft::{Draft, Written};
use handover_file::layout::{default_folder, highest_sequence, name_taken};
use handover_file::publish::{PublishRequest, publish_now};
use handover_ledger::{Reservation, Reserve};
use jiff::civil::Date;
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};

/// What is put in, and where.
#[derive(Debug, Clone)]
pub struct Put {
    /// The app whose output it is to be.
    pub app: AppName,
    /// Its type.
    pub type_name: TypeName,
    /// The app that gets it; without one, those that the app's links lead to.
    pub next: Option<AppName>,
    /// The flow that it belongs to; without one, every flow that leads on from the app.
    pub flow: Option<String>,
    /// The date in its name; without one, that of the file.
    pub date: Option<Date>,
    /// Its extension; without one, that of the file.
    pub ext: Option<String>,
    /// The sequence in its name, which must be free; without one, the next.
    pub sequence: Option<u32>,
}

/// A file that was put in.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// The delivery; of several, the first.
    pub delivery_id: DeliveryId,
    /// All of them.
    pub deliveries: Vec<DeliveryId>,
    /// Where it is, within the data directory.
    pub path: String,
    /// The same, absolute.
    pub file: PathBuf,
    /// Who gets it.
    pub next_apps: Vec<AppName>,
    /// The flows that it belongs to.
    pub flows: Vec<String>,
    /// Its size in bytes.
    pub file_size: u64,
    /// Its rows, where they are counted.
    pub row_count: Option<u64>,
    /// Its content.
    pub checksum: Checksum,
}

/// Which output such a name is for.
const SLOT: &str = "put";

/// Where it goes and what it is called, but for the sequence.
struct Target {
    put: Put,
    /// Within the data directory, with its date.
    folder: String,
    dir: PathBuf,
    date: Date,
    hops: Vec<Hop>,
    flows: Vec<String>,
}

/// Puts in a file, or with `-` what standard input gives. `actor` is who does it, for the audit log.
///
/// # Errors
/// [`ErrorKind::Config`] where the apps, the flow or the extension will not do; those of reading and publishing.
pub async fn put(project: &Project, holder: &HolderId, actor: &str, file: &Path, put: Put) -> Result<Done> {
    let (hops, flows) = destination(project, &put)?;
    let draft = |ext: &str| Ok(project.data.draft(holder, ext)?.counting(rows_of(ext)));
    let (written, date) = if file == Path::new("-") {
        let ext = put.ext.clone().ok_or_else(|| {
            Error::config("standard input has no name to take the extension from").hint("give it: --ext csv")
        })?;
        (stream(io::stdin().lock(), draft(&ext)?)?, today(project))
    } else {
        read(project, file, &put, draft)?
    };
    let date = put.date.unwrap_or(date);
    let target = target(project, put, (hops, flows), date)?;
    publish(project, actor, target, written).await
}

/// A draft for what is to be put in piece by piece, then with [`put_written`].
///
/// # Errors
/// [`ErrorKind::Config`] where the apps, the flow or the folder will not do; those of making a file.
pub fn draft(project: &Project, holder: &HolderId, put: &Put, ext: &str) -> Result<Draft> {
    target(project, put.clone(), destination(project, put)?, today(project))?;
    Ok(project.data.draft(holder, ext)?.counting(rows_of(ext)))
}

/// Puts in what was written into a [`draft`]; without a date in `put` it gets today's.
///
/// # Errors
/// As [`put`], and [`ErrorKind::Exists`] where the name with the wanted sequence is taken.
pub async fn put_written(project: &Project, actor: &str, put: Put, written: Written) -> Result<Done> {
    let to = destination(project, &put)?;
    let date = put.date.unwrap_or_else(|| today(project));
    publish(project, actor, target(project, put, to, date)?, written).await
}

fn target(project: &Project, put: Put, to: (Vec<Hop>, Vec<String>), date: Date) -> Result<Target> {
    let (hops, flows) = to;
    let folder = project
        .config
        .app(put.app.as_str())
        .map_or_else(|| default_folder(put.app.as_str()).to_owned(), |app| app.folder.clone());
    if is_kept(&folder) {
        let message = format!("the folder `{folder}` is kept for what is quarantined or archived");
        return Err(Error::config(message).hint("put it in as another app's output: --app"));
    }
    let dir = project.data.folder(&folder, date);
    Ok(Target { folder: format!("{folder}/{date}"), dir, date, put, hops, flows })
}

fn today(project: &Project) -> Date {
    project.clock.now().to_zoned(project.config.timezone.clone()).date()
}

/// Who gets it, and in which flows.
fn destination(project: &Project, put: &Put) -> Result<(Vec<Hop>, Vec<String>)> {
    let (config, routes) = (&project.config, project.config.routes());
    if let Some(flow) = &put.flow
        && config.flow(flow).is_none()
    {
        let known = config.flows.iter().map(|flow| flow.name.as_str());
        let hint = match handover_core::suggest::nearest(flow, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the flows are: {}", known.collect::<Vec<_>>().join(", ")),
        };
        return Err(Error::config(format!("there is no flow `{flow}`")).hint(hint));
    }
    let among = |flows: Vec<String>| match &put.flow {
        Some(flow) => flows.into_iter().filter(|f| f == flow).collect(),
        None => flows,
    };
    let mut from = routes.flows_through(&put.app);
    let hops = match &put.next {
        Some(to) => {
            config.require_app(to.as_str())?;
            from = among(from);
            let linked = routes
                .next(&put.app, &from)
                .into_iter()
                .find(|hop| hop.to == *to)
                .map(|hop| among(hop.flows));
            let flows =
                linked.filter(|flows| !flows.is_empty()).unwrap_or_else(|| among(routes.flows_through(to)));
            vec![Hop { to: to.clone(), flows, by: By::File }]
        }
        None => {
            config.require_app(put.app.as_str()).map_err(|e| {
                let declared = e.hint_text().filter(|hint| !hint.is_empty()).unwrap_or("declare it");
                let hint =
                    format!("{}; or say who gets the file: --next APP", declared.trim_end_matches('.'));
                Error::config(e.to_string()).hint(hint)
            })?;
            from = among(from);
            let mut hops = routes.next(&put.app, &from);
            hops.iter_mut().for_each(|hop| hop.flows = among(std::mem::take(&mut hop.flows)));
            hops.retain(|hop| !hop.flows.is_empty());
            hops
        }
    };
    let leads_there = hops.iter().any(|hop| !hop.flows.is_empty()) || (hops.is_empty() && !from.is_empty());
    if let Some(flow) = put.flow.as_ref().filter(|_| !leads_there) {
        return Err(Error::config(format!("flow `{flow}` does not lead there"))
            .hint("`handover check` shows the flows; without --flow every flow that leads there is taken"));
    }
    let mut flows: Vec<String> = Vec::new();
    for flow in hops.iter().flat_map(|hop| &hop.flows).chain(if hops.is_empty() { &from[..] } else { &[] }) {
        if !flows.contains(flow) {
            flows.push(flow.clone());
        }
    }
    Ok((hops, flows))
}

/// Reads a named file; a regular one with the proof that it did not change meanwhile.
fn read(
    project: &Project,
    file: &Path,
    put: &Put,
    draft: impl Fn(&str) -> Result<Draft>,
) -> Result<(Written, Date)> {
    let shown = path_text::to_text(file);
    let named = std::fs::canonicalize(file).map_err(|e| {
        let missing = e.kind() == io::ErrorKind::NotFound;
        let error = Error::io("read", &shown, e);
        if missing { error.hint("check the path; `-` is standard input") } else { error }
    })?;
    let meta = std::fs::metadata(&named).map_err(|e| Error::io("read", &shown, e))?;
    if meta.is_dir() {
        return Err(Error::config("this is a folder, and a file is wanted")
            .on(shown)
            .hint("put its files in one by one, or let a file-importer watch the folder"));
    }
    let ext = put.ext.clone().unwrap_or_else(|| arrive::ext_of(file));
    let mut draft = draft(&ext)?;
    if !meta.is_file() {
        let source = std::fs::File::open(&named).map_err(|e| Error::io("read", &shown, e))?;
        return Ok((stream(source, draft)?, today(project)));
    }
    let candidate = Candidate::look(&named)?;
    arrive::take(&candidate, &TakeLimits { max_bytes: None, manifest: None }, &mut draft)?;
    Ok((draft.finish()?, arrive::date_of(file, candidate.mtime, &project.config.timezone)))
}

fn stream(mut source: impl io::Read, mut draft: Draft) -> Result<Written> {
    io::copy(&mut source, &mut draft).map_err(|e| Error::io("read", "what is put in", e))?;
    draft.finish()
}

/// Publishes it under the first free name, and hands it over.
async fn publish(project: &Project, actor: &str, target: Target, written: Written) -> Result<Done> {
    let dir = &target.dir;
    let exactly = target.put.sequence;
    let (mut floor, mut written) = (exactly.map_or(0, |sequence| sequence.saturating_sub(1)), written);
    loop {
        let reservation = match (reserve(project, &target, floor).await, exactly) {
            (Err(e), Some(sequence)) if e.kind() == ErrorKind::Exists => {
                unfinished(project, &target, sequence).await?.ok_or_else(|| taken(&target, sequence))?
            }
            (reserved, _) => reserved?,
        };
        let ext = written.ext().to_owned();
        if !name_taken(dir, &reservation.stem, &ext)? {
            let manifest = manifest(project, &target, &reservation, &written);
            let name = manifest.filename.clone();
            let request =
                PublishRequest::new(written, dir.clone(), name, reservation.stem.clone(), manifest.clone());
            // It syncs, which takes its time: not on a thread that others wait for.
            let published = tokio::task::spawn_blocking(move || publish_now(request)).await;
            match published.map_err(|e| Error::internal("publishing broke off").because(e))? {
                Ok(_) => return hand_on(project, actor, &target, &manifest, reservation.file_id).await,
                Err(e) => match (e.error.kind(), e.written) {
                    (ErrorKind::Exists, Some(whole)) => written = *whole,
                    _ => return Err(e.error),
                },
            }
        }
        // The one name that is wanted is given up for no other: whoever asked for it too may be publishing under it.
        if let Some(sequence) = exactly {
            return Err(taken(&target, sequence));
        }
        project.ledger.discard(&reservation, None).await?;
        let put = &target.put;
        floor = highest_sequence(dir, &put.app, &put.type_name, target.date)?.max(reservation.sequence);
    }
}

/// The reservation of a name that was put in before and is no delivery: whoever made it died, or is still at it. Nothing
/// that stands at a name is replaced here, so that of several who publish under it the first has it.
async fn unfinished(project: &Project, target: &Target, sequence: u32) -> Result<Option<Reservation>> {
    let (folder, stem) = (target.folder.clone(), name(target, sequence).stem());
    let Some(row) = project.ledger.name(&folder, &stem).await? else { return Ok(None) };
    if row.maker.is_some() || row.slot != SLOT || project.ledger.get(row.file_id).await?.is_some() {
        return Ok(None);
    }
    let reserved_at = project.clock.now();
    Ok(Some(Reservation { folder, stem, sequence, file_id: row.file_id, reserved_at, fresh: false }))
}

fn name(target: &Target, sequence: u32) -> FileName {
    let put = &target.put;
    FileName {
        app: put.app.clone(),
        type_name: put.type_name.clone(),
        date: target.date,
        sequence,
        ext: String::new(),
    }
}

fn taken(target: &Target, sequence: u32) -> Error {
    let error = Error::new(ErrorKind::Exists, format!("the name with the sequence {sequence:03} is taken"));
    error.on(&target.folder).hint("choose another, or leave it to Handover")
}

/// Reserves a name: the one with the wanted sequence or none, so that asking for a name that is taken uses no other up.
async fn reserve(project: &Project, target: &Target, floor: u32) -> Result<Reservation> {
    let put = &target.put;
    let reserve = Reserve {
        maker: None,
        slot: SLOT.into(),
        folder: target.folder.clone(),
        app: put.app.clone(),
        type_name: put.type_name.clone(),
        date: target.date,
        // Above the highest that there can be, the ledger says what to do.
        wanted: floor.checked_add(1),
        floor,
        stem: put.sequence.map(|sequence| name(target, sequence).stem()),
    };
    project.ledger.reserve(reserve).await
}

fn manifest(project: &Project, target: &Target, reservation: &Reservation, written: &Written) -> Manifest {
    let targets: Vec<AppName> = target.hops.iter().map(|hop| hop.to.clone()).collect();
    Manifest {
        filename: format!("{}.{}", reservation.stem, written.ext()),
        created_at: project.clock.now(),
        created_by: target.put.app.clone(),
        row_count: written.row_count,
        file_size: written.file_size,
        checksum: written.checksum,
        schema_version: SCHEMA_VERSION.to_owned(),
        next_app: targets.first().cloned(),
        next_apps: if targets.len() > 1 { targets } else { Vec::new() },
        delivery_id: Some(reservation.file_id.to_string()),
        parents: Vec::new(),
        flow: target.flows.first().cloned(),
        flows: target.flows.clone(),
        rows_rejected: None,
        traceparent: None,
        replay_of: None,
        ledger: Some(project.ledger.identity().to_owned()),
        more: serde_json::Map::default(),
    }
}

async fn hand_on(
    project: &Project,
    actor: &str,
    target: &Target,
    manifest: &Manifest,
    file_id: DeliveryId,
) -> Result<Done> {
    let path = format!("{}/{}", target.folder, manifest.filename);
    let attempts = |app: &AppName| project.config.app(app.as_str()).map_or(1, |app| app.max_attempts());
    let mut new = hand_over(manifest, &path, file_id, &target.hops, attempts);
    new.iter_mut().for_each(|new| new.dedup_key = Some(put_key(file_id)));
    let pushed = project.ledger.push(actor, new).await?;
    let payload = FilePayload { manifest: manifest.clone(), path };
    Ok(Done {
        delivery_id: file_id,
        deliveries: pushed.into_iter().map(handover_ledger::Pushed::id).collect(),
        file: project.data.absolute(&payload.path)?,
        path: payload.path,
        next_apps: target.hops.iter().map(|hop| hop.to.clone()).collect(),
        flows: target.flows.clone(),
        file_size: manifest.file_size,
        row_count: manifest.row_count,
        checksum: manifest.checksum,
    })
}
