//! A text, or a list of texts: how a key is written that may have several values.

use schemars::JsonSchema;
use serde::Deserialize;

/// One text or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// All of them.
    pub(crate) fn list(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::Many(many) => many.clone(),
        }
    }

    /// Where the text of this number stands, below the key: nowhere further where it is the only one.
    pub(crate) fn place(&self, nth: usize) -> Option<String> {
        match self {
            Self::One(_) => None,
            Self::Many(_) => Some(nth.to_string()),
        }
    }
}
