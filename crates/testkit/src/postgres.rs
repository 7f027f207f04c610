//! A PostgreSQL for tests: one private server for all tests of this user, one database for each test.
//!
//! nextest gives each test a process of its own, so the server is shared between processes: whoever comes first makes
//! it, in a folder of the temporary files, and starts a keeper beside it, which stops it and removes the folder some
//! seconds after its last user has gone. It listens on a socket in that folder alone. `HANDOVER_TEST_POSTGRES_URL` names
//! another server to use instead, with a role that may create databases and roles.
//!
//! Invariants: a process uses the server only while it holds `users.lock` (shared); the server is made, looked for and
//! stopped only under `start.lock` (exclusive). On a crash the locks fall, and the keeper does the rest.

use crate::Folder;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Names another server for the tests.
pub const URL_VARIABLE: &str = "HANDOVER_TEST_POSTGRES_URL";
/// A role that may log in with [`PASSWORD`] alone, on a server of ours.
pub const PASSWORD_ROLE: &str = "needs_password";
/// Its password.
pub const PASSWORD: &str = "the-right-password";
const PORT: &str = "5432";
const OWNER: &str = "handover";
const INSTALL: &str = "Install it: apt-get install postgresql (or set HANDOVER_TEST_POSTGRES_URL)";

/// On the socket alone.
const PRIVATE: &str = "-h '' -p 5432";
/// Makes an authority and a certificate for localhost.
const CERTIFICATES: &str = "umask 022 && exec 2>openssl.log \
    && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj '/CN=the tests' \
    && openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost \
       -addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE \
    && openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy -out server.pem \
    && chmod 600 server.key";

/// Stops the server when nobody has used it for two looks in a row.
const KEEPER: &str = r#"
cd "$1" || exit 1
last=
while sleep 5; do
    exec 8>>start.lock 9>>users.lock
    flock -x 8
    if flock -n -x 9; then
        now=$(cat stamp)
        if [ "$now" = "$last" ]; then
            sh -c "$2"
            rm -rf server
            exit
        fi
        last=$now
    else
        last=
    fi
    exec 8>&- 9>&-
done
"#;

/// A database of its own on the shared server; it is dropped with this.
#[derive(Debug)]
pub struct TemporaryPostgres {
    admin: String,
    name: String,
}

impl TemporaryPostgres {
    /// An empty database.
    ///
    /// # Panics
    /// Where there is no PostgreSQL, with what to install.
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let admin = shared().to_owned();
        let nth = COUNT.fetch_add(1, Ordering::SeqCst);
        let born = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |t| t.subsec_nanos());
        let name = format!("handover_test_{}_{nth}_{born}", std::process::id());
        psql(&admin, &format!("CREATE DATABASE {name}"));
        Self { admin, name }
    }

    /// Its address, for a role that may do everything.
    pub fn url(&self) -> String {
        with_database(&self.admin, &self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL in it by psql, as any program would; gives what psql prints, without headings.
    ///
    /// # Panics
    /// Where psql fails.
    pub fn sql(&self, text: &str) -> String {
        psql(&self.url(), text)
    }
}

impl Default for TemporaryPostgres {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TemporaryPostgres {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = psql_command(&self.admin, &drop).output();
    }
}

/// A server of one's own, to be stopped and started at will; it ends with this.
#[derive(Debug)]
pub struct OwnPostgres {
    folder: Folder,
}

impl OwnPostgres {
    /// A new, running server.
    ///
    /// # Panics
    /// Where there is no PostgreSQL, with what to install.
    pub fn start() -> Self {
        let folder = Folder::new();
        let permissions = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), permissions).unwrap_or_else(|e| panic!("a test's folder: {e}"));
        make(&folder.join("server"));
        Self { folder }
    }

    fn server(&self) -> PathBuf {
        self.folder.join("server")
    }

    /// The address of a database on it; `postgres` is always there.
    pub fn url(&self, database: &str) -> String {
        with_database(&address(&self.server()), database)
    }

    /// A new server that also listens on 127.0.0.1, where it takes encrypted connections of [`PASSWORD_ROLE`] alone. Gives
    /// its port, and the file of the authority that its certificate, for `localhost`, can be verified with. None where
    /// there is no `openssl` to make it.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn encrypted() -> Option<(Self, u16, PathBuf)> {
        Command::new("openssl").arg("version").output().ok()?;
        let own = Self::start();
        own.stop(false);
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.unwrap_or_else(|e| panic!("there is no free port: {e}")).port();
        let dir = own.server().display().to_string();
        run_as_owner(&format!(
            "cd '{dir}' && {CERTIFICATES} && echo 'hostssl all all 127.0.0.1/32 scram-sha-256' >>data/pg_hba.conf"
        ));
        let more =
            format!("-c ssl=on -c ssl_cert_file='{dir}/server.pem' -c ssl_key_file='{dir}/server.key'");
        start(&own.server(), &format!("-h 127.0.0.1 -p {port} {more}"));
        let authority = own.server().join("ca.pem");
        Some((own, port, authority))
    }

    /// Stops it: at once, as a crash would, or in order, ending all connections.
    pub fn stop(&self, at_once: bool) {
        let how = if at_once { "immediate" } else { "fast" };
        run_as_owner(&stop_command(&self.server(), how));
    }

    /// Starts it again.
    pub fn start_again(&self) {
        start(&self.server(), PRIVATE);
    }

    /// Runs SQL by psql in a database of it.
    ///
    /// # Panics
    /// Where psql fails.
    pub fn sql(&self, database: &str, text: &str) -> String {
        psql(&self.url(database), text)
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        let _ = as_owner(&stop_command(&self.server(), "immediate")).output();
    }
}

