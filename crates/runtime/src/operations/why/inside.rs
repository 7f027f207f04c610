//! Why a file lies in the data directory: what it is, who made it, what became of it.

use super::delivery::refused_goes_on;
use super::{Asking, Explanation, State};
use crate::delivery::payload::FilePayload;
use crate::engine::DATA_DIRECTORY;
use crate::operations::facts::{Facts, Role};
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{
    Delivery, DeliveryId, Error, ErrorKind, FileName, Manifest, Result, Status, path_text, suggest,
};
use handover_file::layout::{ARCHIVE_FOLDER, ERRORS_FOLDER, STATE_FOLDER};
use handover_file::quarantine::Reason;
use handover_file::{archive, read};
use handover_ledger::NameRow;
use std::path::Path;

impl Asking<'_> {
    /// Explains what is, or was, at this path of the data directory; none where nothing is known of it.
    pub(super) async fn inside(&self, relative: &str) -> Result<Option<Explanation>> {
        let path = self.project.data.absolute(relative)?;
        let there = path.symlink_metadata().is_ok();
        match relative.split('/').next() {
            Some(STATE_FOLDER) => return Ok(there.then(|| self.internal(&path))),
            Some(ARCHIVE_FOLDER) => return self.in_archive(&path).await,
            _ => {}
        }
        if path.is_dir() {
            let answer = Explanation::new(self.shown(&path), State::Folder);
            return Ok(Some(answer.say("This is a folder of the data directory: ask about a file in it.")));
        }
        let (folder, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        let Some(stem) = name.strip_suffix(MANIFEST_SUFFIX) else {
            return self.data_file(relative, &path, there).await;
        };
        match read::read_manifest(&path) {
            Ok(manifest) => self.manifest(&path, folder, stem, manifest).await.map(Some),
            Err(e) if e.kind() == ErrorKind::NotFound && !there => self.gone(folder, stem, &path).await,
            Err(e) => self.bad_manifest(&path, e).await.map(Some),
        }
    }

    fn internal(&self, path: &Path) -> Explanation {
        Explanation::new(self.shown(path), State::Internal)
            .say("It belongs to Handover itself: the embedded ledger, locks, and temporary files of running processes.")
            .say("Nothing in this folder is to be changed or removed by hand.")
            .todo("handover status")
    }

    async fn in_archive(&self, path: &Path) -> Result<Option<Explanation>> {
        let manifest = match path.to_str().is_some_and(|text| text.ends_with(MANIFEST_SUFFIX)) {
            true => Some(path.to_owned()),
            false => read::manifest_path_of(path)?,
        };
        let manifest = manifest.and_then(|path| read::read_manifest(&path).ok());
        let Some(original) = manifest.as_ref().and_then(archive::original_of) else { return Ok(None) };
        let files = self.files_at(&original.path).await?;
        if files.is_empty() {
            return Ok(None);
        }
        let answer = self.file(&original.path, files).await?;
        Ok(Some(Explanation { subject: self.shown(path), ..answer }))
    }

    /// A file that is no manifest.
    async fn data_file(&self, relative: &str, path: &Path, there: bool) -> Result<Option<Explanation>> {
        let files = self.files_at(relative).await?;
        if !files.is_empty() {
            return self.file(relative, files).await.map(Some);
        }
        let (folder, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        let stem = name.split('.').next().unwrap_or(name);
        if let Some(row) = self.project.ledger.name(folder, stem).await? {
            return self.reserved(path, &row).await.map(Some);
        }
        if !there {
            return Ok(None);
        }
        if let Some(manifest) = read::manifest_path_of(path)? {
            let stem =
                manifest.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(MANIFEST_SUFFIX));
            let found = read::read_manifest(&manifest)?;
            return self.manifest(&manifest, folder, stem.unwrap_or_default(), found).await.map(Some);
        }
        let beside = path.with_file_name(format!("{stem}{MANIFEST_SUFFIX}"));
        if beside.symlink_metadata().is_ok() {
            return self.with_useless_manifest(path, &beside).await.map(Some);
        }
        let type_name =
            name.parse::<FileName>().map_or_else(|_| "TYPE".to_owned(), |name| name.type_name.to_string());
        Ok(Some(
            Explanation::new(self.shown(path), State::Ignored)
                .say("It has no manifest beside it, and a data file without a manifest does not exist for anyone.")
                .say("No delivery of this ledger made it: another program or a person put it here.")
                .release(format!("It is taken up when its manifest, {stem}{MANIFEST_SUFFIX}, appears beside it."))
                .todo(format!("handover put {} --app APP --type {type_name}", self.quoted(relative))),
        ))
    }

    /// A data file whose manifest is there and cannot be used.
    async fn with_useless_manifest(&self, path: &Path, manifest: &Path) -> Result<Explanation> {
        let error = match read::read_manifest(manifest) {
            Ok(found) => Error::bad_data(format!("it names {}", found.filename)),
            Err(e) => e,
        };
        let own = self.bad_manifest(manifest, error).await?;
        let how = if own.state == State::Refused { "was refused" } else { "cannot be used as it is" };
        let mut answer = Explanation { subject: self.shown(path), ..own };
        let shown = self.shown(manifest);
        answer.sentences.insert(0, format!("Its manifest, {shown}, {how}, so it does not exist for anyone."));
        Ok(answer)
    }

    /// A name that is reserved, for a file that no delivery has: unfinished work.
    async fn reserved(&self, path: &Path, row: &NameRow) -> Result<Explanation> {
        let subject = self.shown(path);
        let Some(maker) = row.maker else {
            return Ok(Explanation::new(subject, State::Unfinished)
                .say("Its name is reserved for a file that is being put in, or that was given up on the way.")
                .release("Nothing has to be done: an unfinished file does not exist for anyone.")
                .todo("handover list"));
        };
        let Some(delivery) = self.project.ledger.get(maker).await? else {
            return Ok(Explanation::new(subject, State::Unfinished)
                .say(format!("Its name is reserved for delivery {maker}.")));
        };
        let own = self.delivery(&delivery, subject.clone()).await?;
        let app = delivery.target_app.as_deref().unwrap_or("an app");
        let mut answer = Explanation::new(subject, State::Unfinished).of(maker).say(format!(
            "It is unfinished work of {app} on delivery {maker}: it counts only when its manifest lies beside it and the delivery is completed."
        ));
        answer.sentences.extend(own.sentences);
        answer.since = own.since;
        answer.tried = own.tried;
        answer.release = own.release;
        answer.todo = own.todo;
        Ok(answer)
    }

    async fn gone(&self, folder: &str, stem: &str, path: &Path) -> Result<Option<Explanation>> {
        let Some(row) = self.project.ledger.name(folder, stem).await? else {
            let refused = self.project.ledger.arrivals_at(&path_text::to_text(path)).await?;
            return match refused.is_empty() {
                true => Ok(None),
                false => self.arrivals(refused, None).await,
            };
        };
        match self.project.ledger.get(row.file_id).await?.and_then(|delivery| FilePayload::of(&delivery).ok())
        {
            Some(payload) => {
                let files = self.files_at(&payload.path).await?;
                self.file(&payload.path, files).await.map(Some)
            }
            None => self.reserved(path, &row).await.map(Some),
        }
    }

    /// A manifest that can be read.
    async fn manifest(
        &self,
        path: &Path,
        folder: &str,
        stem: &str,
        manifest: Manifest,
    ) -> Result<Explanation> {
        let relative = format!("{folder}/{}", manifest.filename);
        let files = self.files_at(&relative).await?;
        if !files.is_empty() {
            return self.file(&relative, files).await;
        }
        if let Some(row) = self.project.ledger.name(folder, stem).await?.filter(|row| row.maker.is_some()) {
            return self.reserved(path, &row).await;
        }
        self.not_adopted(path, folder, stem, &manifest).await
    }

    /// A manifest that another program put here and that is no delivery (yet).
    async fn not_adopted(
        &self,
        path: &Path,
        folder: &str,
        stem: &str,
        manifest: &Manifest,
    ) -> Result<Explanation> {
        let refused = self.project.ledger.arrivals_at(&path_text::to_text(path)).await?;
        if let Some(answer) = if refused.is_empty() { None } else { self.arrivals(refused, None).await? } {
            return Ok(answer);
        }
        let ledger = &self.project.ledger;
        let known = manifest.delivery_id.as_ref().and_then(|id| id.parse::<DeliveryId>().ok());
        if manifest.ledger.as_deref() == Some(ledger.identity())
            && let Some(delivery) = match known {
                Some(id) => ledger.get(id).await?,
                None => None,
            }
        {
            let id = delivery.id;
            return Ok(Explanation::new(self.shown(path), State::Ignored)
                .say(format!("Its manifest says that it is delivery {id}, which this ledger knows by another path: a copy is not taken again."))
                .release("Nothing by itself. Put it in as a new file, or replay the delivery.")
                .todo(format!("handover why {id}"))
                .todo(format!("handover replay {id}"))
                .of(id));
        }
        Ok(self.waits_for_adoption(path, folder, stem, manifest))
    }

    fn waits_for_adoption(&self, path: &Path, folder: &str, stem: &str, manifest: &Manifest) -> Explanation {
        let answer = Explanation::new(self.shown(path), State::Waiting).say(
            "Another program put this file and its manifest here; it becomes a delivery when it is adopted.",
        );
        let date = folder.rsplit('/').next().unwrap_or_default();
        let dated = date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok();
        if !dated || folder.split('/').count() != 2 || folder.starts_with(ERRORS_FOLDER) {
            return answer
                .say(
                    "Manifests are looked for in FOLDER/YYYY-MM-DD/ of the data directory, and nowhere else.",
                )
                .release("It is adopted when it lies there.");
        }
        match manifest.file_name() {
            Ok(name) if name.stem() == stem => {}
            Ok(_) => {
                return answer.say(format!(
                    "The manifest is named {stem} and names {}: it is refused at the next look.",
                    manifest.filename
                ));
            }
            Err(e) => return answer.say(format!("It is refused at the next look: {e}.")),
        }
        if !path.with_file_name(&manifest.filename).exists() {
            return answer
                .say(format!("Its data file, {}, is not there.", manifest.filename))
                .release("It is adopted when the data file lies beside it.");
        }
        let targets = manifest.targets();
        let config = &self.project.config;
        if !targets.is_empty() && targets.iter().all(|app| config.app(app.as_str()).is_none()) {
            let near = suggest::nearest(targets[0].as_str(), config.apps.iter().map(|app| app.name.as_str()));
            let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            return answer
                .say(format!(
                    "It is to go to {}, which {} does not declare{near}.",
                    targets[0],
                    self.config_name()
                ))
                .release("It is adopted when that app is declared and the configuration is loaded anew.")
                .todo("handover check");
        }
        self.needs_a_watcher(answer)
    }

    /// Nothing is wrong: it is a matter of somebody looking.
    pub(super) fn needs_a_watcher(&self, answer: Explanation) -> Explanation {
        if self.watched() {
            return answer
                .say("Nothing stands in its way.")
                .release("It is taken at the next look, within ten seconds.");
        }
        answer
            .say("Nothing runs that would look for it.")
            .release("It is taken as soon as handover runs.")
            .todo("handover run --once")
    }

    async fn bad_manifest(&self, path: &Path, error: Error) -> Result<Explanation> {
        let refused = self.project.ledger.arrivals_at(&path_text::to_text(path)).await?;
        if refused.first().is_some_and(|arrival| arrival.key.app == DATA_DIRECTORY)
            && let Some(answer) = self.arrivals(refused, None).await?
        {
            return Ok(answer);
        }
        let answer =
            Explanation::new(self.shown(path), State::Waiting).say(format!("It cannot be used: {error}."));
        let answer = match error.hint_text() {
            Some(hint) => answer.say(format!("To put it right: {hint}.")),
            None => answer,
        };
        Ok(answer.release("It is looked at again when it is changed."))
    }

    /// A file that the ledger knows; `files` are its deliveries, newest first.
    pub(super) async fn file(&self, path: &str, files: Vec<Delivery>) -> Result<Explanation> {
        let subject = self.shown_text(path);
        let replayed: Vec<DeliveryId> = files.iter().filter_map(|delivery| delivery.replay_of).collect();
        let unsettled = |delivery: &&Delivery| {
            !matches!(delivery.status, Status::Completed | Status::Archived)
                && !replayed.contains(&delivery.id)
        };
        let Some(main) = files.iter().find(unsettled).or_else(|| files.last()) else {
            return Ok(Explanation::new(subject, State::Unknown));
        };
        let facts = Facts::of(main);
        let mut answer = match facts.role {
            Role::Quarantined => self.quarantine_file(main, subject).await?,
            Role::RejectedRows => self.rejected_rows(main, subject, &facts),
            _ => self.story(main, subject).await?,
        };
        if files.len() > 1 {
            let all: Vec<String> = files.iter().rev().map(|d| format!("{} ({})", d.id, d.status)).collect();
            answer.sentences.push(format!("The file is {} deliveries: {}.", files.len(), all.join(", ")));
        }
        if facts.role != Role::Export {
            answer.sentences.extend(self.moved(path));
        } else if path_text::from_text(path).symlink_metadata().is_err() {
            answer
                .sentences
                .push("The export is no longer where it was put: who took it is not known here.".to_owned());
        }
        Ok(answer)
    }

    async fn quarantine_file(&self, delivery: &Delivery, subject: String) -> Result<Explanation> {
        let answer = Explanation::new(subject, State::Quarantined).of(delivery.id).since(delivery.created_at);
        let manifest = FilePayload::of(delivery).ok().map(|payload| payload.manifest);
        let Some(reason) = manifest.as_ref().and_then(Reason::from_manifest) else {
            return Ok(answer.say("It is in quarantine, and its manifest gives no reason."));
        };
        let mut answer = answer.say(format!("{} put it into quarantine: {}", reason.by, reason.message));
        if let Some(hint) = reason.hint {
            answer = answer.say(format!("To put it right: {hint}."));
        }
        if let Some(source) = reason.source_path {
            answer = answer.say(format!("It was {}, which was left as it is.", self.shown_text(&source)));
        }
        if let Some(why) = reason.not_kept {
            answer = answer.say(format!("The file itself is not kept here: {why}."));
        }
        let Some(parent) = delivery.parent_id else { return Ok(answer) };
        let input = self.project.ledger.get(parent).await?;
        let answer = answer.todo(format!("handover show {parent}"));
        Ok(match input {
            Some(input) if input.status == Status::Failed && Facts::of(&input).role == Role::Arrival => {
                refused_goes_on(answer, &input)
            }
            Some(input) if input.status == Status::Failed => answer
                .release("Nothing by itself: correct the file and let it arrive anew, or change the app's rules and retry.")
                .todo(format!("handover retry {parent}")),
            Some(input) => answer.say(format!("Delivery {parent}, whose input it was, is {} since.", input.status)),
            None => answer,
        })
    }

    fn rejected_rows(&self, delivery: &Delivery, subject: String, facts: &Facts) -> Explanation {
        let rows =
            facts.rows.map_or_else(|| "rows".to_owned(), |rows| crate::operations::times::count(rows, "row"));
        let from = delivery.data.get("rejected_from").and_then(serde_json::Value::as_str);
        let from = from.map(|from| format!(" of {}", self.shown_text(from))).unwrap_or_default();
        let answer = Explanation::new(subject, State::Rejected)
            .of(delivery.id)
            .since(delivery.created_at)
            .say(format!(
                "It holds {rows}{from} that {} rejected, each with its row number, field and reason.",
                delivery.source_app
            ))
            .say("The other rows went on.")
            .release("Nothing by itself: correct the rows and send them again in a new file.")
            .todo(format!("head {}", self.quoted(facts.path.as_deref().unwrap_or_default())));
        match delivery.parent_id {
            Some(parent) => answer.todo(format!("handover show {parent}")),
            None => answer,
        }
    }
}
