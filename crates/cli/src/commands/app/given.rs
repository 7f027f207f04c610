//! What the command line and `--config` say, as one configuration: the same keys as `with:`.
//!
//! What the command line says goes before the configuration. Formats and compression follow from the files' extensions
//! where neither says them.

use super::args::{Formats, Outputs, Streams};
use super::streams::{extension_of, reads_stdin};
use handover_core::limits::CONFIG_MAX_BYTES;
use handover_core::{Error, Result};
use handover_records::{Compression, FileKind, Format};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The working directory.
const HERE: &str = ".";

/// What cannot be used as configuration is a wrong command line here, whatever the cause.
pub(super) fn as_config(error: Error) -> Error {
    error.with_kind(handover_core::ErrorKind::Config)
}

/// The same where an app cannot be made: without `--config` there is no configuration's folder to speak of.
pub(super) fn of_streams(error: Error, streams: &Streams) -> Error {
    let error = as_config(error);
    if streams.config.is_none()
        && error.hint_text().is_some_and(|hint| hint.contains("configuration's folder"))
    {
        return error.hint("paths of the command line are relative to the current folder");
    }
    error
}

pub(super) fn set<T: Into<Value>>(with: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        with.insert(key.to_owned(), value.into());
    }
}

/// A path of the command line, which is relative to the working directory, where that is not the configuration's.
pub(super) fn of_command_line(path: &Path, base: &Path) -> Result<Value> {
    let path = if base == Path::new(HERE) {
        path.to_owned()
    } else {
        std::path::absolute(path).map_err(|error| Error::io("find", path.display(), error))?
    };
    let text = path.to_str().map(Value::from);
    text.ok_or_else(|| Error::config("the path is not UTF-8").on(path.display()))
}

/// `ours:theirs,same` as `{ours: theirs, same: same}`.
pub(super) fn pairs(text: &str) -> Result<Value> {
    let mut map = Map::new();
    for word in text.split(',') {
        let (ours, theirs) = word.split_once(':').unwrap_or((word, word));
        if ours.is_empty() || theirs.is_empty() || map.insert(ours.to_owned(), theirs.into()).is_some() {
            return Err(Error::config(format!("{text:?} is not columns"))
                .hint("write names with commas between them: name,zone or ours:theirs"));
        }
    }
    Ok(Value::Object(map))
}

/// `name=text` words of a flag as a map.
pub(super) fn compute(flag: &str, form: &str, list: &[String]) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    for text in list {
        let (name, expression) =
            text.split_once('=').ok_or_else(|| Error::config(format!("{flag} {text:?} is not {form}")))?;
        if map.insert(name.trim().to_owned(), expression.into()).is_some() {
            return Err(Error::config(format!("{flag} gives {:?} twice", name.trim())));
        }
    }
    Ok(map)
}

/// The configuration and the folder that its paths are relative to.
pub(super) fn configuration(streams: &Streams) -> Result<(Map<String, Value>, PathBuf)> {
    let here = PathBuf::from(HERE);
    let Some(config) = streams.config.as_deref() else { return Ok((Map::new(), here)) };
    let config =
        config.to_str().ok_or_else(|| Error::config("the path is not UTF-8").on(config.display()))?;
    let (text, base, shown) = if config.trim_start().starts_with('{') {
        (config.as_bytes().to_vec(), here, "--config")
    } else if config == "-" {
        if reads_stdin(streams) {
            return Err(Error::config("standard input cannot be configuration and data at once")
                .hint("name the input file, or the configuration's"));
        }
        (read_bounded(io::stdin().lock(), "standard input")?, here, "standard input")
    } else {
        let path = Path::new(config);
        let file = File::open(path)
            .map_err(|error| as_config(Error::io("read the configuration", path.display(), error)))?;
        let base = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let base = base.unwrap_or(Path::new(HERE)).to_owned();
        (read_bounded(file, config)?, base, config)
    };
    match serde_json::from_slice(&text) {
        Ok(Value::Object(map)) => Ok((map, base)),
        Ok(_) => Err(Error::config("the configuration is not a JSON object").on(shown)),
        Err(error) => Err(Error::config("the configuration is not JSON").on(shown).because(error)),
    }
}

fn read_bounded(source: impl Read, shown: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = source.take(CONFIG_MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| as_config(Error::io("read the configuration", shown, error)))?;
    if bytes.len() as u64 > CONFIG_MAX_BYTES {
        return Err(
            Error::config(format!("the configuration is larger than {CONFIG_MAX_BYTES} bytes")).on(shown)
        );
    }
    Ok(bytes)
}

