//! Which file a program's name means, and why a program could not be started, in words.
//!
//! A name without a slash is searched for in `PATH`, whose relative folders are relative to the program's folder;
//! a path with one is relative to that folder (`execvp(3)` after `chdir(2)`).

use handover_core::{Error, ErrorKind, path_text};
use rustix::fs::{Access, access};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where it is searched for if there is no `PATH`.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";
/// For so long a program counts as found.
const FOUND_FOR: Duration = Duration::from_secs(1);
/// So many are remembered.
const FOUND_MAX: usize = 32;

/// The executable file that `word` means.
///
/// # Errors
/// [`ErrorKind::Config`] if there is none; the hint says what to change.
pub(super) fn find(word: &OsStr, search: Option<&OsStr>, cwd: &Path) -> Result<PathBuf, Error> {
    if word.is_empty() {
        return Err(Error::config("the command is empty").hint("give `run:` a program and its arguments"));
    }
    if word.as_bytes().contains(&b'/') {
        let path = cwd.join(word);
        return match candidate(&path) {
            Candidate::Runs => Ok(path),
            other => Err(refuse_path(&path, cwd, &other)),
        };
    }
    let search = search.unwrap_or(OsStr::new(PATH_DEFAULT));
    let mut passed_over = None;
    for folder in search.as_bytes().split(|b| *b == b':') {
        let path = cwd.join(OsStr::from_bytes(folder)).join(word);
        match candidate(&path) {
            Candidate::Runs => return Ok(path),
            Candidate::NotExecutable => passed_over = passed_over.or(Some(path)),
            Candidate::Folder | Candidate::Missing => {}
        }
    }
    Err(match passed_over {
        Some(path) => refuse_path(&path, cwd, &Candidate::NotExecutable),
        None => refuse_name(word, cwd),
    })
}

/// Where programs were found a moment ago: with a flood of small files, `PATH` is not searched for each of them. Whether it
/// can be executed is looked at each time; a program that comes to stand before it in `PATH` is found a second later.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<Vec<Place>>);

#[derive(Debug)]
struct Place {
    word: OsString,
    search: Option<OsString>,
    cwd: PathBuf,
    path: PathBuf,
    at: Instant,
}

impl Found {
    /// [`find`], or what it found a moment ago.
    pub(super) fn find(&self, word: &OsStr, search: Option<&OsStr>, cwd: &Path) -> Result<PathBuf, Error> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|place| place.at.elapsed() < FOUND_FOR);
        let known = places
            .iter()
            .find(|place| place.word == word && place.search.as_deref() == search && place.cwd == cwd)
            .filter(|place| matches!(candidate(&place.path), Candidate::Runs));
        if let Some(place) = known {
            return Ok(place.path.clone());
        }
        let path = find(word, search, cwd)?;
        places.retain(|place| place.path != path);
        places.truncate(FOUND_MAX - 1);
        let (word, search, cwd) = (word.to_owned(), search.map(OsStr::to_owned), cwd.to_owned());
        places.push(Place { word, search, cwd, path: path.clone(), at: Instant::now() });
        Ok(path)
    }
}

enum Candidate {
    Runs,
    Missing,
    Folder,
    NotExecutable,
}

fn candidate(path: &Path) -> Candidate {
    match std::fs::metadata(path) {
        Ok(data) if data.is_dir() => Candidate::Folder,
        Ok(_) if access(path, Access::EXEC_OK).is_ok() => Candidate::Runs,
        Ok(_) => Candidate::NotExecutable,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Candidate::NotExecutable,
        Err(_) => Candidate::Missing,
    }
}

fn refuse_name(word: &OsStr, cwd: &Path) -> Error {
    let shown = path_text::to_text(Path::new(word));
    let hint = if matches!(candidate(&cwd.join(word)), Candidate::Missing) {
        "not found in PATH; install it, correct its name, or give its path".to_owned()
    } else {
        format!("not found in PATH; a file of this name is in the program's folder: write ./{shown}")
    };
    Error::config("there is no such program").on(shown).hint(hint)
}

fn refuse_path(path: &Path, cwd: &Path, found: &Candidate) -> Error {
    let shown = path_text::to_text(path);
    let (message, hint) = match found {
        Candidate::Folder => ("this is a folder, not a program", "give the path of a program".to_owned()),
        Candidate::NotExecutable => {
            ("this file may not be executed", format!("make it executable: chmod +x {shown}"))
        }
        Candidate::Missing | Candidate::Runs => (
            "there is no such program",
            format!("a relative path is relative to {}; correct it", path_text::to_text(cwd)),
        ),
    };
    Error::config(message).on(shown).hint(hint)
}

