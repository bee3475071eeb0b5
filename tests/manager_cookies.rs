//! The manager's cookies: what it sets, and what of a request's it takes for one of its own.
#![cfg(feature = "sessions")]

mod sessions;
mod site;

use dwell::manager::Manager;
use dwell::session::{SessionId, Settings};
use http::{HeaderMap, HeaderValue, header};
use pollster::block_on;
use proptest::prelude::*;
use sessions::{IDLE, seconds};
use site::{NAME, Site, attributes, issued, set_cookie};
use std::time::Duration;

#[test]
fn the_cookie_is_for_this_host_over_https_and_not_for_scripts() {
    let site = Site::new();
    let session = site.start(&[]);
    block_on(session.set("visits", 1_u64)).unwrap();
    let response = site.finish(session);
    assert!(set_cookie(&response).unwrap().starts_with("__Host-sid="));
    assert_eq!(
        attributes(&response),
        ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]
    );
    assert_eq!(response[header::CACHE_CONTROL], "no-store");
    assert!(SessionId::parse(&issued(&response).unwrap()).is_some());
}

#[test]
fn the_cookie_lasts_as_long_as_the_session_can() {
    let site = Site::with(Settings::new(IDLE).max_lifetime(seconds(100)));
    let max_age = |response: &HeaderMap| {
        let attributes = attributes(response).into_iter();
        attributes
            .filter_map(|attribute| attribute.strip_prefix("Max-Age=").map(str::to_owned))
            .next()
    };
    let session = site.start(&[]);
    block_on(session.set("visits", 1_u64)).unwrap();
    let response = site.finish(session);
    assert_eq!(max_age(&response).as_deref(), Some("100"));

    site.clock.advance(Duration::from_millis(30_500));
    let session = site.start_as(&issued(&response).unwrap());
    block_on(session.renew()).unwrap();
    let response = site.finish(session);
    assert_eq!(max_age(&response).as_deref(), Some("70"), "rounded up");

    let session = site.start_as(&issued(&response).unwrap());
    block_on(session.renew()).unwrap();
    block_on(session.set_lifetime(seconds(5_000))).unwrap();
    assert_eq!(max_age(&site.finish(session)).as_deref(), Some("5000"));
}

#[test]
fn plain_http_gives_up_what_it_must_and_no_more() {
    let manager = Manager::builder("sid").plain_http().build().unwrap();
    let session = block_on(manager.start(&HeaderMap::new())).unwrap();
    block_on(session.set("visits", 1_u64)).unwrap();
    let mut response = HeaderMap::new();
    manager.finish(session, &mut response);
    assert!(set_cookie(&response).unwrap().starts_with("sid="));
    assert_eq!(
        attributes(&response),
        ["HttpOnly", "Path=/", "SameSite=Lax"]
    );
}

#[test]
fn an_id_that_somebody_planted_is_never_adopted() {
    let site = Site::new();
    let planted = "B".repeat(SessionId::TEXT_LENGTH);
    let session = site.start_as(&planted);
    assert!(session.is_new());
    block_on(session.set("visits", 1_u64)).unwrap();
    let id = issued(&site.finish(session)).unwrap();
    assert_ne!(id, planted);
    assert_ne!(id[..22], planted[..22], "not even its key");
    assert!(site.start_as(&planted).is_new());
    assert_eq!(site.manager.stats().unknown, 2);
}

