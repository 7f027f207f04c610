//! Whether the service apps can be asked: each upstream is asked now, at the path of its `health:`, or by a connection where it
//! has none, all at the same time and in bounded time.
//!
//! One that is down is a warning, however many it has: what is handed over to it waits, and Handover itself works.

use super::{Looking, Verdict, many};
use handover_service::{Look, Service};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// So long all looks together may take.
const WITHIN: Duration = Duration::from_secs(5);
/// So many upstreams that are not well are told of.
const TOLD_MAX: usize = 5;

impl Looking<'_> {
    /// Asks all of them; nothing is said where there are none.
    pub(super) async fn services(&mut self) {
        let mut looking = JoinSet::new();
        for service in self.project.services.iter() {
            let service = service.clone();
            looking.spawn(async move {
                let looks = service.look(WITHIN).await;
                (service, looks)
            });
        }
        let mut looks = looking.join_all().await;
        if looks.is_empty() {
            return;
        }
        looks.sort_by(|(one, _), (other, _)| one.settings().name.cmp(&other.settings().name));
        let ill: Vec<String> = looks.iter().flat_map(|(service, looks)| ill(service, looks)).collect();
        let upstreams = looks.iter().map(|(_, looks)| looks.len()).sum();
        let (verdict, text) = match ill.len() {
            0 => (Verdict::Pass, format!("{} well", many(upstreams, "upstream is", "upstreams are"))),
            count => {
                let first = ill.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("; ");
                let more = if count > TOLD_MAX { "; and more" } else { "" };
                let of = many(upstreams, "upstream is", "upstreams are");
                (Verdict::Warn, format!("{count} of {of} not well: {first}{more}"))
            }
        };
        let todo =
            (verdict != Verdict::Pass).then(|| "start the service, or correct `url` and `health`".to_owned());
        self.add("services", verdict, text, todo);
    }
}

/// What is said of a service's upstreams that are not well.
fn ill<'a>(service: &'a Arc<Service>, looks: &'a [Look]) -> impl Iterator<Item = String> + 'a {
    let name = service.settings().name.as_str();
    looks.iter().filter_map(move |look| Some(format!("{name} at {}: {}", look.address, look.error.as_ref()?)))
}
