//! An app: what waits for it and why nothing more of it comes, and what is expected of it and is not so.

use super::{Asking, Explanation, State};
use crate::config::{App, BuiltIn, Due, Runs};
use crate::operations::expect;
use crate::operations::times::count;
use handover_core::units::format_duration;
use handover_core::{Result, Status};
use handover_ledger::{Filter, Pause};

impl Asking<'_> {
    /// Explains an app.
    pub(super) async fn app(&self, app: &App) -> Result<Explanation> {
        let ledger = &self.project.ledger;
        let name = app.name.as_str();
        let pause = ledger.paused().await?.into_iter().find(|pause| pause.app == name);
        let counts = ledger.counts().await?;
        let of = |status| {
            counts.iter().filter(|c| c.app == name && c.status == status).map(|c| c.count).sum::<u64>()
        };
        let [pending, processing, failed] = [Status::Pending, Status::Processing, Status::Failed].map(of);
        let found = match &app.expect {
            Some(expect) => expect::of(self.project, app, expect, self.now).await?,
            None => Vec::new(),
        };
        let state = match (&pause, &found[..], pending, processing, failed) {
            (Some(_), ..) => State::Paused,
            (_, [_, ..], ..) => State::Late,
            (_, _, _, 1.., _) => State::Processing,
            (_, _, 1.., ..) => State::Waiting,
            (.., 1..) => State::Failed,
            _ => State::Idle,
        };
        let mut answer = Explanation::new(format!("app {name}"), state);
        answer = self.stands(answer, name, (pending, processing, failed), pause.as_ref()).await?;
        for found in &found {
            answer = answer.say(format!("{}.", capital(&found.text))).todo(found.todo.clone());
            answer.since = Some(answer.since.map_or(found.since, |since| since.min(found.since)));
        }
        Ok(self.comes(answer, app, found.is_empty()))
    }

    /// What waits for it, runs and failed.
    async fn stands(
        &self,
        mut answer: Explanation,
        name: &str,
        (pending, processing, failed): (u64, u64, u64),
        pause: Option<&Pause>,
    ) -> Result<Explanation> {
        if let Some(pause) = pause {
            let text = format!(
                "It is paused since {} by {}: nothing more of it is begun.",
                self.at(pause.since),
                pause.by
            );
            answer = answer.say(text).since(pause.since).todo(format!("handover resume {name}"));
        }
        if processing > 0 {
            answer = answer.say(format!("It works on {}.", deliveries(processing)));
        }
        if pending > 0 {
            let oldest = self.project.ledger.oldest_pending(name).await?;
            let since = oldest.map(|at| format!(", the oldest since {}", self.at(at))).unwrap_or_default();
            answer = answer.say(format!("{} for it{since}.", waits(pending)));
            let filter = Filter {
                app: Some(name.to_owned()),
                status: Some(Status::Pending),
                limit: 1,
                ..Filter::default()
            };
            if let Some(one) = self.project.ledger.list(filter).await?.first() {
                answer = answer.todo(format!("handover why {}", one.id));
            }
        }
        if failed > 0 {
            answer = answer
                .say(format!("{} of it failed, and nobody has archived them.", capital(&deliveries(failed))))
                .todo(format!("handover list --app {name} --status failed"));
        }
        if pending + processing + failed == 0 {
            answer = answer.say("Nothing waits for it, nothing runs, and nothing failed.");
        }
        Ok(answer)
    }

    /// How something comes to it, and what is expected of it.
    fn comes(&self, answer: Explanation, app: &App, as_expected: bool) -> Explanation {
        let mut answer = match (&app.runs, &app.schedule) {
            (Runs::BuiltIn(BuiltIn::Importer(_)), _) => {
                let watched = match self.watched() {
                    true => "",
                    false => " Nothing runs that watches folders now.",
                };
                let sources = self.sources();
                let own = sources.iter().find(|(name, _)| name.as_str() == app.name.as_str());
                own.into_iter().fold(answer, |answer, (_, source)| {
                    let from = self.shown(&source.config.from);
                    answer
                        .say(format!("It takes what comes to {from} as {}.{watched}", source.config.pattern))
                })
            }
            (_, Some(schedule)) => match schedule.next_after(self.now) {
                Some(next) => {
                    answer.say(format!("It runs by its schedule ({schedule}), next at {}.", self.at(next)))
                }
                None => answer.say(format!("It runs by its schedule ({schedule}).")),
            },
            _ => answer,
        };
        let Some(expect) = app.expect.as_ref().filter(|_| as_expected) else { return answer };
        answer = answer.say("What is expected of it is there.");
        match &expect.due {
            Some(Due::Every(every)) => {
                answer.release(format!("something is expected every {}", format_duration(*every)))
            }
            Some(due @ Due::By { .. }) => match due.next(self.now) {
                Some(next) => answer.release(format!("something is expected by {}", self.at(next))),
                None => answer,
            },
            None => answer,
        }
    }
}

fn deliveries(number: u64) -> String {
    match number {
        1 => "1 delivery".to_owned(),
        number => format!("{} deliveries", super::times::number(number)),
    }
}

fn waits(number: u64) -> String {
    match number {
        1 => count(1, "delivery") + " waits",
        number => format!("{} wait", deliveries(number)),
    }
}

/// With a capital at its beginning.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
