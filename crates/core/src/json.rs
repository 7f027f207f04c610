//! JSON that is handed on as it came.
//!
//! Invariants: a [`Json`] can be read as a value, and its text is the very one that was handed over, with its order of names, its
//! blanks and every digit: a number of forty digits and `12.50` go through as they are, where a value would round and shorten them.
//! Nothing here does I/O.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// A JSON document: its value, and its text where it came as one.
#[derive(Clone, Default)]
pub struct Json {
    value: Value,
    text: Option<Box<str>>,
}

impl Json {
    /// Reads a text, and keeps it.
    ///
    /// # Errors
    /// Where it is no JSON, or nothing that can be a value: a number out of range, nesting beyond 127, half a surrogate pair.
    pub fn parse(text: impl Into<Box<str>>) -> serde_json::Result<Self> {
        let text = text.into();
        Ok(Self { value: serde_json::from_str(&text)?, text: Some(text) })
    }

    /// A value, and the text that it was read from.
    pub fn read_from(text: &str, value: Value) -> Self {
        debug_assert!(
            serde_json::from_str::<Value>(text).is_ok_and(|read| read == value),
            "another value: {text}"
        );
        Self { value, text: Some(text.into()) }
    }

    /// Its value. Numbers that are no 64-bit integers are the nearest double, and of a name that stands twice it has the last.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Its text.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.text {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.value.to_string()),
        }
    }

    /// Its text as one line: breaks of lines, which JSON allows between its parts, are blanks.
    pub fn line(&self) -> Cow<'_, str> {
        match self.text() {
            text if text.contains(['\n', '\r']) => Cow::Owned(text.replace(['\n', '\r'], " ")),
            text => text,
        }
    }
}

impl Deref for Json {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self { value, text: None }
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        json.value
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(text),
            None => write!(f, "{}", self.value),
        }
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Equal are those of the same value.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq<Value> for Json {
    fn eq(&self, other: &Value) -> bool {
        self.value == *other
    }
}

/// As one line, so that what it stands in may be a line.
impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text.is_some().then(|| RawValue::from_string(self.line().into_owned())) {
            Some(Ok(raw)) => raw.serialize(serializer),
            _ => self.value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(Box::<str>::from(raw)).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = r#"{"b":1, "a":{"x":1,"x":2},"big":123456789012345678901234567890,"t":12.50,"e":1E5}"#;

    #[test]
    fn a_text_goes_through_as_it_came() {
        let json = Json::parse(TEXT).unwrap();
        assert_eq!((json.to_string(), json.text().as_ref()), (TEXT.to_owned(), TEXT));
        assert_eq!(serde_json::to_string(&json).unwrap(), TEXT);
        assert_eq!(serde_json::to_string(&(1, &json)).unwrap(), format!("[1,{TEXT}]"));
        let again: Vec<Json> = serde_json::from_str(&format!("[{TEXT}, 12.50]")).unwrap();
        assert_eq!((again[0].to_string(), again[1].to_string()), (TEXT.to_owned(), "12.50".to_owned()));
        assert_eq!((json.get("b"), json["t"].as_f64()), (Some(&json!(1)), Some(12.5)));
    }

    #[test]
    fn what_is_no_value_is_no_json() {
        for text in ["", "{", "1e400", r#""\ud800""#, "1 2", &"[".repeat(200)] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Json>("[1e400]").is_err());
    }

    #[test]
    fn it_is_one_line_where_it_has_to_be() {
        let json = Json::parse("{\n  \"a\": \"x\\ny\"\r\n}").unwrap();
        assert_eq!(json.line(), "{   \"a\": \"x\\ny\"  }");
        assert_eq!(Json::from(json!({"a": 1})).line(), r#"{"a":1}"#);
    }

    #[test]
    fn a_value_is_what_it_reads_as() {
        assert_eq!(Json::parse("12.50").unwrap(), Json::from(json!(12.5)));
        assert_eq!(Json::parse("[1]").unwrap(), json!([1]));
        assert_eq!(Value::from(Json::default()), Value::Null);
        assert_eq!(serde_json::to_value(Json::parse("[1.0]").unwrap()).unwrap(), json!([1.0]));
    }
}
