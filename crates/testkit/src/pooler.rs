//! A PgBouncer between a test and its server, which gives each transaction another connection.

use crate::Folder;
use crate::postgres::{as_owner, run_as_owner};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const PORT: &str = "6432";

/// A running PgBouncer; it ends with this.
#[derive(Debug)]
pub struct Pooler {
    folder: Folder,
    database: String,
}

impl Pooler {
    /// One that pools by transaction, over `connections` to the server of this address; none where PgBouncer is not
    /// installed.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(url: &str, connections: usize) -> Option<Self> {
        let installed = std::env::var_os("PATH").is_some_and(|paths| {
            std::env::split_paths(&paths).any(|folder| folder.join("pgbouncer").is_file())
        });
        if !installed {
            return None;
        }
        let folder = Folder::new();
        let open = fs::Permissions::from_mode(0o777);
        fs::set_permissions(folder.path(), open).unwrap_or_else(|e| panic!("a test's folder: {e}"));
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let database = place.rsplit('/').next().unwrap_or_default().to_owned();
        let server: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
        let dir = folder.path().display();
        let configuration = format!(
            "[databases]\n* = {}\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = {dir}\nlisten_port = {PORT}\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 100\nlogfile = {dir}/log\n\
             pidfile = {dir}/pid\n",
            server.join(" ")
        );
        let file = folder.write("pgbouncer.ini", configuration);
        run_as_owner(&format!("pgbouncer -q -d '{}' >/dev/null 2>&1", file.display()));
        crate::process::wait_for(Duration::from_secs(20), "pgbouncer listens", || {
            UnixStream::connect(folder.join(format!(".s.PGSQL.{PORT}"))).ok()
        });
        Some(Self { folder, database })
    }

    /// The address of the database through it.
    pub fn url(&self) -> String {
        let dir = self.folder.path().display();
        format!("postgresql:///{}?host={dir}&port={PORT}&user=handover", self.database)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let stop = format!("kill $(cat '{}/pid')", self.folder.path().display());
        let _ = as_owner(&stop).output();
    }
}
