//! What a person does to a delivery from a page: what would happen is said first, then it is done, and what came of it is said.
//!
//! [`effect`] only looks. [`perform`] is one transaction of the ledger, except archiving, whose file moves before its rows
//! ([`super::archive`]). [`many`] does the same to all that fit a filter.

mod downstream;
pub mod many;

use super::archive;
use super::facts::{Facts, Role};
use super::times::number;
use crate::config::{BuiltIn, Runs};
use crate::project::Project;
use downstream::downstream;
use handover_core::{Delivery, DeliveryId, Error, HolderId, Kind, Result, Status, path_text};
use handover_file::read;
use handover_ledger::{Cancelled, Filter, NewAction};

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// A failed delivery is tried again.
    Retry,
    /// A new delivery is made from an old one's input.
    Replay,
    /// What has not ended ends.
    Cancel,
    /// What has ended goes to the archive.
    Archive,
    /// What was deleted comes back.
    Restore,
}

impl Act {
    /// All of them.
    pub const ALL: [Act; 5] = [Act::Retry, Act::Replay, Act::Cancel, Act::Archive, Act::Restore];

    /// The word for it, in addresses and on buttons.
    pub fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Replay => "replay",
            Self::Cancel => "cancel",
            Self::Archive => "archive",
            Self::Restore => "restore",
        }
    }

    /// What a button says.
    pub fn label(self) -> &'static str {
        match self {
            Self::Retry => "Retry",
            Self::Replay => "Replay as new",
            Self::Cancel => "Cancel",
            Self::Archive => "Archive",
            Self::Restore => "Bring back",
        }
    }

    /// Reads the word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.word() == word)
    }

    /// Why it cannot be done to a delivery that stands so; none where it can.
    pub fn refused(self, delivery: &Delivery) -> Option<String> {
        let status = delivery.status;
        let ended = matches!(status, Status::Completed | Status::Failed);
        let no = |why: &str| Some(why.to_owned());
        match self {
            Self::Restore if delivery.deleted_at.is_none() => no("It was not deleted."),
            Self::Restore => None,
            Self::Retry if status == Status::Archived => {
                no("It is in the archive: replay it, which makes a new one.")
            }
            Self::Retry if status != Status::Failed => {
                Some(format!("It is {status}: only what has failed is tried again."))
            }
            Self::Replay if delivery.target_app.is_none() => {
                no("No app reads it: replay the delivery that it came from.")
            }
            Self::Cancel if !matches!(status, Status::Pending | Status::Processing) => no("It has ended."),
            Self::Archive if status == Status::Archived => no("It is in the archive already."),
            Self::Archive if !ended => Some(format!("It is {status}: only what has ended is archived.")),
            _ if delivery.deleted_at.is_some() => no("It was deleted: bring it back first."),
            Self::Retry | Self::Replay | Self::Cancel | Self::Archive => None,
        }
    }

    /// Those that can be done to a delivery, the one that helps first.
    pub fn possible(delivery: &Delivery) -> Vec<Self> {
        Self::ALL.into_iter().filter(|act| act.refused(delivery).is_none()).collect()
    }
}

/// What an action would lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Why it cannot be done; none where it can.
    pub refused: Option<String>,
    /// What happens, in order.
    pub does: Vec<String>,
    /// What it makes anew.
    pub anew: Vec<String>,
    /// What stays as it is, or is not undone.
    pub stays: Vec<String>,
    /// What stands in its way, so that it would come to nothing now.
    pub warnings: Vec<String>,
}

/// What would happen; nothing is done.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn effect(project: &Project, act: Act, delivery: &Delivery) -> Result<Effect> {
    let mut effect = Effect {
        refused: act.refused(delivery),
        does: Vec::new(),
        anew: Vec::new(),
        stays: Vec::new(),
        warnings: Vec::new(),
    };
    if effect.refused.is_some() {
        return Ok(effect);
    }
    match act {
        Act::Retry => retry(project, delivery, &mut effect).await?,
        Act::Replay => replay(project, delivery, &mut effect).await?,
        Act::Cancel => cancel(project, delivery, &mut effect).await?,
        Act::Archive => archiving(project, delivery, &mut effect).await?,
        Act::Restore => restore(project, delivery, &mut effect).await?,
    }
    Ok(effect)
}

async fn retry(project: &Project, delivery: &Delivery, effect: &mut Effect) -> Result<()> {
    let app = app_of(delivery);
    let attempts = match delivery.max_attempts {
        1 => "with its one attempt".to_owned(),
        many => format!("with all its {many} attempts"),
    };
    effect.does.push(format!("{app} works on {} again, {attempts}. It keeps its number.", name_of(delivery)));
    if delivery.kind != Kind::Record {
        effect.does.push("Its outputs have the names that are reserved for them: what an earlier attempt left under these names is replaced.".into());
    }
    goes_on(project, delivery, effect);
    let names = project.ledger.names_of(delivery.id).await?;
    if names.iter().any(|name| name.slot == "quarantine") {
        effect.stays.push("The copy in quarantine stays, with its reason.".into());
    }
    stands_in_the_way(project, delivery, effect).await
}

