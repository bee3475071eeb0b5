//! Sessions in a Redis server over TLS: with certificates of the test's own, which both sides ask
//! for.

#[path = "../../support/redis_server/mod.rs"]
mod redis_server;

use dwell::provider::redis::{RedisBuildError, RedisBuilder, RedisFailure};
use dwell::provider::testing::conformance;
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, SessionError, Settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use redis_server::asking::{run, set, touch};
use redis_server::lab::Lab;
use redis_server::{LONG, Server, free_port};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

const IDLE: Duration = Duration::from_secs(600);
/// What the tests allow where the server will not answer.
const SHORT: Duration = Duration::from_millis(500);

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut parameters.distinguished_name;
        name.push(DnType::CommonName, "an authority of the test's");
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(parameters, key).expect("an authority"))
    }

    fn sign(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = parameters.signed_by(&key, &self.0).expect("a certificate");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A server that speaks TLS, and the clear text that the test controls it with.
struct Secured {
    server: Server,
    port: u16,
    authority: Authority,
    client: Identity,
    _files: TempDir,
}

impl Secured {
    /// `name`: what the server's certificate is for.
    fn start(name: &str) -> Self {
        let authority = Authority::new();
        let files = TempDir::new().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = files.path().join(name);
            fs::write(&path, text).expect("a file");
            path.to_str().expect("a path").to_owned()
        };
        let own = authority.sign(name);
        let port = free_port();
        let server = Server::with(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &write("server.pem", &own.certificate),
            "--tls-key-file",
            &write("server.key", &own.key),
            "--tls-ca-cert-file",
            &write("authority.pem", &authority.0.pem()),
        ]);
        Self {
            server,
            port,
            client: authority.sign("client"),
            authority,
            _files: files,
        }
    }

    fn address(&self) -> String {
        format!("rediss://127.0.0.1:{}/", self.port)
    }

    fn builder(&self) -> RedisBuilder {
        let settings = Settings::new(IDLE).touch_resolution(IDLE / 10);
        RedisProvider::builder(self.address(), "test", settings).timeout(LONG)
    }

    /// Knows whom to trust, and is known to the server.
    fn trusted(&self) -> RedisBuilder {
        let Identity { certificate, key } = &self.client;
        self.builder()
            .tls_roots(self.authority.0.pem())
            .tls_identity(&**certificate, &**key)
    }
}

/// Is refused, and in the end for a reason that says `why`: a machine may stand still until the
/// time is over.
async fn refused(builder: RedisBuilder, why: &str) {
    let provider = builder
        .timeout(SHORT)
        .build()
        .expect("the settings are right");
    loop {
        let error: SessionError = provider.init(Attributes::default()).await.unwrap_err();
        let failure = RedisFailure::of(&error).expect("the server's failure");
        assert!(!failure.may_have_been_done(), "{failure:?}");
        // Each error says its own part, and its source the rest.
        let mut said = failure.to_string();
        let mut source = std::error::Error::source(failure);
        while let Some(cause) = source {
            said = format!("{said}: {cause}");
            source = cause.source();
        }
        match failure {
            RedisFailure::Unreachable(_) | RedisFailure::TimedOut { .. } if said.contains(why) => {
                return;
            }
            RedisFailure::TimedOut { .. } => {}
            RedisFailure::Unreachable(_) => assert!(said.contains("timed out"), "{said}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn it_passes_the_conformance_suite_over_tls() {
    let secured = Secured::start("127.0.0.1");
    let (address, roots) = (secured.address(), secured.authority.0.pem());
    let Identity { certificate, key } = secured.authority.sign("client");
    let lab = Lab::of(move |prefix, settings| {
        RedisProvider::builder(&*address, prefix, settings)
            .tls_roots(&*roots)
            .tls_identity(&*certificate, &*key)
    });
    let report = conformance(&lab);
    assert!(report.passed.len() > 36);
}

#[test]
fn a_near_cache_is_told_of_changes_over_tls() {
    run(async {
        let secured = Secured::start("127.0.0.1");
        let near = secured.trusted().near_cache(10).staleness(LONG).build();
        let (near, plain) = (near.unwrap(), secured.trusted().build().unwrap());
        let id = plain.init(Attributes::default()).await.unwrap().id;
        for round in 1..=20_u64 {
            assert!(
                near.read(By::Id(id), Access::Touch)
                    .await
                    .unwrap()
                    .is_some()
            );
            let changes = set("n", round);
            plain.apply(By::Key(id.key()), changes, None).await.unwrap();
            while touch(&near, &id.key(), "n").await != Some(round) {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
fn who_is_not_trusted_is_told_and_nothing_was_done() {
    run(async {
        let secured = Secured::start("127.0.0.1");
        let elsewhere = Secured::start("example.org");
        let stranger = Authority::new();
        // The system does not know the authority; it is another one; the server is another one.
        refused(secured.builder(), "certificate").await;
        let another = secured.trusted().tls_roots(stranger.0.pem());
        refused(another, "certificate").await;
        refused(elsewhere.trusted(), "not valid for name").await;
        // The server does not know the client.
        let nobody = secured.builder().tls_roots(secured.authority.0.pem());
        refused(nobody, "").await;
        let Identity { certificate, key } = stranger.sign("client");
        let unknown = secured.trusted().tls_identity(certificate, key);
        refused(unknown, "").await;
        assert!(secured.server.keys().is_empty() && elsewhere.server.keys().is_empty());
    });
}

#[test]
fn certificates_for_an_address_without_tls_are_refused() {
    let settings = Settings::new(IDLE);
    let roots = Authority::new().0.pem();
    let plain = RedisProvider::builder("redis://127.0.0.1/", "test", settings).tls_roots(roots);
    assert!(matches!(plain.build(), Err(RedisBuildError::Address(_))));
}