/// Puts what the command line says of the input under `input:`.
pub(super) fn set_input(with: &mut Map<String, Value>, formats: &Formats) -> Result<()> {
    let dialect = [
        ("delimiter", formats.delimiter.as_deref().map(unescaped)),
        ("quote_char", formats.quote.as_deref().map(unescaped)),
        ("escape_char", formats.escape.as_deref().map(unescaped)),
        ("comment_char", formats.comment.as_deref().map(unescaped)),
        ("encoding", formats.encoding.clone()),
    ];
    let mut input = object(with.get("input"), "input")?;
    let mut map = object(input.get("dialect"), "input: dialect")?;
    for (key, value) in dialect {
        match value {
            // `--quote ''`: there are no quotes.
            Some(text) if text.is_empty() => drop(map.insert(key.to_owned(), Value::Null)),
            Some(text) => drop(map.insert(key.to_owned(), text.into())),
            None => {}
        }
    }
    if formats.no_header {
        map.insert("header".to_owned(), false.into());
    }
    if !map.is_empty() {
        if !map.contains_key("delimiter") && formats.in_format.is_some_and(|format| format.name() == "tsv") {
            map.insert("delimiter".to_owned(), "\t".into());
        }
        input.insert("dialect".to_owned(), Value::Object(map));
    }
    set(&mut input, "format", formats.in_format.map(super::args::FormatArg::name));
    if formats.sniff {
        input.insert("sniff".to_owned(), true.into());
    }
    if !input.is_empty() {
        with.insert("input".to_owned(), Value::Object(input));
    }
    Ok(())
}

/// Puts what the command line says of the output into `output`, which is `output:`, or for the exporter all of it.
/// What it does not say follows from the output's extension; standard output is not compressed unasked.
pub(super) fn set_output(output: &mut Map<String, Value>, outputs: &Outputs, streams: &Streams) {
    set(output, "compression", outputs.compression.map(super::args::CompressionArg::name));
    set(output, "level", outputs.level);
    if output.contains_key("compression") {
        return;
    }
    let named = streams.output.as_deref().map(extension_of);
    let compression = match named.as_deref().map(FileKind::of_ext) {
        None => Compression::None,
        Some(Some(kind)) => kind.compression,
        Some(None) => return,
    };
    let compression = serde_json::to_value(compression).unwrap_or(Value::Null);
    output.insert("compression".to_owned(), compression);
}

/// The format of an output that may have another than the input.
pub(super) fn set_out_format(
    output: &mut Map<String, Value>,
    format: Option<super::args::FormatArg>,
    delimiter: Option<&str>,
    streams: &Streams,
) -> Result<()> {
    set(output, "format", format.map(super::args::FormatArg::name));
    if let Some(delimiter) = delimiter {
        let mut dialect = object(output.get("dialect"), "dialect")?;
        dialect.insert("delimiter".to_owned(), unescaped(delimiter).into());
        output.insert("dialect".to_owned(), Value::Object(dialect));
    }
    let kind = |path: Option<&Path>| path.map(extension_of).and_then(|ext| FileKind::of_ext(&ext));
    if !output.contains_key("format")
        && let Some(to) = kind(streams.output.as_deref())
        && kind(streams.input.as_deref()).is_none_or(|from| named(&from) != named(&to))
        && !(output.contains_key("dialect") && to.format == Format::Csv)
    {
        output.insert("format".to_owned(), named(&to).into());
    }
    Ok(())
}

fn named(kind: &FileKind) -> &'static str {
    match kind.format {
        Format::Csv if kind.dialect.delimiter == b'\t' => "tsv",
        format => format.ext(),
    }
}

/// The object under a key; an empty one where there is none.
pub(super) fn object(value: Option<&Value>, key: &str) -> Result<Map<String, Value>> {
    match value {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(_) => Err(Error::config(format!("{key}: a map is expected"))),
    }
}

/// `\t` as people write it on a command line.
fn unescaped(text: &str) -> String {
    match text {
        "\\t" | "tab" => "\t".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_and_expressions_of_the_command_line() {
        assert_eq!(pairs("region:code,name").unwrap(), json!({ "region": "code", "name": "name" }));
        for text in ["", "a,,b", "a:", ":b", "a,a"] {
            assert!(pairs(text).is_err(), "{text}");
        }
        let list = ["total = a == b ? 1 : 2".to_owned()];
        assert_eq!(compute("--compute", "COLUMN=CEL", &list).unwrap()["total"], " a == b ? 1 : 2");
        assert!(compute("--compute", "COLUMN=CEL", &["total".to_owned()]).is_err());
        assert!(compute("--compute", "COLUMN=CEL", &["x=1".to_owned(), "x=2".to_owned()]).is_err());
    }

    #[test]
    fn the_flags_of_the_input_go_before_its_configuration() {
        let mut with = json!({ "input": { "dialect": { "delimiter": ";", "header": true } } });
        let with = with.as_object_mut().unwrap();
        let formats = Formats {
            delimiter: Some("\\t".into()),
            quote: Some(String::new()),
            no_header: true,
            ..Formats::default()
        };
        set_input(with, &formats).unwrap();
        let expected = json!({ "dialect": { "delimiter": "\t", "header": false, "quote_char": null } });
        assert_eq!(with["input"], expected);
    }
}