#[test]
fn cookies_that_make_no_sense_count_as_none_and_are_counted() {
    let site = Site::new();
    let id = site.visit();
    let mut malformed = 0;
    for value in [
        "".to_owned(),
        "chosen".to_owned(),
        "A".repeat(SessionId::TEXT_LENGTH - 1),
        "A".repeat(SessionId::TEXT_LENGTH + 1),
        format!("\"{id}\""),
        format!("{id}="),
        format!("{id}%3D"),
        id.replace(&id[..1], "%41"),
        format!("{}é", &id[..62]),
        "../../../../etc/passwd".to_owned(),
        "' OR 1=1 --".to_owned(),
        "A".repeat(10_000),
    ] {
        malformed += 1;
        let mut headers = HeaderMap::new();
        let cookie = HeaderValue::from_bytes(format!("{NAME}={value}").as_bytes()).unwrap();
        headers.insert(header::COOKIE, cookie);
        assert!(
            block_on(site.manager.start(&headers)).unwrap().is_new(),
            "{value}"
        );
        assert_eq!(site.manager.stats().malformed, malformed, "{value}");
    }
    let cookie = format!("{NAME}={id}");
    for duplicates in [
        vec![format!("{cookie}; {cookie}")],
        vec![cookie.clone(), cookie.clone()],
        vec![format!("{NAME}=planted; {cookie}")],
        vec![format!("{cookie}; a=b; {NAME}=planted")],
    ] {
        let duplicates: Vec<_> = duplicates.iter().map(String::as_str).collect();
        assert!(site.start(&duplicates).is_new());
    }
    assert_eq!(site.manager.stats().duplicate, 4);
    let large = format!("a={}", "x".repeat(8_200));
    assert!(site.start(&[&large, &large, &cookie]).is_new());
    assert_eq!(site.manager.stats().oversized, 1);
    assert_eq!(site.store.len(), 1, "none of them made a session");
}

#[test]
fn other_cookies_do_not_hide_ours() {
    let site = Site::new();
    let id = site.visit();
    let cookie = format!("{NAME}={id}");
    let mut strange = HeaderMap::new();
    strange.append(
        header::COOKIE,
        HeaderValue::from_bytes(b"a=\xff\xfe; =; ;;").unwrap(),
    );
    strange.append(header::COOKIE, cookie.parse().unwrap());
    assert!(!block_on(site.manager.start(&strange)).unwrap().is_new());
    for around in [
        format!("theme=dark; {cookie}; lang=de"),
        format!(";;{cookie};"),
        format!("sid=planted; {cookie}"),
        format!("__host-sid=planted; {cookie}"),
        format!("x{NAME}=planted; {cookie}"),
        format!("no value; {cookie}"),
    ] {
        assert!(!site.start(&[&around]).is_new(), "{around}");
    }
}

#[test]
fn sixteen_kibibytes_of_cookies_are_looked_at_and_no_more() {
    let site = Site::new();
    let ours = format!("{NAME}={}", site.visit());
    let other = "x".repeat(16 * 1_024 - ours.len());
    assert!(!site.start(&[&ours, &other]).is_new());
    assert!(site.start(&[&ours, &other, "x"]).is_new());
    assert_eq!(site.manager.stats().oversized, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_header_is_a_session_by_accident(
        bytes in prop::collection::vec(any::<u8>(), 0..200), is_ours in any::<bool>(),
    ) {
        let name = if is_ours { format!("{NAME}=") } else { String::new() };
        let Ok(value) = HeaderValue::from_bytes(&[name.as_bytes(), &bytes].concat()) else {
            return Ok(());
        };
        let site = Site::new();
        site.visit();
        let mut request = HeaderMap::new();
        request.insert(header::COOKIE, value);
        prop_assert!(block_on(site.manager.start(&request)).unwrap().is_new());
        prop_assert_eq!(site.store.len(), 1);
    }

    #[test]
    fn an_id_with_any_character_changed_is_no_session(at in 0_usize..64, other in "[ -:<-~]") {
        let site = Site::new();
        let id = site.visit();
        prop_assume!(id[at..=at] != other);
        // A space at either end is no part of a cookie's value.
        prop_assume!(other != " ");
        let changed = format!("{}{other}{}", &id[..at], &id[at + 1..]);
        prop_assert!(site.start_as(&changed).is_new());
        let stats = site.manager.stats();
        prop_assert_eq!(stats.malformed + stats.unknown, 1);
    }

    #[test]
    fn whatever_stands_around_our_cookie_does_not_hide_it(
        before in "[ -:<-~]{0,40}", after in "[ -:<-~]{0,40}",
    ) {
        prop_assume!(!before.contains(NAME) && !after.contains(NAME));
        let site = Site::new();
        let id = site.visit();
        let session = site.start(&[&format!("{before};{NAME}={id};{after}")]);
        prop_assert!(!session.is_new());
    }
}
