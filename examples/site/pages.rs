//! The pages. maud escapes whatever is spliced in, user names included.

use super::accounts::{LONGEST_NAME, LONGEST_PASSWORD, SHORTEST_PASSWORD};
use super::shop::{Cart, GOODS, in_cart};
use super::{Answer, Site, keys};
use axum::response::IntoResponse;
use dwell::{
    manager::Session,
    session::{SessionError, SessionInfo},
};
use maud::{DOCTYPE, Markup, html};
use std::time::Duration;

/// A page with its frame: who is logged in, and the message that is shown once.
pub async fn page(session: &Session, title: &str, content: Markup) -> Answer {
    Ok(frame(session, title, &[], content).await?.into_response())
}

pub async fn frame(
    session: &Session,
    title: &str,
    scripts: &[&str],
    content: Markup,
) -> Result<Markup, SessionError> {
    let user = session.owner().await?;
    let pieces: u32 = in_cart(session).await?.values().sum();
    let notice = session.take::<String>(keys::NOTICE).await?;
    let message = session.take::<String>(keys::FLASH).await?;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, scripts))
            body {
                header {
                    a .brand href="/" { "Dwell & Co." }
                    nav {
                        a href="/cart" { "Cart" @if pieces > 0 { " " span .count { (pieces) } } }
                        @if let Some(user) = &user {
                            @if &**user == super::accounts::OPERATOR { a href="/sessions" { "Sessions" } }
                            a href="/devices" { "Where am I logged in" }
                            form method="post" action="/logout" { button .plain { "Log out" } }
                        } @else {
                            a href="/login" { "Log in" }
                            a href="/signup" { "Sign up" }
                        }
                    }
                }
                main {
                    @if let Some(notice) = notice { p .flash role="status" { (notice) } }
                    @if let Some(message) = message { p .flash role="status" { (message) } }
                    h1 { (title) }
                    (content)
                }
            }
        }
    })
}

fn head(title: &str, scripts: &[&str]) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            link rel="icon" href="data:,";
            link rel="stylesheet" href="/site.css";
            title { (title) " · Dwell & Co." }
            @for script in scripts { script src=(script) defer {} }
        }
    }
}

/// A page that has to do with nobody's session.
pub fn plain(title: &str, about: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, &[]))
            body {
                header { a .brand href="/" { "Dwell & Co." } }
                main {
                    h1 { (title) }
                    p { (about) }
                    p { a href="/" { "To the shop" } }
                }
            }
        }
    }
}

pub async fn home(site: &Site, session: &Session, visits: u64) -> Answer {
    let user = session.owner().await?;
    let left = session.key().and_then(|key| site.store.time_left(&key));
    let seconds = left.map_or(0, |left| left.as_millis().div_ceil(1000));
    let content = html! {
        p .lead {
            @if let Some(user) = user { "logged in as " strong { (user) } " · " }
            "visits: " (visits)
        }
        ul .goods {
            @for (name, about) in GOODS {
                li {
                    div { strong { (name) } span .hint { (about) } }
                    form method="post" action="/cart" {
                        button name="item" value=(name) aria-label={ "Add " (name) } { "Add" }
                    }
                }
            }
        }
        p .hint {
            "Left alone, this session lapses in " span #left { (seconds) }
            " s; every visit starts the time afresh. The cart goes with it."
        }
    };
    let page = frame(session, "A small shop", &["/countdown.js"], content).await?;
    Ok(page.into_response())
}

pub async fn cart(session: &Session, cart: &Cart) -> Answer {
    let content = html! {
        @if cart.is_empty() {
            p { "There is nothing in it." }
            p { a href="/" { "To the shop" } }
        } @else {
            table {
                thead { tr { th { "Item" } th .number { "Pieces" } th {} } }
                tbody {
                    @for (item, pieces) in cart {
                        tr {
                            td { (item) }
                            td .number { (pieces) }
                            td .actions {
                                form method="post" action="/cart/remove" {
                                    button .plain name="item" value=(item) aria-label={ "Remove " (item) } { "Remove" }
                                }
                            }
                        }
                    }
                }
            }
            form method="post" action="/cart/order" { button { "Order" } }
        }
    };
    page(session, "Your cart", content).await
}

pub async fn sign_up(session: &Session, name: &str, refusal: Option<&str>) -> Answer {
    let content = html! {
        (credentials("/signup", "Sign up", "new-password", name, refusal))
        p .hint { "A password has at least " (SHORTEST_PASSWORD) " characters." }
        p .hint { "This shop forgets its customers when it closes. " a href="/login" { "Log in" } " if you have an account." }
    };
    page(session, "Sign up", content).await
}

pub async fn log_in(session: &Session, name: &str, refusal: Option<&str>) -> Answer {
    let content = html! {
        (credentials("/login", "Log in", "current-password", name, refusal))
        p .hint { "No account yet? " a href="/signup" { "Sign up" } }
    };
    page(session, "Log in", content).await
}

/// `name` is what was given before, if that was refused.
fn credentials(
    action: &str,
    verb: &str,
    password: &str,
    name: &str,
    refusal: Option<&str>,
) -> Markup {
    html! {
        @if let Some(refusal) = refusal { p .refusal role="alert" { (refusal) } }
        form .card method="post" action=(action) {
            label {
                "Name"
                input name="name" value=(name) autocomplete="username" maxlength=(LONGEST_NAME) required
                    autofocus[name.is_empty()];
            }
            label {
                "Password"
                input name="password" type="password" autocomplete=(password)
                    minlength=(SHORTEST_PASSWORD) maxlength=(LONGEST_PASSWORD) required
                    autofocus[!name.is_empty()];
            }
            button { (verb) }
        }
    }
}

pub async fn devices(session: &Session, sessions: &[SessionInfo]) -> Answer {
    let own = session.key();
    let content = html! {
        table {
            thead { tr { th { "Browser" } th .tag { "Session" } th .number { "Since" } th .number { "Last used" } th {} } }
            tbody {
                @for listed in sessions {
                    tr {
                        td {
                            (browser(listed))
                            @if own == Some(listed.key) { " " span .here { "this one" } }
                        }
                        td .tag { (listed.key.tag()) }
                        td .number { (ago(listed.age)) }
                        td .number { (ago(listed.idle_for)) }
                        td .actions {
                            form method="post" action="/devices/end" {
                                button .plain name="key" value=(listed.key.to_text())
                                    aria-label={ "End the session of " (browser(listed)) } { "End" }
                            }
                        }
                    }
                }
            }
        }
        div .buttons {
            form method="post" action="/devices/end-others" { button { "Log out everywhere else" } }
            form method="post" action="/devices/end-all" { button .danger { "Log out everywhere" } }
        }
    };
    page(session, "Where am I logged in", content).await
}

/// The browser that the session was logged in with, in short.
fn browser(session: &SessionInfo) -> String {
    let given = session.attributes.get::<String>(keys::BROWSER);
    let Ok(Some(given)) = given else {
        return "unknown".to_owned();
    };
    let find = |names: &[(&str, &'static str)]| {
        let found = names.iter().find(|(part, _)| given.contains(part));
        found.map(|(_, name)| *name)
    };
    let program = find(&[
        ("Edg/", "Edge"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = find(&[
        ("Android", "Android"),
        ("iPhone", "iOS"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (program, system) {
        (Some(program), Some(system)) => format!("{program} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => "unknown".to_owned(),
    }
}

pub fn ago(time: Duration) -> String {
    match time.as_secs() {
        0 => "now".to_owned(),
        seconds @ 1..60 => format!("{seconds} s ago"),
        seconds @ 60..3_600 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3_600),
    }
}
