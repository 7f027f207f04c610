//! The way in. Keys are checked by the door that mounts the pages.

use super::frame::Frame;
use askama::Template;

/// By what one may log in.
#[derive(Debug, Clone)]
pub struct Ways {
    /// API keys are taken.
    pub keys: bool,
    /// Who issues the access tokens that are taken, where any are.
    pub tokens: Option<String>,
}

/// The login page.
#[derive(Debug, Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    frame: Frame,
    ways: Ways,
    to: String,
    wrong: Option<String>,
}

impl LoginPage {
    /// A page that leads to `to`; `wrong` is what was wrong with the last try.
    pub fn new(ways: Ways, to: &str, wrong: Option<&str>) -> Self {
        Self { frame: Frame::bare("Log in"), ways, to: to.to_owned(), wrong: wrong.map(str::to_owned) }
    }
}