/// The same address with another database.
pub fn with_database(url: &str, name: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, ""), |(before, query)| (before, query));
    let host_at = before.find("://").map_or(0, |at| at + 3);
    let end = before[host_at..].find('/').map_or(before.len(), |at| host_at + at);
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    format!("{}/{name}{query}", &before[..end])
}

/// The same address for another role, with its password if any.
pub fn with_role(url: &str, role: &str, password: Option<&str>) -> String {
    let bare: Vec<&str> = url.split_once('?').map_or(vec![], |(_, query)| query.split('&').collect());
    let kept = bare.into_iter().filter(|pair| !pair.starts_with("user=") && !pair.starts_with("password="));
    let query: Vec<&str> = kept.collect();
    let before = url.split_once('?').map_or(url, |(before, _)| before);
    let (scheme, rest) = before.split_once("://").unwrap_or(("postgresql", before));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let user = format!("user={role}");
    let password = password.map(|password| format!("password={password}"));
    let query: Vec<&str> = query.into_iter().chain([user.as_str()]).chain(password.as_deref()).collect();
    format!("{scheme}://{host}?{}", query.join("&"))
}

/// The shared server's address: joined once for each process, and used until its end.
fn shared() -> &'static str {
    static SERVER: OnceLock<(String, Option<File>)> = OnceLock::new();
    let (url, _) = SERVER.get_or_init(|| match std::env::var(URL_VARIABLE) {
        Ok(url) if !url.is_empty() => (url, None),
        _ => {
            let (url, lock) = join();
            (url, Some(lock))
        }
    });
    url
}

fn join() -> (String, File) {
    let uid = rustix::process::geteuid().as_raw();
    let base = std::env::temp_dir().join(format!("handover-test-postgres-{uid}"));
    fs::create_dir_all(&base).unwrap_or_else(|e| panic!("cannot make {}: {e}", base.display()));
    let owner = fs::symlink_metadata(&base).map(|m| m.uid());
    assert!(owner.is_ok_and(|owner| owner == uid), "{} is another user's", base.display());
    let _ = fs::set_permissions(&base, fs::Permissions::from_mode(0o755));
    let starting = lock(&base.join("start.lock"), FlockOperation::LockExclusive);
    let server = base.join("server");
    if UnixStream::connect(socket(&server)).is_err() {
        let _ = as_owner(&stop_command(&server, "immediate")).output();
        fs::remove_dir_all(&server).ok();
        make(&server);
        keep(&base, &server);
    }
    let using = lock(&base.join("users.lock"), FlockOperation::LockShared);
    let stamp = format!("{} {:?}", std::process::id(), std::time::SystemTime::now());
    fs::write(base.join("stamp"), stamp).unwrap_or_else(|e| panic!("cannot use {}: {e}", base.display()));
    drop(starting);
    (address(&server), using)
}

fn lock(path: &Path, how: FlockOperation) -> File {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.unwrap_or_else(|e| panic!("cannot open {}: {e}", path.display()));
    while let Err(e) = flock(&file, how) {
        assert!(e == rustix::io::Errno::INTR, "cannot lock {}: {e}", path.display());
    }
    file
}

