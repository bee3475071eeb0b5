//! actix-web with dwell's sessions: visits are counted, and everybody may start over.
//!
//! ```text
//! cargo run -p web-tests --example actix
//! ```

use actix_session::config::{PersistentSession, TtlExtensionPolicy};
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::{Key, time::Duration};
use actix_web::http::header;
use actix_web::{App, HttpResponse, HttpServer, get, post};
use dwell::web::actix_session::RecordStore;

#[get("/")]
async fn home(session: Session) -> actix_web::Result<HttpResponse> {
    let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    let page =
        format!("visits: {visits} <form method=post action=/leave><button>Leave</button></form>");
    Ok(HttpResponse::Ok().content_type("text/html").body(page))
}

#[post("/leave")]
async fn leave(session: Session) -> HttpResponse {
    session.purge();
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, "/"))
        .finish()
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    // One store for all workers: a clone is another reference to the same sessions.
    let store = RecordStore::new(Some(1_000_000));
    let key = Key::generate();
    let server = HttpServer::new(move || {
        // Half an hour from the last request on. Without TLS, the cookie cannot be secure.
        let lifecycle = PersistentSession::default()
            .session_ttl(Duration::minutes(30))
            .session_ttl_extension_policy(TtlExtensionPolicy::OnEveryRequest);
        let sessions = SessionMiddleware::builder(store.clone(), key.clone())
            .session_lifecycle(lifecycle)
            .cookie_secure(false)
            .build();
        App::new().wrap(sessions).service(home).service(leave)
    });
    let server = server.bind(("127.0.0.1", 0))?;
    for address in server.addrs() {
        println!("http://{address}");
    }
    server.run().await
}
