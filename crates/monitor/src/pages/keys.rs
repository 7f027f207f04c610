//! Keys: who may ask over the network, and for what. Who has the scope admin makes keys and revokes them; the secret of a new one
//! is in the answer to the form that made it, and nowhere else.

use super::act::Act;
use super::frame::{Frame, Here};
use super::shown::{self, Moment};
use super::{Monitor, Page, Wrong, deliveries};
use crate::Visitor;
use crate::keyring::WantedKey;
use askama::Template;
use axum::extract::{Path, State};
use handover_core::{Error, units};
use handover_ledger::{ApiKey, NewAction};
use handover_runtime::Project;
use handover_runtime::operations::records::require_target;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// So long a name may be.
const NAME_MAX_CHARS: usize = 200;

/// The page.
#[derive(Debug, Template)]
#[template(path = "keys.html")]
pub(super) struct KeysPage {
    frame: Frame,
    scopes: Vec<ScopeBox>,
    apps: Vec<String>,
    keys: Vec<KeyRow>,
    /// A key that was made just now: its id and its secret.
    made: Option<(String, String)>,
}

/// A scope that can be chosen.
#[derive(Debug)]
struct ScopeBox {
    name: &'static str,
    about: &'static str,
    chosen: bool,
}

#[derive(Debug)]
struct KeyRow {
    id: String,
    name: String,
    scopes: String,
    apps: String,
    state: String,
    tone: &'static str,
    live: bool,
    own: bool,
    used: Option<Moment>,
    made: Moment,
    by: String,
}

/// Answers with it.
pub(super) async fn page(State(monitor): State<Monitor>, visitor: Visitor) -> Result<Page<KeysPage>, Wrong> {
    shown_to(&monitor, &visitor, None, None).await
}

/// Makes a key.
pub(super) async fn create(
    State(monitor): State<Monitor>,
    Act { visitor, form }: Act<Vec<(String, String)>>,
) -> Result<Page<KeysPage>, Wrong> {
    allowed(&visitor)?;
    let project = monitor.project();
    match wanted(&project, &visitor, &form) {
        Ok(wanted) => {
            let (secret, key) = monitor.keyring().make(wanted).await?;
            note(&project, &visitor, "create a key", &key.id, Some(key.scopes.join(", "))).await?;
            shown_to(&monitor, &visitor, Some((key.id, secret)), None).await
        }
        Err(e) => {
            let said = match e.hint_text() {
                Some(hint) => format!("{e}: {hint}"),
                None => e.to_string(),
            };
            shown_to(&monitor, &visitor, None, Some((false, said))).await
        }
    }
}

/// Takes the worth from a key.
pub(super) async fn revoke(
    State(monitor): State<Monitor>,
    Path(id): Path<String>,
    Act { visitor, .. }: Act<Vec<(String, String)>>,
) -> Result<Page<KeysPage>, Wrong> {
    allowed(&visitor)?;
    let project = monitor.project();
    project.ledger.revoke_key(&id, project.clock.now(), None).await?;
    note(&project, &visitor, "revoke a key", &id, None).await?;
    let said = format!("the key {id} is worth nothing any more, everywhere within two seconds");
    shown_to(&monitor, &visitor, None, Some((true, said))).await
}

/// Notes who did it.
async fn note(
    project: &Project,
    visitor: &Visitor,
    did: &str,
    id: &str,
    note: Option<String>,
) -> handover_core::Result<()> {
    let actor = deliveries::actor(visitor);
    let (via, did, thing) = ("the page of keys".into(), did.into(), Some(format!("key {id}")));
    project.ledger.note_action(NewAction { actor, via, did, thing, note, ..NewAction::default() }).await
}

/// Whoever makes keys can give away what they may themselves, which must be everything.
fn allowed(visitor: &Visitor) -> Result<(), Wrong> {
    visitor.must_administer()?;
    visitor.must_see_all()
}

async fn shown_to(
    monitor: &Monitor,
    visitor: &Visitor,
    made: Option<(String, String)>,
    said: Option<(bool, String)>,
) -> Result<Page<KeysPage>, Wrong> {
    allowed(visitor)?;
    let project = monitor.project();
    let mut frame = monitor.frame(visitor, Here::Keys, "Keys").await?;
    if let Some((good, text)) = said {
        frame = frame.saying(good, text);
    }
    let (now, zone) = (project.clock.now(), &project.config.timezone);
    let mut keys: Vec<KeyRow> =
        project.ledger.keys().await?.iter().map(|key| row(key, visitor, zone, now)).collect();
    keys.sort_by_key(|key| !key.live);
    let apps = project.config.apps.iter().map(|app| app.name.to_string()).collect();
    let scopes = monitor.keyring().scopes().into_iter();
    let scopes = scopes.map(|(name, about)| ScopeBox { name, about, chosen: name == "read" }).collect();
    Ok(Page(KeysPage { frame, scopes, apps, keys, made }))
}

fn row(key: &ApiKey, visitor: &Visitor, zone: &TimeZone, now: Timestamp) -> KeyRow {
    let ends = |at: Option<Timestamp>| at.map(|at| shown::moment(at, zone, now));
    let past = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    let (state, tone, live) = if past(key.revoked_at) {
        ("revoked".to_owned(), "bad", false)
    } else if past(key.expires_at) {
        ("expired".to_owned(), "warn", false)
    } else {
        let first = [key.revoked_at, key.expires_at].into_iter().flatten().min();
        let state = ends(first).map_or_else(|| "valid".to_owned(), |at| format!("ends {}", at.ago));
        (state, "", true)
    };
    KeyRow {
        id: key.id.clone(),
        name: shown::cut(&key.name, NAME_MAX_CHARS).text,
        scopes: key.scopes.join(", "),
        apps: key.apps.as_ref().map_or_else(|| "all".to_owned(), |apps| apps.join(", ")),
        state,
        tone,
        live,
        own: visitor.name == format!("key:{}", key.id),
        used: key.last_used_at.map(|at| shown::past(at, zone, now)),
        made: shown::past(key.created_at, zone, now),
        by: shown::cut(&key.created_by, NAME_MAX_CHARS).text,
    }
}

/// What a form asks for.
fn wanted(
    project: &Project,
    visitor: &Visitor,
    form: &[(String, String)],
) -> handover_core::Result<WantedKey> {
    let all = |name: &'static str| {
        let these = form.iter().filter(move |(one, _)| one == name);
        these.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    };
    let name =
        all("name").next().ok_or_else(|| Error::config("the key has no name").hint("say what it is for"))?;
    if name.chars().count() > NAME_MAX_CHARS {
        return Err(Error::config(format!("the name is longer than {NAME_MAX_CHARS} characters")));
    }
    let scopes: Vec<String> = all("scope").map(str::to_owned).collect();
    if scopes.is_empty() {
        return Err(Error::config("the key may do nothing").hint("choose a scope: read lets it look"));
    }
    let apps: Vec<String> = all("app").map(str::to_owned).collect();
    for app in &apps {
        require_target(project, app, false)?;
    }
    let expires_at = match all("expires").next() {
        None => None,
        Some(text) => {
            let after = units::parse_duration(text)?;
            let at = project.clock.now().checked_add(after);
            Some(at.map_err(|e| Error::config("that is too far ahead").because(e))?)
        }
    };
    Ok(WantedKey {
        name: name.to_owned(),
        scopes,
        apps: (!apps.is_empty()).then_some(apps),
        expires_at,
        by: visitor.name.clone(),
    })
}
