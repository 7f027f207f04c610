//! A page on its way out.

use super::Wrong;
use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use handover_core::Error;

/// A page, made of a template.
#[derive(Debug)]
pub struct Page<T>(pub T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(text) => Html(text).into_response(),
            Err(e) => Wrong::from(Error::internal("the page cannot be made").because(e)).into_response(),
        }
    }
}
