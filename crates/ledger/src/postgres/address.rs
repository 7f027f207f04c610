//! The address of a server, `postgres://user:password@host:port/database?sslmode=…`, with what we set where it says
//! nothing. The password goes into the client's configuration and nowhere else: what is shown has none.

use super::tls::Connector;
use handover_core::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// Where local servers have their socket, as Debian and PostgreSQL itself build it.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];
/// How long a server may take to answer a new connection.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// After so long without a word a connection is asked whether it still is one, and given up if it is not.
const SILENCE: Duration = Duration::from_secs(30);

/// What to do about an address that cannot be read.
const HINT: &str = "write it as postgres://user:password@host:5432/database; characters such as @ : / ? # in a user or a \
                    password are written as %40 %3A %2F %3F %23";

/// The address of a server and a database on it.
#[derive(Clone)]
pub(super) struct Address {
    /// For the client; it holds the password.
    pub(super) config: Config,
    /// Makes connections.
    pub(super) connector: Connector,
    /// For people; it holds none.
    pub(super) shown: String,
}

impl Address {
    /// Reads an address. The password may also be in the environment, as `PGPASSWORD`.
    pub(super) fn parse(url: &str) -> Result<Self> {
        if !is_clear(url) {
            return Err(Error::config(
                "the ledger's address cannot be read: it has an `@` where none may be, so that it is not clear where its \
                 password ends",
            )
            .hint(HINT));
        }
        let (url, root) = without_root(&verified(url));
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            // The client's own text names the key or what it expected, and never a value.
            Error::config(format!("the ledger's address cannot be read: {}", super::error::told(&error)))
                .hint(HINT)
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            match SOCKETS.iter().find(|folder| Path::new(folder).join(".s.PGSQL.5432").exists()) {
                Some(folder) => config.host_path(folder),
                None => config.host("localhost"),
            };
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("handover");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        config.keepalives_idle(SILENCE);
        if config.get_hosts().len() > 1 {
            // Of several, the one that takes writes.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_ssl_mode() != SslMode::Require {
            // Encrypted without a certificate that can be verified would only look safe.
            config.ssl_mode(SslMode::Disable);
        }
        let connector = Connector::new(&config, root.as_deref())?;
        let shown = shown(&config);
        Ok(Self { config, connector, shown })
    }
}

/// Whether it is clear where the password ends: at the only `@` before the path. Where a character of a password is not
/// written as it should be, a part of it would be taken for the host, the path or an option, and shown as such.
fn is_clear(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (server, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
    let in_a_key = |pair: &str| pair.split('=').next().is_some_and(|key| key.contains('@'));
    match server.matches('@').count() {
        // The client takes the first `@` for the end of the password, wherever it is.
        0 => !behind.contains('@'),
        1 => !path.contains('@') && !query.split('&').any(in_a_key),
        _ => false,
    }
}

/// libpq's two strict modes are to us what `require` is: we always verify the certificate.
fn verified(url: &str) -> String {
    url.replace("sslmode=verify-full", "sslmode=require")
        .replace("sslmode=verify-ca", "sslmode=require")
        .replace("sslmode=allow", "sslmode=prefer")
}

/// The address without `sslrootcert=`, which the client does not know, and that.
fn without_root(url: &str) -> (String, Option<PathBuf>) {
    let Some((place, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (root, rest): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|pair| pair.starts_with("sslrootcert="));
    let root = root.first().and_then(|pair| pair.split_once('=')).map(|(_, file)| file.replace("%2F", "/"));
    let url = if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
    (url, root.map(PathBuf::from))
}

fn shown(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts: Vec<String> = match config.get_hosts() {
        [] => config.get_hostaddrs().iter().map(ToString::to_string).collect(),
        _ => hosts.collect(),
    };
    let port = config.get_ports().first().map(|port| format!(":{port}")).unwrap_or_default();
    let user = config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{user}{}{port}/{database}", hosts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use handover_core::ErrorKind;

    #[test]
    fn what_is_shown_has_no_password() {
        let address =
            Address::parse("postgres://ann:s3cr%40t@db.example:5433/sales?sslmode=disable").unwrap();
        assert_eq!(address.shown, "postgres://ann@db.example:5433/sales");
        assert_eq!(address.config.get_password(), Some(&b"s3cr@t"[..]));
        let socket = Address::parse("postgresql:///sales?host=/run/pg&user=ann&password=s3cret").unwrap();
        assert_eq!(socket.shown, "postgres://ann@/run/pg/sales");
    }

    #[test]
    fn a_wrong_address_is_said_without_its_password() {
        for url in [
            "postgres://ann:s3cret@h:port/db",
            "postgres://ann:s3cret@h/db?sslmode=maybe",
            "postgres://ann:s3cret@h/db?colour=red",
        ] {
            let Err(error) = Address::parse(url) else { panic!("{url} was taken") };
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.hint_text().is_some());
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn a_password_that_is_not_written_as_it_should_be_is_not_shown() {
        for url in [
            "postgres://u:p@s3cret@h/db",
            "postgres://u:12/s3cret@h/db",
            "postgres://u:12?s3cret@h/db",
            "postgres://u:12?a=s3cret@h/db",
            "postgres://u:12#s3cret@h/db",
            "postgres://u:12#a@s3cret@h/db",
            "postgres://u:p@x/s3cret@h/db",
            "postgres://u:p@x?s3cret@h/db",
            "postgres://s3cret@x:p@h/db",
        ] {
            let Err(error) = Address::parse(url) else { panic!("{url} was taken") };
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.hint_text().is_some_and(|hint| hint.contains("%40 %3A %2F")), "{error:?}");
            let said = format!("{error:?} {:?}", error.hint_text());
            assert!(!said.contains("s3cret") && !said.contains("12"), "{said}");
        }
        let address = Address::parse("postgres://u:1%2F2@h/db?application_name=a@b").unwrap();
        assert_eq!(address.config.get_password(), Some(&b"1/2"[..]));
    }

    #[test]
    fn the_strict_modes_of_libpq_are_ours() {
        let mode = |url: &str| Address::parse(url).map(|address| address.config.get_ssl_mode());
        assert_eq!(mode("postgres://h/db").unwrap(), SslMode::Disable);
        let Err(error) = mode("postgres://h/db?sslmode=verify-full&sslrootcert=%2Fnowhere.pem") else {
            panic!("there is no such file")
        };
        assert!(error.to_string().contains("/nowhere.pem"), "{error}");
    }
}
