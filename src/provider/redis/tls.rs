//! Connections over TLS, with rustls.

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisError, TlsCertificates};
use rustls::crypto::{CryptoProvider, ring};

/// What is not the system's: whom to trust, and who this is.
#[derive(Clone, Default)]
pub(super) struct Tls {
    /// In PEM, as the other two are.
    pub(super) roots: Option<Vec<u8>>,
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    pub(super) fn open(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        let is_plain = !matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        if is_plain && self.roots.is_none() && self.identity.is_none() {
            return Client::open(info);
        }
        if CryptoProvider::get_default().is_none() {
            // The program has not chosen one, and rustls needs one. If somebody else was faster,
            // theirs is as good.
            let _ = ring::default_provider().install_default();
        }
        let identity = self.identity.clone();
        let client_tls = identity.map(|(client_cert, client_key)| ClientTlsConfig {
            client_cert,
            client_key,
        });
        let root_cert = self.roots.clone();
        let certificates = TlsCertificates {
            client_tls,
            root_cert,
        };
        Client::build_with_tls(info, certificates)
    }
}