async fn replay(project: &Project, delivery: &Delivery, effect: &mut Effect) -> Result<()> {
    let app = app_of(delivery);
    effect.anew.push(format!("A new delivery for {app}, from the same input: {}.", name_of(delivery)));
    if delivery.kind != Kind::Record {
        effect.anew.push("Its outputs get new names: nothing of the past is overwritten.".into());
    }
    goes_on(project, delivery, effect);
    let exports: Vec<&str> = std::iter::once(app)
        .chain(downstream(&project.config, app, delivery.flow.as_deref()))
        .filter(|app| is_exporter(project, app))
        .collect();
    if !exports.is_empty() {
        effect.anew.push(format!(
            "{} exports once more: whoever reads these exports gets both.",
            exports.join(", ")
        ));
    }
    effect
        .stays
        .push(format!("Delivery {} stays as it is, and so does all that was made from it.", delivery.id));
    let again = Filter { replay_of: Some(delivery.id), archived: true, limit: 1, ..Filter::default() };
    if let Some(again) = project.ledger.list(again).await?.first() {
        effect.warnings.push(format!("It was replayed before: delivery {} is {}.", again.id, again.status));
    }
    stands_in_the_way(project, delivery, effect).await
}

async fn cancel(project: &Project, delivery: &Delivery, effect: &mut Effect) -> Result<()> {
    let app = app_of(delivery);
    let works = delivery.status == Status::Processing && delivery.kind != Kind::Record;
    effect.does.push(if works {
        format!("What {app} runs for it is stopped, with all that it started; then it has failed. If it completes sooner, it is completed.")
    } else {
        "It has failed at once, and nothing works on it.".to_owned()
    });
    effect.stays.push("Nothing is deleted, and retry brings it back.".into());
    let children = Filter { parent: Some(delivery.id), limit: 101, ..Filter::default() };
    let children = project.ledger.list(children).await?.len() as u64;
    if children > 0 {
        let many = if children > 100 { "more than 100".to_owned() } else { number(children) };
        effect.stays.push(format!("What was made from it before ({many}) goes on: cancel that by itself."));
    }
    Ok(())
}

async fn archiving(project: &Project, delivery: &Delivery, effect: &mut Effect) -> Result<()> {
    let would = archive::these(project, None, &[delivery.id]).await?;
    if would.deliveries == 0 {
        effect.refused = Some(match would.left.first() {
            Some(left) => format!("It stays where it is: {left}."),
            None => "There is nothing to archive.".into(),
        });
        return Ok(());
    }
    if would.files > 0 {
        effect
            .does
            .push("Its file is compressed into archive/ of the data directory, and leaves its place.".into());
    }
    let others = would.deliveries.saturating_sub(1);
    effect.does.push(if others > 0 {
        format!("Its row moves to the archive, with {} that read the same file.", more(others))
    } else {
        "Its row moves to the archive.".into()
    });
    effect.stays.push("It can be shown, downloaded and replayed as before, but not retried; it does not come back from the archive.".into());
    if delivery.status == Status::Failed {
        effect.stays.push("It no longer counts among the failed.".into());
    }
    Ok(())
}

fn more(others: u64) -> String {
    if others == 1 { "1 other".into() } else { format!("{} others", number(others)) }
}

async fn restore(project: &Project, delivery: &Delivery, effect: &mut Effect) -> Result<()> {
    effect.does.push(match delivery.status {
        Status::Pending => format!("It waits for {} again, where it stood.", app_of(delivery)),
        status => format!("It is back, as it was: {status}."),
    });
    if delivery.status == Status::Pending {
        stands_in_the_way(project, delivery, effect).await?;
    }
    Ok(())
}

/// Who gets what comes of it.
fn goes_on(project: &Project, delivery: &Delivery, effect: &mut Effect) {
    let apps = downstream(&project.config, app_of(delivery), delivery.flow.as_deref());
    if !apps.is_empty() {
        effect.does.push(format!("What comes of it goes on to {}.", apps.join(", ")));
    }
}

/// Why it would not be begun, or would fail again.
async fn stands_in_the_way(project: &Project, delivery: &Delivery, effect: &mut Effect) -> Result<()> {
    let app = app_of(delivery);
    if project.ledger.paused().await?.iter().any(|pause| pause.app == app) {
        effect.warnings.push(format!("{app} is paused: it waits until the app is resumed."));
    } else if project.config.app(app).is_none() && delivery.kind != Kind::Record {
        effect.warnings.push(format!("No app {app} is declared: it waits until one is."));
    }
    if let Some(missing) = input_missing(project, delivery).await? {
        effect.warnings.push(missing);
    }
    Ok(())
}

