//! axum-login over tower-sessions, with dwell's store: log in by name, see who you are, log out.
//!
//! ```text
//! cargo run -p web-tests --example axum_login
//! ```

use axum::Router;
use axum::extract::Form;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::{get, post};
use axum_login::tower_sessions::cookie::SameSite;
use axum_login::tower_sessions::cookie::time::Duration;
use axum_login::tower_sessions::{Expiry, SessionManagerLayer};
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, UserId};
use dwell::web::tower_sessions_014::RecordStore;
use serde::Deserialize;
use std::convert::Infallible;

#[derive(Debug, Clone)]
struct User {
    name: String,
}

impl AuthUser for User {
    type Id = String;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn session_auth_hash(&self) -> &[u8] {
        // A real site gives the password's hash: who changes the password is logged out everywhere.
        self.name.as_bytes()
    }
}

/// Believes whatever name a user logs in with.
#[derive(Debug, Clone)]
struct Everybody;

#[derive(Debug, Clone, Deserialize)]
struct Credentials {
    name: String,
}

impl AuthnBackend for Everybody {
    type User = User;
    type Credentials = Credentials;
    type Error = Infallible;

    async fn authenticate(&self, given: Credentials) -> Result<Option<User>, Infallible> {
        Ok((!given.name.is_empty()).then_some(User { name: given.name }))
    }

    async fn get_user(&self, name: &UserId<Self>) -> Result<Option<User>, Infallible> {
        Ok(Some(User { name: name.clone() }))
    }
}

type Auth = AuthSession<Everybody>;

async fn home(auth: Auth) -> Html<String> {
    Html(match auth.user {
        Some(user) => format!(
            "logged in as {} <form method=post action=/logout><button>Log out</button></form>",
            user.name.replace('&', "&amp;").replace('<', "&lt;")
        ),
        None => "<form method=post action=/login><input name=name> <button>Log in</button></form>"
            .into(),
    })
}

async fn log_in(mut auth: Auth, Form(given): Form<Credentials>) -> impl IntoResponse {
    match auth.authenticate(given).await {
        // axum-login changes the session's id here.
        Ok(Some(user)) if auth.login(&user).await.is_ok() => Redirect::to("/").into_response(),
        Ok(None) => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn log_out(mut auth: Auth) -> impl IntoResponse {
    match auth.logout().await {
        Ok(_) => Redirect::to("/").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    // axum-login 0.18 builds upon the older of the two versions.
    let store = RecordStore::new(Some(1_000_000));
    // Without TLS, the cookie cannot be secure.
    let sessions = SessionManagerLayer::new(store)
        .with_secure(false)
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(Duration::minutes(30)));
    let router = Router::new()
        .route("/", get(home))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .layer(AuthManagerLayerBuilder::new(Everybody, sessions).build());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, router).await
}
