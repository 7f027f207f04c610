//! A watch over the ledger's storage: what keeps it from staying small and quick is said in the log, once, and again when it
//! comes again; see [`crate::operations::storage`]. `handover status` shows the same at any time.
//!
//! What is seen in one look alone is not said: a burst of work, or a vacuum that is about to come, is no trouble.

use crate::operations::storage::{Concern, concerns};
use crate::project::Project;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// How often to look.
const EVERY: Duration = Duration::from_secs(60);

/// What was seen and said so far.
#[derive(Default)]
struct Watch {
    /// What the look before saw.
    seen: Vec<Concern>,
    /// What was said and has not gone since, by what it is about.
    said: BTreeMap<String, Concern>,
}

/// What is to be said after a look.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Trouble(String),
    Over(String),
}

impl Watch {
    fn look(&mut self, now: Vec<Concern>) -> Vec<News> {
        let mut news = Vec::new();
        let there = |about: &str| now.iter().any(|concern| concern.about == about);
        self.said.retain(|about, concern| {
            let stays = there(about);
            if !stays {
                news.push(News::Over(concern.over.clone()));
            }
            stays
        });
        for concern in &now {
            let lasts = self.seen.iter().any(|seen| seen.about == concern.about);
            if lasts && !self.said.contains_key(&concern.about) {
                news.push(News::Trouble(concern.text.clone()));
                self.said.insert(concern.about.clone(), concern.clone());
            }
        }
        self.seen = now;
        news
    }
}

/// Looks until the process ends.
pub(crate) async fn watching(project: Project, mut end: watch::Receiver<bool>) {
    let mut watch = Watch::default();
    loop {
        match project.ledger.health().await {
            Ok(health) => {
                for news in watch.look(concerns(&health)) {
                    match news {
                        News::Trouble(text) => warn!("{text}"),
                        News::Over(text) => info!("{text}"),
                    }
                }
            }
            Err(e) => debug!("cannot look at the ledger's storage: {e}; it is tried again"),
        }
        if !super::pause(EVERY, &mut end).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concern(about: &str, text: &str) -> Concern {
        Concern { about: about.into(), text: text.into(), over: format!("{about} is over") }
    }

    #[test]
    fn what_lasts_is_said_once_and_again_only_when_it_comes_again() {
        let mut watch = Watch::default();
        let said = |text: &str| vec![News::Trouble(text.into())];
        assert_eq!(watch.look(vec![concern("a", "a 1")]), [], "one look is no trouble");
        assert_eq!(watch.look(vec![concern("a", "a 2")]), said("a 2"));
        assert_eq!(watch.look(vec![concern("a", "a 3")]), []);
        assert_eq!(watch.look(vec![concern("a", "a 4"), concern("b", "b 1")]), []);
        assert_eq!(watch.look(vec![concern("a", "a 5"), concern("b", "b 2")]), said("b 2"));
        assert_eq!(watch.look(vec![concern("b", "b 3")]), [News::Over("a is over".into())]);
        assert_eq!(watch.look(vec![concern("b", "b 4"), concern("a", "a 6")]), []);
        assert_eq!(watch.look(vec![concern("b", "b 5"), concern("a", "a 7")]), said("a 7"));
    }
}
