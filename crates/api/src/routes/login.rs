//! The way in and out of the dashboard. The page is `handover-monitor`'s; keys and the cookie are [`crate::auth`]'s.

use crate::auth::{IfAway, session};
use crate::fault::Fault;
use crate::state::{Api, Current};
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, extract::DefaultBodyLimit};
use handover_monitor::pages::{LoginPage, Page, Ways, act, harden};
use handover_runtime::config::Auth;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;

/// More is no key.
const FORM_MAX_BYTES: usize = 4 * 1024;

/// The login page, and what it sends.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/login", get(page).post(log_in))
        .route("/logout", post(log_out))
        .layer(DefaultBodyLimit::max(FORM_MAX_BYTES))
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    to: String,
}

#[derive(Deserialize)]
struct Shown {
    key: String,
    #[serde(default)]
    to: String,
}

async fn page(State(api): State<Api>, Query(asked): Query<Asked>) -> Response {
    let current = api.current();
    match ways(&current) {
        // Nobody needs to log in.
        None => redirect(&asked.to),
        Some(ways) => login_page(ways, &asked.to, None),
    }
}

async fn log_in(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
    form: Result<Form<Shown>, axum::extract::rejection::FormRejection>,
) -> Result<Response, Fault> {
    act::own_site(&uri, &headers)?;
    let current = api.current();
    let Some(ways) = ways(&current) else { return Ok(redirect("/")) };
    let Ok(Form(shown)) = form else {
        return Ok(login_page(ways, "", Some("this form is not understood: type the key and try again")));
    };
    if !ways.keys {
        return Ok(login_page(ways, &shown.to, Some("keys are not taken here")));
    }
    match api.keys.caller(shown.key.trim(), IfAway::Refuse).await {
        Ok(caller) => {
            let (now, secure) = (current.project.clock.now(), is_secure(&current, &headers));
            let key = caller.key().unwrap_or_default();
            let cookie = api.sessions.begin(key, now, secure).await?;
            Ok(with_cookie(redirect(&shown.to), &cookie))
        }
        Err(fault) if fault.status() == StatusCode::UNAUTHORIZED => {
            let wrong = "this key is not valid, or no longer; `handover keys list` shows which are";
            Ok(login_page(ways, &shown.to, Some(wrong)))
        }
        Err(fault) => Err(fault),
    }
}

async fn log_out(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Fault> {
    act::own_site(&uri, &headers)?;
    let current = api.current();
    Ok(with_cookie(redirect("/login"), &session::ended(is_secure(&current, &headers))))
}

/// By what one may log in; none where nobody needs to.
fn ways(current: &Current) -> Option<Ways> {
    let tokens = current.config.oauth.as_ref().map(|oauth| oauth.issuer.clone());
    match current.config.auth {
        Auth::None => None,
        Auth::Keys => Some(Ways { keys: true, tokens }),
        Auth::Tokens => Some(Ways { keys: false, tokens }),
    }
}

/// Whether the browser speaks TLS: to us, or to a proxy that says so. Who says so falsely keeps their own cookie from being sent.
fn is_secure(current: &Current, headers: &HeaderMap) -> bool {
    let said = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    current.config.tls.is_some() || said.is_some_and(|said| said.eq_ignore_ascii_case("https"))
}

fn login_page(ways: Ways, to: &str, wrong: Option<&str>) -> Response {
    let mut response = Page(LoginPage::new(ways, own_path(to), wrong)).into_response();
    if wrong.is_some() {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response.extensions_mut().insert(crate::fault::Whole);
    }
    harden(response.headers_mut());
    response
}

fn redirect(to: &str) -> Response {
    let mut response = Redirect::to(own_path(to)).into_response();
    harden(response.headers_mut());
    response
}

/// A path of this site; the beginning where it is none.
fn own_path(to: &str) -> &str {
    let is_own = to.starts_with('/')
        && !to.starts_with("//")
        && to.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\');
    if is_own { to } else { "/" }
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_login_one_stays_on_this_site() {
        assert_eq!(own_path("/deliveries?app=a"), "/deliveries?app=a");
        for other in
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a b", "/a\r\nX: y", "evil"]
        {
            assert_eq!(own_path(other), "/", "{other}");
        }
    }
}
