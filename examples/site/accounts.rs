//! Sign-up, login, logout. Passwords are hashed with argon2.

use super::{Answer, Site, flash, keys, pages, shop::Cart};
use axum::{
    Form,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use dwell::{
    manager::Session,
    session::{SessionError, SessionId},
};
use password_auth::{generate_hash, verify_password};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use tokio::task::spawn_blocking;

/// The account that may see everybody's sessions.
pub const OPERATOR: &str = "operator";
pub const LONGEST_NAME: usize = 64;
pub const SHORTEST_PASSWORD: usize = 8;
pub const LONGEST_PASSWORD: usize = 128;
/// What is kept of a `User-Agent`.
const LONGEST_BROWSER: usize = 300;

/// Names and password hashes. A real site has a database.
pub struct Accounts {
    hashes: RwLock<HashMap<String, String>>,
    /// The hash of no password: to check it takes as long for a name that there is not.
    nobody: String,
}

impl Accounts {
    pub fn new(operators_password: &str) -> Self {
        let operator = (OPERATOR.to_owned(), generate_hash(operators_password));
        Self {
            hashes: RwLock::new(HashMap::from([operator])),
            nobody: generate_hash("nobody's"),
        }
    }

    /// Whether the name was free, or belongs to a user who knows the password. The latter is a
    /// second click, after a first one whose answer was lost.
    fn add_or_find(&self, name: &str, password: &str) -> bool {
        self.add(name, password) || self.is_right(name, password)
    }

    /// Whether the name was free.
    fn add(&self, name: &str, password: &str) -> bool {
        let hash = generate_hash(password);
        let mut hashes = self.hashes.write().expect("no writer panics");
        if hashes.contains_key(name) {
            return false;
        }
        hashes.insert(name.to_owned(), hash);
        true
    }

    fn is_right(&self, name: &str, password: &str) -> bool {
        let hash = self
            .hashes
            .read()
            .expect("no writer panics")
            .get(name)
            .cloned();
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        verify_password(password, &hash).is_ok() && is_known
    }
}

pub fn random_password() -> Result<String, SessionError> {
    let id = SessionId::generate()?;
    Ok(id.to_cookie()[..20].to_owned())
}

#[derive(Deserialize)]
pub struct Credentials {
    name: String,
    password: String,
}

pub async fn sign_up_form(session: Session) -> Answer {
    pages::sign_up(&session, "", None).await
}

pub async fn log_in_form(session: Session) -> Answer {
    pages::log_in(&session, "", None).await
}

pub async fn sign_up(
    State(site): State<Arc<Site>>,
    session: Session,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Answer {
    let name = given.name.trim().to_owned();
    let length = given.password.chars().count();
    let refusal = if name.is_empty() || name.chars().count() > LONGEST_NAME {
        Some(format!("A name has 1 to {LONGEST_NAME} characters."))
    } else if !(SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&length) {
        Some(format!(
            "A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters."
        ))
    } else {
        let (site, name) = (Arc::clone(&site), name.clone());
        let add = spawn_blocking(move || site.accounts.add_or_find(&name, &given.password));
        let is_added = add.await.is_ok_and(|is_added| is_added);
        (!is_added).then(|| "This name is taken.".to_owned())
    };
    if let Some(refusal) = refusal {
        let page = pages::sign_up(&session, &name, Some(&refusal)).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    become_user(&site, &session, &name, &headers).await
}

pub async fn log_in(
    State(site): State<Arc<Site>>,
    session: Session,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Answer {
    let name = given.name.trim().to_owned();
    let is_right = {
        let (site, name) = (Arc::clone(&site), name.clone());
        let check = spawn_blocking(move || site.accounts.is_right(&name, &given.password));
        check.await.is_ok_and(|is_right| is_right)
    };
    if !is_right {
        let refusal = "This is not the name and its password.";
        let page = pages::log_in(&session, &name, Some(refusal)).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    become_user(&site, &session, &name, &headers).await
}

/// Logging in changes the id, so that an id somebody planted or saw before is worth nothing after
/// it. The session stays the same, with its cart and with every visit counted until then. Only then
/// it is the user's.
async fn become_user(site: &Site, session: &Session, name: &str, headers: &HeaderMap) -> Answer {
    let key = session.key();
    match session.log_in(name).await {
        // A double click: another request logged in with this id before, and the browser may have
        // given up waiting for its answer, which has the new id. This one gets a session of its
        // own, and the cart.
        Err(SessionError::Superseded) => {
            session.start_over();
            session.log_in(name).await?;
            let first = key.and_then(|key| site.store.peek_key(&key));
            let first = first.filter(|first| first.owner.as_deref() == Some(name));
            let cart = first.map(|first| first.attributes.get::<Cart>(keys::CART));
            if let Some(Ok(Some(cart))) = cart {
                session.set(keys::CART, (*cart).clone()).await?;
            }
        }
        result => result?,
    }
    let browser = headers.get(header::USER_AGENT);
    let browser = browser.and_then(|browser| browser.to_str().ok());
    let browser: String = browser
        .unwrap_or_default()
        .chars()
        .take(LONGEST_BROWSER)
        .collect();
    session.set(keys::BROWSER, browser).await?;
    flash(session, format!("Welcome, {name}.")).await?;
    let to = if name == OPERATOR { "/sessions" } else { "/" };
    Ok(Redirect::to(to).into_response())
}

/// The session ends here, not just in the browser: its id is worth nothing to anyone who kept it.
pub async fn log_out(session: Session) -> Answer {
    leave(&session, "You are logged out.").await
}

/// Ends a session, and begins another for a message.
pub async fn leave(session: &Session, message: &str) -> Result<Response, super::Failure> {
    session.destroy().await?;
    session.start_over();
    flash(session, message.to_owned()).await?;
    Ok(Redirect::to("/").into_response())
}
