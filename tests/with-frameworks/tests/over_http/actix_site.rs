//! actix-web with actix-session.

use crate::http::Client;
use crate::{Gates, Site, known_keys};
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::dev::ServerHandle;
use actix_web::rt::System;
use actix_web::web::{self, Bytes, Data, Path};
use actix_web::{App, HttpServer};
use dwell::web::actix_session::RecordStore;
use std::sync::{Arc, mpsc};
use std::thread;

pub struct ActixSite {
    client: Client,
    gates: Arc<Gates>,
    store: RecordStore,
    server: ServerHandle,
}

async fn count(session: Session) -> String {
    let count = session.get::<u64>("count").unwrap().unwrap_or(0) + 1;
    session.insert("count", count).unwrap();
    count.to_string()
}

async fn look(session: Session) -> String {
    let keys: Vec<_> = known_keys()
        .into_iter()
        .filter(|key| session.contains_key(key))
        .collect();
    keys.join(" ")
}

// The middleware has loaded the session before the handler runs.
async fn crowd(gates: Data<Gates>, key: Path<String>, session: Session) -> &'static str {
    gates.crowd.wait().await;
    session.insert(key.into_inner(), true).unwrap();
    "set"
}

async fn slow(gates: Data<Gates>, session: Session) -> &'static str {
    gates.slow_has_begun.notify_one();
    gates.slow_may_end.notified().await;
    session.insert("late", true).unwrap();
    "set"
}

async fn leave(session: Session) -> &'static str {
    session.purge();
    "left"
}

async fn panics(session: Session) -> &'static str {
    session.insert("before", true).unwrap();
    panic!("as a handler may");
}

async fn upload(session: Session, body: Bytes) -> &'static str {
    session.insert("uploaded", body.len()).unwrap();
    "set"
}

impl ActixSite {
    pub fn new() -> Self {
        let store = RecordStore::new(None);
        let gates = Gates::new();
        let (shared, data) = (store.clone(), Data::from(Arc::clone(&gates)));
        let key = Key::generate();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            System::new().block_on(async move {
                let app = move || {
                    App::new()
                        .app_data(data.clone())
                        .wrap(SessionMiddleware::new(shared.clone(), key.clone()))
                        .route("/count", web::get().to(count))
                        .route("/look", web::get().to(look))
                        .route("/crowd/{key}", web::get().to(crowd))
                        .route("/slow", web::get().to(slow))
                        .route("/leave", web::get().to(leave))
                        .route("/panics", web::get().to(panics))
                        .route("/upload", web::post().to(upload))
                };
                let server = HttpServer::new(app).workers(2).disable_signals();
                let server = server.bind(("127.0.0.1", 0)).unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                tell.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, server) = told.recv().expect("a server");
        Self {
            client: Client(address),
            gates,
            store,
            server,
        }
    }
}

impl Drop for ActixSite {
    fn drop(&mut self) {
        // Told at once; what it answers is that it has stopped.
        drop(self.server.stop(false));
    }
}

impl Site for ActixSite {
    fn client(&self) -> &Client {
        &self.client
    }

    fn gates(&self) -> &Gates {
        &self.gates
    }

    fn counts(&self) -> (usize, u64) {
        (self.store.stats().live, self.store.refused_saves())
    }
}