/// What is said where its input is gone.
async fn input_missing(project: &Project, delivery: &Delivery) -> Result<Option<String>> {
    let facts = Facts::of(delivery);
    let Some(path) = facts.path else { return Ok(None) };
    let data = project.data.clone();
    let gone = tokio::task::spawn_blocking(move || match facts.role {
        Role::Arrival => path_text::from_text(&path).symlink_metadata().is_err(),
        Role::Export => read::exported(&path_text::from_text(&path)).is_err(),
        _ => read::retained(&data, &path).is_err(),
    });
    let gone = gone.await.map_err(|e| Error::internal("looking for a file broke off").because(e))?;
    Ok(gone.then(|| "Its input is not where it was, nor in the archive: it would fail again.".to_owned()))
}

/// Who acts, and from where.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// Who, as audits name them.
    pub actor: &'a str,
    /// By what: the page, or the command.
    pub via: &'a str,
    /// Whose temporary files those are that it makes.
    pub holder: &'a HolderId,
}

/// Does it, and notes who did where no move of the delivery says so. `asked_when` is the newest number at the time that the
/// question was shown: what was replayed since then is not replayed twice.
///
/// # Errors
/// [`handover_core::ErrorKind::IllegalTransition`] where it cannot be done (any more); others where the ledger cannot be used.
pub async fn perform(
    project: &Project,
    by: By<'_>,
    act: Act,
    id: DeliveryId,
    asked_when: Option<DeliveryId>,
) -> Result<Done> {
    let done = done(project, by, act, id, asked_when).await?;
    let note = match &done {
        Done::Replayed(new) => Some(format!("as delivery {new}")),
        Done::Cancelling => Some("it ends when its work has stopped".to_owned()),
        Done::Restored => None,
        // Nothing happened, or the move itself stands in the audit log.
        _ => return Ok(done),
    };
    let (actor, via, did) = (by.actor.to_owned(), by.via.to_owned(), act.word().to_owned());
    let app = project.ledger.get(id).await?.and_then(|delivery| delivery.target_app);
    let action = NewAction { actor, via, did, app, delivery: Some(id), note, ..NewAction::default() };
    project.ledger.note_action(action).await?;
    Ok(done)
}

async fn done(
    project: &Project,
    By { actor, holder, .. }: By<'_>,
    act: Act,
    id: DeliveryId,
    asked_when: Option<DeliveryId>,
) -> Result<Done> {
    let ledger = project.ledger.as_ref();
    Ok(match act {
        Act::Retry => {
            ledger.retry(actor, id).await?;
            Done::Retried
        }
        Act::Replay => match replayed_since(project, id, asked_when).await? {
            Some(known) => Done::ReplayedBefore(known),
            None => Done::Replayed(ledger.replay(actor, id).await?),
        },
        Act::Cancel => match ledger.ask_to_cancel(actor, id).await? {
            Cancelled::Ended => Done::Cancelled,
            Cancelled::Asked => Done::Cancelling,
        },
        Act::Archive => {
            let done = archive::these_for(project, Some(actor), Some(holder), &[id]).await?;
            match done.left.first().filter(|_| done.deliveries == 0) {
                Some(left) => Done::Left(left.clone()),
                None => Done::Archived(done.deliveries),
            }
        }
        Act::Restore => match ledger.restore(actor, id).await? {
            true => Done::Restored,
            false => Done::Left("it was not deleted".into()),
        },
    })
}

/// What an action led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It waits again.
    Retried,
    /// The new delivery.
    Replayed(DeliveryId),
    /// The new delivery that the same question led to before.
    ReplayedBefore(DeliveryId),
    /// It has ended.
    Cancelled,
    /// It ends when what works on it has stopped.
    Cancelling,
    /// So many rows moved.
    Archived(u64),
    /// It is back.
    Restored,
    /// Nothing was done, and why.
    Left(String),
}

/// The replay that was made since a question was shown.
async fn replayed_since(
    project: &Project,
    id: DeliveryId,
    asked_when: Option<DeliveryId>,
) -> Result<Option<DeliveryId>> {
    let Some(asked_when) = asked_when else { return Ok(None) };
    let filter = Filter {
        replay_of: Some(id),
        after: Some(asked_when),
        archived: true,
        limit: 1,
        ..Filter::default()
    };
    Ok(project.ledger.list(filter).await?.first().map(|one| one.id))
}

/// The newest number that there is: the time at which a question is shown.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn newest(project: &Project) -> Result<DeliveryId> {
    let filter = Filter { archived: true, limit: 1, ..Filter::default() };
    Ok(project.ledger.list(filter).await?.first().map_or(DeliveryId(0), |one| one.id))
}

fn is_exporter(project: &Project, app: &str) -> bool {
    let runs = project.config.app(app).map(|app| &app.runs);
    matches!(runs, Some(Runs::BuiltIn(BuiltIn::Exporter(_))))
}

fn app_of(delivery: &Delivery) -> &str {
    delivery.target_app.as_deref().unwrap_or("nobody")
}

fn name_of(delivery: &Delivery) -> String {
    let facts = Facts::of(delivery);
    match facts.role {
        Role::Job => format!("the job ({})", facts.name),
        Role::Record => format!("the record {}", facts.name),
        _ => facts.name,
    }
}
