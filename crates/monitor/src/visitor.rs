//! Who looks at a page. The door puts a [`Visitor`] into each request's extensions, and a [`Stay`] where the answer is a
//! stream that may go on for long.

use crate::pages::Wrong;
use async_trait::async_trait;
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::sync::Arc;

/// Who looks, and what they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Who, as audits name them: `key:ID`, `token:SUBJECT`, or `api` where no keys are asked for.
    pub name: String,
    /// May look.
    pub read: bool,
    /// May retry, replay, cancel.
    pub operate: bool,
    /// May make and revoke keys.
    pub admin: bool,
    /// The apps that they see; none is all.
    pub apps: Option<Vec<String>>,
    /// Whether they came in by the login page, and so can leave.
    pub session: bool,
}

/// Whether who is for these apps sees this one; none is all.
pub(crate) fn sees(apps: Option<&[String]>, app: &str) -> bool {
    apps.is_none_or(|apps| apps.iter().any(|one| one == app))
}

impl Visitor {
    /// Whether they see this app.
    pub fn sees(&self, app: &str) -> bool {
        sees(self.apps.as_deref(), app)
    }

    /// Whether they see all apps.
    pub fn sees_all(&self) -> bool {
        self.apps.is_none()
    }

    /// Fails where they do not see this app.
    ///
    /// # Errors
    /// 403.
    pub fn must_see(&self, app: &str) -> Result<(), Wrong> {
        if self.sees(app) {
            return Ok(());
        }
        Err(Wrong::forbidden(format!("your key is not for the app {app}")))
    }

    /// Fails where they do not see all apps.
    ///
    /// # Errors
    /// 403.
    pub fn must_see_all(&self) -> Result<(), Wrong> {
        if self.sees_all() {
            return Ok(());
        }
        Err(Wrong::forbidden("your key is for some apps alone, and this page is of all"))
    }

    /// Fails where they may not act.
    ///
    /// # Errors
    /// 403.
    pub fn must_operate(&self) -> Result<(), Wrong> {
        if self.operate || self.admin {
            return Ok(());
        }
        Err(Wrong::forbidden("your key may look, not act: this needs the scope operate"))
    }

    /// Fails where they may not do everything.
    ///
    /// # Errors
    /// 403.
    pub fn must_administer(&self) -> Result<(), Wrong> {
        if self.admin {
            return Ok(());
        }
        Err(Wrong::forbidden("this needs a key with the scope admin"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Wrong;

    /// Whoever asks for a page must at least be allowed to look.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Wrong> {
        let visitor = parts.extensions.get::<Self>().cloned().ok_or_else(Wrong::unknown)?;
        if !(visitor.read || visitor.operate || visitor.admin) {
            return Err(Wrong::forbidden("your key may not look: pages need the scope read"));
        }
        Ok(visitor)
    }
}

/// Somebody whose answer is a stream.
#[async_trait]
pub trait Guest: Send + Sync {
    /// Whether they still may: a key can be revoked while its owner looks.
    async fn may_stay(&self) -> bool;
}

/// A stream's place; it is given back when this is dropped.
#[derive(Clone)]
pub struct Stay(pub Arc<dyn Guest>);
