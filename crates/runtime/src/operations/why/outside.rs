//! Why a file outside the data directory was taken, waits, or is not looked at: originals, exports, and whatever
//! lies in a watched folder.

use super::place::{plain, real};
use super::{Asking, Explanation, State};
use crate::built::{Source, compile};
use crate::config::{BuiltIn, Runs};
use crate::engine::known_unreadable;
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{AppName, ErrorKind, Result, path_text};
use handover_file::arrive::{Candidate, DONE_SUFFIX, Disposal, Inspector, Proof, Readiness, why_passed_over};
use handover_file::read;
use handover_ledger::Arrival;
use std::path::{Path, PathBuf};

impl Asking<'_> {
    /// Explains what is, or was, at this absolute path; none where nothing is known of it.
    pub(super) async fn outside(&self, path: &Path) -> Result<Option<Explanation>> {
        let seen = Candidate::look(path).ok();
        let arrivals = self.arrivals_of(path).await?;
        let (mut same, earlier): (Vec<Arrival>, Vec<Arrival>) = match &seen {
            Some(seen) => {
                let unreadable = known_unreadable(seen);
                arrivals.into_iter().partition(|a| is_this(a, seen) || is_this(a, &unreadable))
            }
            None => (arrivals, Vec::new()),
        };
        if !same.is_empty() {
            let unreadable = seen.is_some_and(|seen| !same.iter().any(|arrival| is_this(arrival, &seen)));
            same.extend(earlier);
            let mut answer = self.arrivals(same, Some(path)).await?;
            if let Some(answer) = answer.as_mut().filter(|_| unreadable) {
                let anew = "It arrives anew as soon as the user that runs handover may read it.";
                answer.sentences.push(anew.to_owned());
            }
            return Ok(answer);
        }
        let text = path_text::to_text(path);
        for spelling in [Some(text), self.named_by_manifest(path)].into_iter().flatten() {
            let files = self.files_at(&spelling).await?;
            if !files.is_empty() {
                return self.file(&spelling, files).await.map(Some);
            }
        }
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        if let Some(answer) = self.moved_here(path, seen.as_ref()).await? {
            return Ok(Some(answer));
        }
        Ok(Some(self.lies_there(path, &earlier)))
    }

    /// The export that a manifest outside names.
    fn named_by_manifest(&self, path: &Path) -> Option<String> {
        path.to_str().filter(|text| text.ends_with(MANIFEST_SUFFIX))?;
        let manifest = read::read_manifest(path).ok()?;
        Some(path_text::to_text(&path.with_file_name(manifest.filename)))
    }

    /// What arrived from this path, however the configuration spells its folder; newest first.
    async fn arrivals_of(&self, path: &Path) -> Result<Vec<Arrival>> {
        let mut spellings = vec![path.to_owned()];
        for (_, source) in self.sources() {
            if let Some(inner) = within(&source.config.from, path) {
                spellings.push(source.config.from.join(inner));
            }
        }
        let mut texts: Vec<String> = spellings.iter().map(|path| path_text::to_text(path)).collect();
        texts.sort();
        texts.dedup();
        let mut found = Vec::new();
        for text in texts {
            found.extend(
                self.project.ledger.arrivals_at(&text).await?.into_iter().filter(|a| a.key.path == text),
            );
        }
        found.sort_by_key(|arrival| std::cmp::Reverse(arrival.delivery_id));
        Ok(found)
    }

    /// An original that was moved, asked for by its new path.
    async fn moved_here(&self, path: &Path, seen: Option<&Candidate>) -> Result<Option<Explanation>> {
        let (Some(seen), Some(name)) = (seen, path.file_name()) else { return Ok(None) };
        let mut arrivals = self.project.ledger.arrivals_at(&path_text::to_text(Path::new(name))).await?;
        arrivals.retain(|arrival| is_this(arrival, seen));
        if arrivals.is_empty() {
            return Ok(None);
        }
        self.arrivals(arrivals, Some(path)).await
    }

    /// Explains known arrivals of one original, newest first; `at` is where it is now, where that is known.
    pub(super) async fn arrivals(
        &self,
        arrivals: Vec<Arrival>,
        at: Option<&Path>,
    ) -> Result<Option<Explanation>> {
        let Some(newest) = arrivals.first() else { return Ok(None) };
        let Some(delivery) = self.project.ledger.get(newest.delivery_id).await? else { return Ok(None) };
        let known_as = path_text::from_text(&newest.key.path);
        let subject = at.map_or_else(|| self.shown(&known_as), |path| self.shown(path));
        let mut answer = self.story(&delivery, subject).await?;
        let id = delivery.id;
        let arrived = match newest.proof.parse::<Proof>() {
            Ok(proof) => format!(
                "It arrived at {} as delivery {id}, complete: {}.",
                self.at(newest.arrived_at),
                proof.sentence()
            ),
            Err(_) => format!("It was seen at {}, as delivery {id}.", self.at(newest.arrived_at)),
        };
        answer.sentences.insert(0, arrived);
        answer.sentences.extend(self.whereabouts(newest, &known_as, at));
        let others: Vec<String> = arrivals[1..]
            .iter()
            .filter(|a| a.key.path == newest.key.path)
            .map(|a| a.delivery_id.to_string())
            .collect();
        if !others.is_empty() {
            answer
                .sentences
                .push(format!("Earlier states of this file were delivery {}.", others.join(", ")));
        }
        let elsewhere: Vec<String> =
            arrivals.iter().filter(|a| a.key.path != newest.key.path).map(|a| a.key.path.clone()).collect();
        if !elsewhere.is_empty() {
            answer
                .sentences
                .push(format!("Another file of this name arrived too: {}.", elsewhere.join(", ")));
        }
        Ok(Some(answer))
    }

    /// What has become of the original itself.
    fn whereabouts(&self, arrival: &Arrival, known_as: &Path, at: Option<&Path>) -> Option<String> {
        if at.is_some_and(|at| plain(at) != plain(known_as)) {
            return Some(format!("It was moved here from {}.", self.shown(known_as)));
        }
        if known_as.symlink_metadata().is_ok() {
            return None;
        }
        let sources = self.sources();
        let source = sources.iter().find(|(app, source)| {
            let matches = known_as.file_name().is_some_and(|name| source.patterns.is_match(name));
            app.as_str() == arrival.key.app && matches && within(&source.config.from, known_as).is_some()
        });
        match source.map(|(_, source)| source.disposal()) {
            Some(Disposal::Move(folder)) => {
                Some(format!("The original was moved to {}.", self.shown(&folder)))
            }
            Some(Disposal::Delete) => {
                Some("The original was deleted after it was imported, as configured.".to_owned())
            }
            _ => Some("The original is no longer there.".to_owned()),
        }
    }

    /// A file that is there and has not arrived.
    fn lies_there(&self, path: &Path, earlier: &[Arrival]) -> Explanation {
        let subject = self.shown(path);
        let sources = self.sources();
        let around: Vec<&(AppName, Source)> =
            sources.iter().filter(|(_, source)| within(&source.config.from, path).is_some()).collect();
        let Some((app, source)) = around.iter().find(|(_, s)| takes(s, path)).or_else(|| around.first())
        else {
            return self.not_watched(path, subject, &sources);
        };
        let mut answer = self.in_watched_folder(path, subject, app, source);
        if let Some(old) = earlier.first() {
            let sentence = format!(
                "An earlier state of it arrived at {} as delivery {}; it has changed since, so it arrives anew.",
                self.at(old.arrived_at),
                old.delivery_id
            );
            answer.sentences.push(sentence);
        }
        answer
    }

    fn not_watched(&self, path: &Path, subject: String, sources: &[(AppName, Source)]) -> Explanation {
        let mut answer = Explanation::new(subject, State::Ignored);
        if path.is_dir() {
            answer = answer.say("This is a folder that no importer watches.");
        } else {
            answer =
                answer.say("It lies in no folder that an importer watches, and the ledger does not know it.");
        }
        for (app, source) in sources {
            answer = answer.say(format!(
                "{app} watches {} for {}.",
                self.shown(&source.config.from),
                source.config.pattern
            ));
        }
        if path.is_dir() {
            return answer.release("Nothing: ask about a file in it. Files are taken one by one.");
        }
        if let Some(speaks) = self.speaks_for(path, &answer) {
            return speaks;
        }
        answer
            .release("It is taken when it lies in a watched folder, or when it is put in by hand.")
            .todo(format!("handover put {} --app APP --type TYPE", self.quoted(&path_text::to_text(path))))
    }

    /// A manifest or a done marker, which is not taken by itself.
    fn speaks_for(&self, path: &Path, answer: &Explanation) -> Option<Explanation> {
        let text = path.to_str()?;
        let (what, data) = match (text.strip_suffix(DONE_SUFFIX), text.ends_with(MANIFEST_SUFFIX)) {
            (Some(data), _) => ("a done marker", Some(PathBuf::from(data))),
            (_, true) => {
                let manifest = read::read_manifest(path).ok();
                let plain = |name: &String| Path::new(name).components().count() == 1;
                let name = manifest.map(|manifest| manifest.filename).filter(plain);
                ("a manifest", name.map(|name| path.with_file_name(name)))
            }
            _ => return None,
        };
        let said = format!("It is {what}: it speaks for the file beside it, and is not taken by itself.");
        let answer = answer.clone().say(said);
        Some(match data.filter(|data| data.symlink_metadata().is_ok()) {
            Some(data) => answer.todo(format!("handover why {}", self.quoted(&path_text::to_text(&data)))),
            None => answer,
        })
    }

    fn in_watched_folder(&self, path: &Path, subject: String, app: &AppName, source: &Source) -> Explanation {
        let folder = self.shown(&source.config.from);
        let ignored = Explanation::new(subject.clone(), State::Ignored);
        let inner = within(&source.config.from, path).unwrap_or_default();
        if path.is_dir() && inner.as_os_str().is_empty() {
            return Explanation::new(subject, State::Folder).say(format!(
                "This is the folder that {app} watches for {}: ask about a file in it.",
                source.config.pattern
            ));
        }
        if inner.components().count() > 1 && !source.config.recursive {
            return ignored
                .say(format!(
                    "It lies in a folder below {folder}, and {app} looks only into {folder} itself."
                ))
                .release(format!(
                    "It is taken when it lies in {folder}, or when {app} has `recursive: true`."
                ));
        }
        if let Some(reason) = why_passed_over(path, &source.patterns) {
            return self.passed_over(ignored, path, app, source, &reason);
        }
        let Ok(candidate) = Candidate::look(path) else {
            return ignored.say("It went away while it was looked at.");
        };
        let waits = Explanation::new(subject, State::Waiting).since(candidate.mtime.max(candidate.ctime));
        match Inspector::new().readiness(&candidate, source.config.settle, None, self.now) {
            Readiness::Ready { proof, .. } => {
                let answer =
                    waits.say(format!("{app} is to take it, and it is complete: {}.", proof.sentence()));
                self.needs_a_watcher(answer)
            }
            Readiness::Waiting { reason, until } => {
                let answer = waits.say(format!("{app} is to take it when it is complete: it {reason}."));
                let answer = match until {
                    Some(until) => answer.release(format!("It is taken when nobody has written to it until {}.", self.at(until))),
                    None => answer.release(
                        "It is taken when the program that writes it closes it. A file that is renamed into the folder, or has NAME.done beside it, is taken at once.",
                    ),
                };
                if self.watched() {
                    answer
                } else {
                    answer.say("Nothing runs that would look for it.").todo("handover run")
                }
            }
            Readiness::Refused(error) if error.kind() == ErrorKind::Denied => {
                let answer = waits.say(format!("{app} cannot take it as it is: {error}."));
                self.needs_the_right(answer, error.hint_text())
            }
            Readiness::Refused(error) => {
                let mut answer = waits.say(format!("{app} refuses it as it is: {error}."));
                answer.state = State::Ignored;
                answer.release(
                    error.hint_text().unwrap_or("It is looked at again when it is changed.").to_owned(),
                )
            }
        }
    }

    fn needs_the_right(&self, answer: Explanation, hint: Option<&str>) -> Explanation {
        let answer = match hint {
            Some(hint) => answer.say(format!("To put it right: {hint}.")),
            None => answer,
        };
        answer.release(
            "It is taken once the right to read it is there; if that is not given when it is looked at, it is refused, \
             and arrives anew when it is.",
        )
    }

    fn passed_over(
        &self,
        answer: Explanation,
        path: &Path,
        app: &AppName,
        source: &Source,
        reason: &str,
    ) -> Explanation {
        let name = path.file_name().map(|name| path_text::to_text(Path::new(name))).unwrap_or_default();
        if let Some(speaks) = self.speaks_for(path, &answer) {
            return speaks;
        }
        if reason.contains("none of the patterns") {
            return answer
                .say(format!(
                    "Its name does not match {}, which {app} takes from {}.",
                    source.config.pattern,
                    self.shown(&source.config.from)
                ))
                .release("It is taken when it is renamed to match, or when the pattern takes it in.")
                .todo(format!(
                    "handover put {} --app {app} --type {}",
                    self.quoted(&path_text::to_text(path)),
                    source.config.type_name
                ));
        }
        if name.starts_with('.') {
            return answer
                .say("Its name begins with a dot: so do the names of files that are hidden or still being written.")
                .release("It is taken when it is renamed to a name without the dot.");
        }
        answer.say(format!("{app} passes over it: {reason}."))
    }

    /// The importers' sources; one that is wrongly configured has none.
    pub(super) fn sources(&self) -> Vec<(AppName, Source)> {
        let config = &self.project.config;
        let mut sources = Vec::new();
        for app in &config.apps {
            let Runs::BuiltIn(BuiltIn::Importer(with)) = &app.runs else { continue };
            let found = with.sources(&config.base).unwrap_or_default();
            sources.extend(found.into_iter().filter_map(|s| compile(s).ok()).map(|s| (app.name.clone(), s)));
        }
        sources
    }
}

fn takes(source: &Source, path: &Path) -> bool {
    path.file_name().is_some_and(|name| source.patterns.is_match(name))
}

/// Whether an arrival is of this very file, wherever it lies now.
fn is_this(arrival: &Arrival, seen: &Candidate) -> bool {
    let key = &arrival.key;
    key.device == seen.device
        && key.inode == seen.inode
        && key.size == seen.size
        && key.mtime.as_millisecond() == seen.mtime.as_millisecond()
}

/// The path below a folder, whichever way the two are spelled.
fn within(folder: &Path, path: &Path) -> Option<PathBuf> {
    let path = plain(path);
    let folders = [Some(plain(folder)), folder.canonicalize().ok()];
    let paths = [Some(path.clone()), real(&path)];
    for folder in folders.iter().flatten() {
        for path in paths.iter().flatten() {
            if let Ok(inner) = path.strip_prefix(folder) {
                return Some(inner.to_owned());
            }
        }
    }
    None
}
