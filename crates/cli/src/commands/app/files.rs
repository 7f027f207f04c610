//! Which files a stand-alone app reads and writes: no two of them may be one file where one is written.
//!
//! Invariant: nothing is opened for writing before all were compared, so a command that is refused here has changed
//! nothing. The one exception is an output that takes its input's place, where no row is lost by it.

use super::args::Streams;
use super::streams::reads_stdin;
use handover_core::{Error, Result, path_text};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Further files that an app may write.
#[derive(Default)]
pub(super) struct Files<'a> {
    pub(super) rejected: Option<&'a Path>,
    pub(super) report: Option<&'a Path>,
    /// Whether the report is text, not JSON.
    pub(super) report_as_text: bool,
    /// Whether the report is said on standard error.
    pub(super) says_report: bool,
}

/// What a path leads to, as far as it can be compared.
#[derive(PartialEq)]
enum Identity {
    /// A file that is there: its device and inode.
    There(u64, u64),
    /// One that is not there yet: its folder, without links, and its name.
    ToBe(PathBuf),
}

/// The part that a file plays.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Input,
    Output,
    /// Read beside the input.
    Read,
    /// Written beside the output.
    Written,
}

struct Named {
    part: Part,
    what: &'static str,
    path: PathBuf,
    identity: Identity,
}

impl Files<'_> {
    /// Refuses two of the files that are one. `rejects` is whether the app drops rows that nobody keeps without
    /// `--rejected`; `reads` are files that it reads beside its input.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] naming the two.
    pub(super) fn check(
        &self,
        streams: &Streams,
        rejects: bool,
        reads: Vec<(&'static str, PathBuf)>,
    ) -> Result<()> {
        let all = self.all(streams, reads);
        for (i, one) in all.iter().enumerate() {
            for other in all[i + 1..].iter().filter(|other| other.identity == one.identity) {
                let written = |named: &Named| matches!(named.part, Part::Output | Part::Written);
                if !written(one) && !written(other) {
                    continue;
                }
                let replaces =
                    one.part == Part::Input && other.part == Part::Output && streams.output.is_some();
                if !replaces {
                    return Err(Error::config(format!("{} and {} would be one file", one.what, other.what))
                        .on(path_text::to_text(&other.path))
                        .hint("nothing was written; give each a file of its own"));
                }
                if rejects && self.rejected.is_none() {
                    return Err(Error::config(
                        "the output would replace the input, and rejected rows would be lost",
                    )
                    .on(path_text::to_text(&other.path))
                    .hint("keep them with --rejected FILE, or write to another file"));
                }
            }
        }
        Ok(())
    }

    fn all(&self, streams: &Streams, reads: Vec<(&'static str, PathBuf)>) -> Vec<Named> {
        let input = match &streams.input {
            Some(path) if !reads_stdin(streams) => path.clone(),
            _ => PathBuf::from("/dev/stdin"),
        };
        let output = streams.output.clone().unwrap_or_else(|| PathBuf::from("/dev/stdout"));
        let mut all = vec![(Part::Input, "the input", input)];
        all.extend(reads.into_iter().map(|(what, path)| (Part::Read, what, path)));
        all.extend(streams.config.clone().map(|path| (Part::Read, "the configuration", path)));
        all.push((Part::Output, "the output", output));
        let more = [("the rejected rows", self.rejected), ("the report", self.report)];
        all.extend(more.into_iter().filter_map(|(what, path)| Some((Part::Written, what, path?.to_owned()))));
        let named = all.into_iter().filter_map(|(part, what, path)| {
            identity(&path).map(|identity| Named { part, what, path, identity })
        });
        named.collect()
    }
}

/// None for what is no file: a pipe, a terminal, a device.
fn identity(path: &Path) -> Option<Identity> {
    match std::fs::metadata(path) {
        Ok(meta) => meta.is_file().then(|| Identity::There(meta.dev(), meta.ino())),
        Err(_) => {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(Identity::ToBe(folder.canonicalize().ok()?.join(path.file_name()?)))
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn streams(input: &Path, output: Option<&Path>) -> Streams {
        Streams { input: Some(input.to_owned()), output: output.map(Path::to_owned), ..Streams::default() }
    }

    #[test]
    fn no_file_is_written_that_is_read_or_written_too() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["in.csv", "s.json"] {
            std::fs::write(at(name), "x").unwrap();
        }
        std::os::unix::fs::symlink(at("in.csv"), at("link.csv")).unwrap();
        let (input, out, bad) = (at("in.csv"), at("out.csv"), at("bad.csv"));
        let check = |output: &Path, rejected: Option<&Path>, report: Option<&Path>, rejects| {
            let files = Files { rejected, report, ..Files::default() };
            files.check(&streams(&input, Some(output)), rejects, vec![("the schema", at("s.json"))])
        };
        for (output, rejected, report) in [
            (&out, Some(&out), None),
            (&out, Some(&input), None),
            (&out, Some(&bad), Some(&bad)),
            (&out, None, Some(&at("s.json"))),
            (&at("s.json"), None, None),
            (&at("link.csv"), None, None),
            (&input, None, None),
        ] {
            let answer = check(output, rejected.map(PathBuf::as_path), report.map(PathBuf::as_path), true);
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), handover_core::ErrorKind::Config, "{error}");
        }
        assert!(check(&out, Some(&bad), Some(&at("r.json")), true).is_ok());
        assert!(check(&input, Some(&bad), None, true).is_ok(), "no row is lost");
        assert!(check(&input, None, None, false).is_ok(), "nothing is rejected");
        let null = Path::new("/dev/null");
        assert!(check(null, Some(null), Some(null), true).is_ok());
    }
}
