//! What the manager does, without a web framework: a login with a renewed id, a cart that parallel
//! requests fill, and a logout everywhere. Requests and responses are headers of the `http` crate.
//!
//! ```text
//! cargo run --example sessions
//! ```

use dwell::manager::Manager;
use dwell::session::{SessionError, Settings};
use http::{HeaderMap, header};
use pollster::block_on;
use std::error::Error;
use std::thread;
use std::time::Duration;

/// A browser: it keeps one cookie.
#[derive(Default, Clone)]
struct Browser {
    cookie: Option<String>,
}

impl Browser {
    fn request(&self) -> HeaderMap {
        let mut request = HeaderMap::new();
        if let Some(cookie) = &self.cookie {
            request.insert(header::COOKIE, cookie.parse().expect("it came in a header"));
        }
        request
    }

    fn take(&mut self, response: &HeaderMap) {
        if let Some(set) = response.get(header::SET_COOKIE) {
            let set = set.to_str().expect("the manager writes plain text");
            self.cookie = set.split(';').next().map(str::to_owned);
        }
    }
}

/// A handler: puts one thing more into the cart. Returns how many there are.
async fn add_to_cart(manager: &Manager, browser: &mut Browser) -> Result<usize, SessionError> {
    let session = manager.start(&browser.request()).await?;
    let cart = session
        .update("cart", |cart: Option<&Vec<String>>| {
            let mut cart = cart.cloned().unwrap_or_default();
            cart.push(format!("thing {}", cart.len() + 1));
            cart
        })
        .await?;
    let mut response = HeaderMap::new();
    manager.finish(session, &mut response);
    browser.take(&response);
    Ok(cart.len())
}

/// A handler: logs a user in, whose password was checked before.
async fn log_in(manager: &Manager, browser: &mut Browser, user: &str) -> Result<(), SessionError> {
    let session = manager.start(&browser.request()).await?;
    // A new id and the owner, in one step: whoever planted or saw the old id has nothing from it.
    session.log_in(user).await?;
    let mut response = HeaderMap::new();
    manager.finish(session, &mut response);
    browser.take(&response);
    Ok(())
}

/// A handler: who is it?
async fn user(manager: &Manager, browser: &Browser) -> Result<String, SessionError> {
    let session = manager.start(&browser.request()).await?;
    let owner = session.owner().await?;
    Ok(owner.map_or_else(|| "nobody".to_owned(), |owner| owner.to_string()))
}

/// A handler: ends the user's other sessions.
async fn log_out_elsewhere(manager: &Manager, browser: &Browser) -> Result<usize, SessionError> {
    let session = manager.start(&browser.request()).await?;
    let (Some(key), Some(owner)) = (session.key(), session.owner().await?) else {
        return Ok(0);
    };
    manager
        .provider()
        .destroy_owned_by(&owner, Some(&key))
        .await
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::new(Duration::from_secs(30 * 60))
        .max_lifetime(Duration::from_secs(12 * 60 * 60))
        .max_per_owner(5);
    let manager = Manager::builder("sid").settings(settings).build()?;

    let mut laptop = Browser::default();
    block_on(add_to_cart(&manager, &mut laptop))?;
    let anonymous = laptop.clone();
    thread::scope(|scope| {
        for _ in 0..9 {
            let mut tab = laptop.clone();
            let manager = &manager;
            scope.spawn(move || block_on(add_to_cart(manager, &mut tab)));
        }
    });
    println!(
        "after 10 parallel requests, 1 more: {} things",
        block_on(add_to_cart(&manager, &mut laptop))?
    );

    block_on(log_in(&manager, &mut laptop, "ann"))?;
    println!("the laptop's user: {}", block_on(user(&manager, &laptop))?);
    println!(
        "who has the id from before: {}",
        block_on(user(&manager, &anonymous))?
    );

    let mut phone = Browser::default();
    block_on(log_in(&manager, &mut phone, "ann"))?;
    println!("the phone's user: {}", block_on(user(&manager, &phone))?);
    println!(
        "ended elsewhere: {}",
        block_on(log_out_elsewhere(&manager, &laptop))?
    );
    println!("the phone's user: {}", block_on(user(&manager, &phone))?);
    println!("the laptop's user: {}", block_on(user(&manager, &laptop))?);
    Ok(())
}
