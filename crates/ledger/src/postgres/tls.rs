//! Making a connection. None is encrypted yet: what asks for it is refused with the way out.

use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, Connection, NoTls, Socket};

/// Whether this build can encrypt a connection.
pub(super) const AVAILABLE: bool = false;

/// Connects.
pub(super) async fn connect(
    config: &Config,
) -> Result<(Client, Connection<Socket, NoTlsStream>), tokio_postgres::Error> {
    config.connect(NoTls).await
}
