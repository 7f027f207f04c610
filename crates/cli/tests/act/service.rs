//! `service`: what it writes, what it leaves alone, and what `run` tells its supervisor.

use super::{Answer, Place};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A project, and a folder for units of its user.
fn project() -> Place {
    let place = Place::empty();
    place.write("Shop 50%/$x/handover.yaml", "apps: { copy: { run: cat } }\n");
    place
}

const CONFIG: &str = "Shop 50%/$x/handover.yaml";

fn ask(place: &Place, words: &[&str]) -> Answer {
    let words = [&["--config", CONFIG, "service"], words].concat();
    place.command(&words).env("XDG_CONFIG_HOME", place.path().join("config")).output().unwrap().into()
}

fn units(place: &Place) -> PathBuf {
    place.path().join("config/systemd/user")
}

#[test]
fn install_writes_a_unit_says_so_and_does_it_once() {
    let place = project();
    let dry = ask(&place, &["install", "--user", "--dry-run"]);
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert!(!place.path().join("config").exists());
    let answer = ask(&place, &["install", "--user"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let text = std::fs::read_to_string(units(&place).join("handover-x.service")).unwrap();
    assert_eq!(dry.out, text);
    for says in [
        "Wrote ",
        "systemctl --user enable --now handover-x.service",
        "journalctl --user -u handover-x",
        "handover.env",
    ] {
        assert!(answer.out.contains(says), "{says}: {}", answer.out);
    }
    assert!(
        text.contains("/Shop 50%%/$x\n") && text.contains("/Shop 50%%/$$x/handover.yaml\" run"),
        "{text}"
    );
    assert!(ask(&place, &["install", "--user"]).out.starts_with("The unit is as it should be"));
    let status = ask(&place, &["status", "--user", "--json"]);
    assert!(status.out.contains("\"state\":\"up to date\""), "{}", status.out);
    std::fs::write(units(&place).join("handover-x.service"), text.replace("RestartSec=5", "RestartSec=9"))
        .unwrap();
    assert!(ask(&place, &["status", "--user"]).out.contains("is not what"));
    assert!(ask(&place, &["install", "--user"]).out.starts_with("Replaced "));
    let gone = ask(&place, &["uninstall", "--user", "--force"]);
    assert_eq!(gone.code, 0, "{}", gone.err);
    assert!(!units(&place).join("handover-x.service").exists());
    assert!(ask(&place, &["status", "--user"]).out.contains("there is none"));
    assert_eq!(ask(&place, &["uninstall", "--user"]).code, 1);
}

#[test]
fn what_is_not_ours_is_neither_replaced_nor_removed() {
    let place = project();
    place.write("config/systemd/user/handover-x.service", "[Service]\nExecStart=/bin/true\n");
    for words in [["install", "--user"], ["uninstall", "--user"]] {
        let answer = ask(&place, &words);
        assert!(answer.code == 2 && answer.err.contains("somebody else wrote it"), "{}", answer.err);
    }
    assert!(ask(&place, &["status", "--user"]).out.contains("somebody else wrote it"));
    assert_eq!(ask(&place, &["install", "--user", "--force"]).code, 0);
    // Another project with a folder of the same name.
    place.write("other/$x/handover.yaml", "apps: { copy: { run: cat } }\n");
    let mut command = place.command(&["--config", "other/$x/handover.yaml", "service", "install", "--user"]);
    let other: Answer = command.env("XDG_CONFIG_HOME", place.path().join("config")).output().unwrap().into();
    assert!(other.code == 2 && other.err.contains("unit of another project"), "{}", other.err);
    // One that is masked.
    std::os::unix::fs::symlink("/dev/null", units(&place).join("masked.service")).unwrap();
    let masked = ask(&place, &["install", "--user", "--name", "masked", "--force"]);
    assert!(masked.code == 2 && masked.err.contains("masked"), "{}", masked.err);
    for name in ["../evil", "a b", "", "-x"] {
        assert_eq!(ask(&place, &["install", "--user", &format!("--name={name}")]).code, 2, "{name:?}");
    }
}

#[test]
fn systemd_takes_the_unit() {
    let place = project();
    for words in
        [&["install", "--dry-run", "--system", "--run-as", "daemon"][..], &["install", "--dry-run", "--user"]]
    {
        let unit = ask(&place, words);
        assert_eq!(unit.code, 0, "{}", unit.err);
        let file = place.write("unit/handover-x.service", &unit.out);
        // Where systemd is not there, its word is missing.
        let Ok(verified) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output()
        else {
            return;
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        let about: Vec<&str> = said.lines().filter(|line| line.contains("handover-x")).collect();
        assert!(about.is_empty(), "{said}\n{}", unit.out);
    }
}

#[test]
fn run_tells_its_supervisor_and_its_programs_do_not_hear_of_it() {
    let place = Place::with(
        "apps: { show: { run: env, ext: txt }, out: { uses: file-exporter, with: { to: out } } }\nflows: { f: show -> out }\n",
    );
    let path = place.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = place.command(&["run"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000").stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let heard = |what: &str| loop {
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
        if &bytes[..length] == what.as_bytes() {
            return;
        }
    };
    heard("READY=1");
    heard("WATCHDOG=1");
    place.write("in.txt", "x\n");
    place.ok(&["put", "in.txt", "--app", "show", "--type", "note", "--next", "show"]);
    // The manifest comes last.
    let manifest = loop {
        let done = |name: &String| !name.starts_with('.') && name.ends_with(".meta.json");
        if let Some(name) = place.names("out").into_iter().find(done) {
            break name;
        }
        assert!(child.try_wait().unwrap().is_none(), "the daemon ended");
        std::thread::yield_now();
    };
    let environment = place.read(&format!("out/{}", manifest.replace(".meta.json", ".txt")));
    assert!(environment.contains("HANDOVER_APP=show"), "{environment}");
    assert!(!environment.contains("NOTIFY_SOCKET") && !environment.contains("WATCHDOG"), "{environment}");
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    heard("STOPPING=1");
    assert!(child.wait().unwrap().success());
}
