//! "Where am I logged in": the sessions of a user, to look at and to end.

use super::{Answer, Failure, Site, accounts::leave, flash, pages};
use axum::{
    Form,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use dwell::{
    manager::Session,
    provider::{MemoryProvider, Provider},
    session::SessionKey,
};
use serde::Deserialize;
use std::sync::Arc;

/// The user, or the way to the login.
async fn user(session: &Session) -> Result<Result<Arc<str>, Response>, Failure> {
    let user = session.owner().await?;
    Ok(user.ok_or_else(|| Redirect::to("/login").into_response()))
}

pub async fn list(State(site): State<Arc<Site>>, session: Session) -> Answer {
    let user = match user(&session).await? {
        Ok(user) => user,
        Err(to_login) => return Ok(to_login),
    };
    let provider = MemoryProvider::new(site.store.clone());
    let mut sessions = provider.owned_by(&user).await?;
    sessions.sort_by_key(|session| session.idle_for);
    pages::devices(&session, &sessions).await
}

/// A session by its key, which is no credential: a page may hold it.
#[derive(Deserialize)]
pub struct Chosen {
    key: String,
}

pub async fn end(
    State(site): State<Arc<Site>>,
    session: Session,
    Form(chosen): Form<Chosen>,
) -> Answer {
    let user = match user(&session).await? {
        Ok(user) => user,
        Err(to_login) => return Ok(to_login),
    };
    let Some(key) = SessionKey::parse(&chosen.key) else {
        return Ok(StatusCode::UNPROCESSABLE_ENTITY.into_response());
    };
    if session.key() == Some(key) {
        return leave(&session, "You are logged out.").await;
    }
    // Nobody ends the session of somebody else.
    let chosen = site.store.peek_key(&key);
    if chosen.is_some_and(|chosen| chosen.owner.as_deref() == Some(&*user)) {
        site.store.destroy(&key);
        flash(&session, "That session has ended.".into()).await?;
    }
    Ok(Redirect::to("/devices").into_response())
}

/// By the provider, which lets other requests run in between.
async fn end_all_but(site: &Site, user: &str, here: &Session) -> Result<usize, Failure> {
    let provider = MemoryProvider::new(site.store.clone());
    let ended = provider.destroy_owned_by(user, here.key().as_ref()).await?;
    Ok(ended)
}

pub async fn end_others(State(site): State<Arc<Site>>, session: Session) -> Answer {
    let user = match user(&session).await? {
        Ok(user) => user,
        Err(to_login) => return Ok(to_login),
    };
    let ended = end_all_but(&site, &user, &session).await?;
    let message = match ended {
        0 => "There was no other session.".to_owned(),
        1 => "One other session has ended.".to_owned(),
        _ => format!("{ended} other sessions have ended."),
    };
    flash(&session, message).await?;
    Ok(Redirect::to("/devices").into_response())
}

pub async fn end_all(State(site): State<Arc<Site>>, session: Session) -> Answer {
    let user = match user(&session).await? {
        Ok(user) => user,
        Err(to_login) => return Ok(to_login),
    };
    end_all_but(&site, &user, &session).await?;
    leave(&session, "You are logged out everywhere.").await
}