/// Why the system refused to start `path` in `cwd`.
pub(super) fn explain(errno: i32, path: &Path, cwd: &Path) -> Error {
    let source = std::io::Error::from_raw_os_error(errno);
    let shown = path_text::to_text(path);
    if !cwd.is_dir() {
        return Error::config("the folder that the program should run in is not there")
            .on(path_text::to_text(cwd))
            .hint("create it or correct `cwd`");
    }
    let refused = |hint: String| Error::config("cannot start the program").on(&shown).hint(hint);
    match errno {
        libc::ENOENT => refused(match interpreter(path) {
            Some(name) => {
                format!("its first line asks for {name}, which is not there; install it or correct the line")
            }
            None => "it, or the loader that it was built for, is not there".to_owned(),
        }),
        libc::ENOEXEC => refused(
            "it is no program for this machine; a script needs a first line such as #!/bin/sh".to_owned(),
        ),
        libc::EACCES | libc::EPERM => refused(
            "this user may not execute it: see its permissions, its interpreter's and its folders', \
             and whether its file system is mounted noexec"
                .to_owned(),
        ),
        libc::E2BIG => too_big(path),
        libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::ETXTBSY => {
            Error::new(ErrorKind::NotYet, "cannot start the program now").on(shown).because(source).hint(
                "the machine is short of processes, memory or open files, or the program is being written: \
                 it is tried again",
            )
        }
        _ => Error::io("start the program", shown, source),
    }
}

/// The arguments and the environment are more than the system takes.
pub(super) fn too_big(path: &Path) -> Error {
    Error::config("its arguments and environment are too large for the system")
        .on(path_text::to_text(path))
        .hint("hand over large values as a file or by stdin: one argument holds 128 KiB at most")
}

/// What a script's first line asks for.
fn interpreter(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    std::fs::File::open(path).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let windows =
        line.ends_with(b"\r").then_some(" (with a carriage return: the file has Windows line ends)");
    let line = String::from_utf8_lossy(line);
    let name = line.split_whitespace().next()?;
    Some(format!("{name}{}", windows.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn put(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_name_is_searched_for_and_a_path_is_relative_to_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::fs::create_dir(folder.path().join("tool")).unwrap();
        put(&folder.path().join("bin/tool"), "", 0o755);
        put(&folder.path().join("here"), "", 0o755);
        put(&folder.path().join("plain"), "", 0o644);
        let find = |word: &str, search: &str| find(OsStr::new(word), Some(OsStr::new(search)), folder.path());
        let hint = |result: Result<PathBuf, Error>| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            error.hint_text().unwrap().to_owned()
        };
        assert_eq!(find("tool", "/nowhere::bin").unwrap(), folder.path().join("bin/tool"));
        assert_eq!(find("./here", "/nowhere").unwrap(), folder.path().join("./here"));
        assert_eq!(find("here", "").unwrap(), folder.path().join("here"));
        assert!(hint(find("here", "bin")).contains("write ./here"));
        assert!(hint(find("nothing", "bin")).starts_with("not found in PATH; "));
        assert!(hint(find("plain", "")).contains("chmod +x"));
        assert!(hint(find("./plain", "")).contains("chmod +x"));
        assert!(hint(find("./tool", "")).contains("path of a program"));
        assert!(hint(find("./no", "")).contains("relative to"));
        hint(find("", ""));
    }

    #[test]
    fn what_was_found_a_moment_ago_is_looked_at_again_before_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        std::fs::create_dir(&first).unwrap();
        std::fs::create_dir(&second).unwrap();
        let found = Found::default();
        let find = |word: &str| {
            found
                .find(OsStr::new(word), Some(OsStr::new("first:second")), folder.path())
                .map_err(|e| e.kind())
        };
        assert_eq!(find("tool"), Err(ErrorKind::Config));
        put(&second.join("tool"), "", 0o755);
        put(&second.join("other"), "", 0o755);
        assert_eq!((find("tool"), find("other")), (Ok(second.join("tool")), Ok(second.join("other"))));
        put(&second.join("tool"), "", 0o644);
        put(&first.join("tool"), "", 0o755);
        assert_eq!(find("tool"), Ok(first.join("tool")));
        assert_eq!(find("other"), Ok(second.join("other")));
    }

    #[test]
    fn a_missing_interpreter_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        put(&script, "#!/no/such/python3 -u\nx", 0o755);
        let hint = |errno| explain(errno, &script, folder.path()).hint_text().unwrap().to_owned();
        assert!(hint(libc::ENOENT).contains("asks for /no/such/python3,"), "{}", hint(libc::ENOENT));
        put(&script, "#!/bin/sh\r\n", 0o755);
        assert!(hint(libc::ENOENT).contains("Windows line ends"));
        assert!(hint(libc::ENOEXEC).contains("#!/bin/sh"));
        let cwd = explain(libc::ENOENT, &script, &folder.path().join("no"));
        assert!(cwd.to_string().contains("folder"), "{cwd}");
        assert_eq!(explain(libc::EAGAIN, &script, folder.path()).kind(), ErrorKind::NotYet);
    }
}
