//! The shop: visits, a cart, and an order that goes nowhere.

use super::{Answer, Site, flash, keys, pages};
use axum::{
    Form,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect},
};
use dwell::{manager::Session, session::SessionError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many of what.
pub type Cart = BTreeMap<String, u32>;

pub const GOODS: [(&str, &str); 6] = [
    ("Lighthouse tea", "strong, for long nights"),
    ("Brass key", "fits nothing yet"),
    ("Paper lantern", "folds flat"),
    ("Field notebook", "grid, 96 pages"),
    ("Wool socks", "grey, one size"),
    ("Hourglass", "thirty minutes"),
];
const MOST_OF_A_KIND: u32 = 99;

/// Counts a visit, atomically: requests running in parallel lose none.
pub async fn home(State(site): State<Arc<Site>>, session: Session) -> Answer {
    let count = |visits: Option<&u64>| visits.map_or(1, |visits| visits + 1);
    let visits = session.update(keys::VISITS, count).await?;
    pages::home(&site, &session, *visits).await
}

pub async fn cart(session: Session) -> Answer {
    pages::cart(&session, &in_cart(&session).await?).await
}

pub async fn in_cart(session: &Session) -> Result<Cart, SessionError> {
    let cart = session.get::<Cart>(keys::CART).await?;
    Ok(cart.map(|cart| (*cart).clone()).unwrap_or_default())
}

#[derive(Deserialize)]
pub struct Choice {
    item: String,
}

/// Two tabs may add at the same time: each adds to what there is.
pub async fn add(session: Session, Form(choice): Form<Choice>) -> Answer {
    if !GOODS.iter().any(|(name, _)| *name == choice.item) {
        return Ok(StatusCode::UNPROCESSABLE_ENTITY.into_response());
    }
    session
        .update(keys::CART, |cart: Option<&Cart>| {
            let mut cart = cart.cloned().unwrap_or_default();
            let count = cart.entry(choice.item.clone()).or_default();
            *count = (*count + 1).min(MOST_OF_A_KIND);
            cart
        })
        .await?;
    flash(&session, format!("{} is in your cart.", choice.item)).await?;
    Ok(Redirect::to("/").into_response())
}

pub async fn remove(session: Session, Form(choice): Form<Choice>) -> Answer {
    session
        .update(keys::CART, |cart: Option<&Cart>| {
            let mut cart = cart.cloned().unwrap_or_default();
            cart.remove(&choice.item);
            cart
        })
        .await?;
    Ok(Redirect::to("/cart").into_response())
}

/// Takes the cart and leaves a message, in one step: two clicks order once.
pub async fn order(session: Session) -> Answer {
    session
        .update_all(|attributes| {
            let cart = attributes.take::<Cart>(keys::CART)?;
            let pieces: u32 = cart.iter().flat_map(|cart| cart.values()).sum();
            match pieces {
                0 => Ok(()),
                1 => attributes.set(
                    keys::FLASH,
                    String::from("One piece is ordered. Thank you."),
                ),
                _ => attributes.set(
                    keys::FLASH,
                    format!("{pieces} pieces are ordered. Thank you."),
                ),
            }
        })
        .await?;
    Ok(Redirect::to("/").into_response())
}