fn keep(base: &Path, server: &Path) {
    let stop = whole_command(&stop_command(server, "fast"));
    // It is nobody's child, and outlives this process.
    let started = Command::new("sh")
        .args(["-c", r#"setsid sh -c "$1" keeper "$2" "$3" </dev/null >/dev/null 2>&1 &"#, "starter", KEEPER])
        .args([base.as_os_str().to_owned(), stop.into()])
        .status();
    assert!(
        started.is_ok_and(|ended| ended.success()),
        "the keeper of the tests' PostgreSQL cannot be started"
    );
}

fn address(server: &Path) -> String {
    format!("postgresql:///postgres?host={}&port={PORT}&user={OWNER}", server.join("socket").display())
}

fn socket(server: &Path) -> PathBuf {
    server.join("socket").join(format!(".s.PGSQL.{PORT}"))
}

/// Makes a server in this folder, which is not there yet, and starts it.
fn make(server: &Path) {
    let dir = server.display();
    fs::create_dir_all(server).unwrap_or_else(|e| panic!("cannot make {dir}: {e}"));
    if rustix::process::geteuid().is_root() {
        let made = Command::new("chown").arg("postgres").arg(server).output();
        assert!(made.is_ok_and(|made| made.status.success()), "there is no user postgres. {INSTALL}");
    }
    let initdb = bin("initdb");
    run_as_owner(&format!(
        "mkdir -m 700 '{dir}/socket' && '{}' -D '{dir}/data' -U {OWNER} -A trust -E UTF8 --locale=C --no-sync >'{dir}/initdb.log' 2>&1 \
         && printf 'local all {PASSWORD_ROLE} scram-sha-256\\nlocal all all trust\\n' >'{dir}/data/pg_hba.conf'",
        initdb.display()
    ));
    start(server, PRIVATE);
    psql(
        &address(server),
        &format!(
            "SET password_encryption = 'scram-sha-256'; CREATE ROLE {PASSWORD_ROLE} LOGIN PASSWORD '{PASSWORD}'"
        ),
    );
}

fn start(server: &Path, listening: &str) {
    let dir = server.display();
    run_as_owner(&format!(
        "'{}' -D '{dir}/data' -l '{dir}/log' -w -s -t 60 -o \"-k '{dir}/socket' {listening} -c fsync=off -c full_page_writes=off \
         -c max_connections=300 -c shared_buffers=64MB\" start >'{dir}/start.log' 2>&1",
        bin("pg_ctl").display()
    ));
}

fn stop_command(server: &Path, how: &str) -> String {
    format!(
        "'{}' -D '{}/data' -m {how} -w -s stop >/dev/null 2>&1",
        bin("pg_ctl").display(),
        server.display()
    )
}

/// A program of the server: of the newest version that is installed as Debian and others do, else on the PATH.
fn bin(name: &str) -> PathBuf {
    let versions = ["/usr/lib/postgresql", "/usr/local/lib/postgresql"].map(|place| fs::read_dir(place).ok());
    let versions = versions.into_iter().flatten().flatten().flatten();
    let found = versions.map(|entry| entry.path().join("bin").join(name)).filter(|path| path.is_file());
    let number = |path: &PathBuf| -> u32 {
        let version = path.ancestors().nth(2).and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    if let Some(newest) = found.max_by_key(number) {
        return newest;
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("the tests of the ledger on PostgreSQL need {name}. {INSTALL}"))
}

/// PostgreSQL does not run as root: then it is the user `postgres` that owns the server.
fn whole_command(text: &str) -> String {
    match rustix::process::geteuid().is_root() {
        true => format!("cd / && su postgres -s /bin/sh -c '{}'", text.replace('\'', "'\\''")),
        false => text.to_owned(),
    }
}

pub(crate) fn as_owner(text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &whole_command(text)]).stdin(Stdio::null());
    command
}

pub(crate) fn run_as_owner(text: &str) {
    let done = as_owner(text).output().unwrap_or_else(|e| panic!("cannot run sh: {e}"));
    assert!(done.status.success(), "{text}: {}{}", said(&done.stdout), said(&done.stderr));
}

fn psql_command(url: &str, text: &str) -> Command {
    let mut command = Command::new("psql");
    command
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text])
        .stdin(Stdio::null());
    command
}

/// Runs SQL by psql and gives what it prints.
///
/// # Panics
/// Where psql fails.
pub fn psql(url: &str, text: &str) -> String {
    let done = psql_command(url, text).output().unwrap_or_else(|e| panic!("cannot run psql: {e}. {INSTALL}"));
    assert!(done.status.success(), "{text}: {}", said(&done.stderr));
    said(&done.stdout)
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_is_its_own_and_goes_with_its_test() {
        let (one, other) = (TemporaryPostgres::new(), TemporaryPostgres::new());
        one.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (7)");
        assert_eq!(one.sql("SELECT n FROM t"), "7");
        assert_eq!(other.sql("SELECT count(*) FROM pg_tables WHERE tablename = 't'"), "0");
        let name = one.name().to_owned();
        drop(one);
        let there = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        assert_eq!(other.sql(&there), "0");
    }

    #[test]
    fn addresses_change_their_database_and_role() {
        assert_eq!(with_database("postgres://u:p@h:1/a?x=1", "b"), "postgres://u:p@h:1/b?x=1");
        assert_eq!(with_database("postgres://h", "b"), "postgres://h/b");
        assert_eq!(with_database("postgresql:///a?host=/t/u", "b"), "postgresql:///b?host=/t/u");
        let role = with_role("postgresql:///a?host=/t&user=x", "me", Some("s"));
        assert_eq!(role, "postgresql:///a?host=/t&user=me&password=s");
        assert_eq!(with_role("postgres://u:p@h/a", "me", None), "postgres://h/a?user=me");
    }
}
