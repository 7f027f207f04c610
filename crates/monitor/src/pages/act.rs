//! What every form that changes something is taken by.
//!
//! Invariant: what comes in here was sent by one of our own pages, by somebody who may act. A browser says from which site a
//! request comes, by `Sec-Fetch-Site`, or, where it does not trust the line, by `Origin`, and no page can make it say otherwise.
//! A request that says neither is refused: programs have the API.

use super::Wrong;
use crate::Visitor;
use axum::Form;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Uri, header};
use serde::de::DeserializeOwned;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// An action: who does it, and the form. Whoever may only look is refused; an action that needs more asks for it with
/// [`Visitor::must_administer`]. Repeated names are taken with `Act<Vec<(String, String)>>`.
#[derive(Debug)]
pub struct Act<T> {
    /// Who acts.
    pub visitor: Visitor,
    /// What the form said.
    pub form: T,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Act<T> {
    type Rejection = Wrong;

    async fn from_request(request: Request, state: &S) -> Result<Self, Wrong> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, state).await?;
        own_site(&parts.uri, &parts.headers)?;
        visitor.must_operate()?;
        let form = Form::from_request(Request::from_parts(parts, body), state).await;
        let Form(form) = form.map_err(|e| Wrong::bad(format!("this form is not understood: {e}")))?;
        Ok(Self { visitor, form })
    }
}

/// Fails where a request was not made by one of our own pages.
///
/// # Errors
/// 403.
pub fn own_site(uri: &Uri, headers: &HeaderMap) -> Result<(), Wrong> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let is_own = match text(SITE) {
        Some(site) => site == "same-origin",
        None => {
            // HTTP/2 says it in `:authority`.
            let host = text(header::HOST).or_else(|| uri.authority().map(Authority::as_str));
            let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
            matches!((origin, host), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
        }
    };
    if is_own {
        return Ok(());
    }
    Err(Wrong::forbidden(
        "this was not asked by a page of this dashboard, so nothing was done; programs use the API. Behind a proxy: it must pass Host on as it came",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&str, &str)]) -> bool {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap())
        };
        own_site(&"/keys".parse().unwrap(), &headers.iter().map(pair).collect()).is_ok()
    }

    #[test]
    fn our_own_pages_alone_may_act() {
        assert!(asked(&[("sec-fetch-site", "same-origin"), ("host", "a:1")]));
        assert!(asked(&[("origin", "http://a:1"), ("host", "a:1")]));
        assert!(asked(&[("origin", "https://A.example"), ("host", "a.example")]));
        for refused in [
            &[("sec-fetch-site", "cross-site"), ("origin", "http://a:1"), ("host", "a:1")][..],
            &[("sec-fetch-site", "same-site"), ("host", "a:1")],
            &[("sec-fetch-site", "none"), ("host", "a:1")],
            &[("origin", "http://a:2"), ("host", "a:1")],
            &[("origin", "http://evil.example"), ("host", "a:1")],
            &[("origin", "null"), ("host", "a:1")],
            &[("origin", "http://a:1")],
            &[("host", "a:1")],
            &[],
        ] {
            assert!(!asked(refused), "{refused:?}");
        }
    }
}
