//! What an app, a type and a file may be called: `{app}_{type}_{date}_{sequence}.{ext}`.
//!
//! Names have no underscore inside, so a file's name splits in one way only; the extension may be compound
//! (`csv.gz`); the sequence has three digits or more.

use crate::error::{Error, Result};
use crate::limits::NAME_MAX_BYTES;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// The ending of a manifest's name.
pub const MANIFEST_SUFFIX: &str = ".meta.json";

/// The app that tells others of ended jobs. Its name is reserved: no app of a configuration has it.
pub const WEBHOOK_APP: &str = "handover-webhook";

fn check_word(what: &str, text: &str) -> Result<()> {
    let fine = !text.is_empty()
        && text.len() <= NAME_MAX_BYTES
        && text.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
    if fine {
        return Ok(());
    }
    Err(Error::config(format!("{text:?} is no name for {what}"))
        .hint("use lower-case letters and digits, in words joined by single hyphens, such as file-importer"))
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name, checked: `[a-z0-9]+(-[a-z0-9]+)*`, 64 bytes at most.
            ///
            /// # Errors
            /// [`crate::ErrorKind::Config`] for any other text.
            pub fn new(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                check_word($what, &text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }
    };
}

word! {
    /// An app's name.
    AppName, "an app"
}
word! {
    /// A type's name: what sort of data a file holds (`sales`, `flights`).
    TypeName, "a type"
}

/// A file's name by the convention `{app}_{type}_{date}_{sequence}.{ext}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileName {
    /// The app that wrote it.
    pub app: AppName,
    /// What sort of data it holds.
    pub type_name: TypeName,
    /// The date of its source, in the configured time zone.
    pub date: Date,
    /// Counted from 1 for each app, type and date; written with three digits or more.
    pub sequence: u32,
    /// The extension without its first dot, such as `csv` or `csv.gz`.
    pub ext: String,
}

impl FileName {
    /// The name without its extension: unique within its folder.
    pub fn stem(&self) -> String {
        format!("{}_{}_{}_{:03}", self.app, self.type_name, self.date, self.sequence)
    }

    /// The name of the manifest beside it.
    pub fn manifest_name(&self) -> String {
        format!("{}{MANIFEST_SUFFIX}", self.stem())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stem(), self.ext)
    }
}

impl FromStr for FileName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Error::bad_data(format!("{text:?} is not named by the convention: {why}")).hint(
                "names are {app}_{type}_{date}_{sequence}.{ext}, such as validator_sales_2025-11-24_001.csv",
            )
        };
        let (stem, ext) = text.split_once('.').ok_or_else(|| refuse("it has no extension"))?;
        check_ext(ext)
            .map_err(|_| refuse("its extension has other characters than letters, digits and dots"))?;
        let parts: Vec<&str> = stem.split('_').collect();
        let [app, type_name, date, sequence] = parts[..] else {
            return Err(refuse("it does not have four parts joined by underscores"));
        };
        if sequence.len() < 3 || !sequence.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse("its sequence is not three digits or more"));
        }
        if date.len() != 10 {
            return Err(refuse("its date is not YYYY-MM-DD"));
        }
        Ok(Self {
            app: AppName::new(app).map_err(|_| refuse("its app is not a name"))?,
            type_name: TypeName::new(type_name).map_err(|_| refuse("its type is not a name"))?,
            date: date.parse().map_err(|_| refuse("its date is not YYYY-MM-DD"))?,
            sequence: sequence.parse().map_err(|_| refuse("its sequence is too large"))?,
            ext: ext.to_owned(),
        })
    }
}

/// Checks an extension: letters and digits, in parts joined by single dots; `meta.json` is a manifest's own.
///
/// # Errors
/// [`crate::ErrorKind::Config`] for any other text.
pub fn check_ext(ext: &str) -> Result<()> {
    let fine = ext.len() <= NAME_MAX_BYTES
        && ext != "meta.json"
        && ext.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    if fine {
        Ok(())
    } else {
        Err(Error::config(format!("{ext:?} is no extension"))
            .hint("use letters and digits, such as csv or csv.gz"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_convention_is_read_and_written() {
        let name: FileName = "file-importer_sales-eu_2025-11-24_0012.csv.gz".parse().unwrap();
        assert_eq!(
            (name.app.as_str(), name.type_name.as_str(), name.sequence, name.ext.as_str()),
            ("file-importer", "sales-eu", 12, "csv.gz")
        );
        assert_eq!(name.manifest_name(), "file-importer_sales-eu_2025-11-24_012.meta.json");
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        for (text, why) in [
            ("a_b_2025-11-24_001", "no extension"),
            ("a_b_2025-11-24_01.csv", "three digits"),
            ("a_b_2025-02-30_001.csv", "date"),
            ("a_b_c_2025-11-24_001.csv", "four parts"),
            ("A_b_2025-11-24_001.csv", "app"),
            ("../a_b_2025-11-24_001.csv", "extension"),
            ("a_b_2025-11-24_001.csv/x", "extension"),
            ("a_b_2025-11-24_001.meta.json", "extension"),
            ("a_b_2025-11-24_99999999999.csv", "too large"),
        ] {
            let error = text.parse::<FileName>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(AppName::new("a--b").is_err() && AppName::new("-a").is_err() && AppName::new("").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(app in "[a-z0-9]{1,5}(-[a-z0-9]{1,5}){0,2}", kind in "[a-z0-9]{1,8}", sequence in 1u32..2_000_000, ext in "[a-z0-9]{1,4}(\\.[a-z]{2,3})?") {
            let name = FileName { app: AppName::new(app).unwrap(), type_name: TypeName::new(kind).unwrap(), date: jiff::civil::date(2025, 11, 24), sequence, ext };
            prop_assert_eq!(name.to_string().parse::<FileName>().unwrap(), name);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = text.parse::<FileName>();
        }
    }
}
