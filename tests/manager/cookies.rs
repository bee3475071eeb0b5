//! The manager's cookies: what it sets, and what of a request's it takes for one of its own.

use crate::sessions::{IDLE, seconds};
use crate::site::{NAME, Site, attributes, issued, set_cookie};
use crate::strict_cookies::{Held, held};
use dwell::manager::{Manager, ManagerError};
use dwell::session::{SessionId, Settings};
use http::{HeaderMap, HeaderValue, header};
use pollster::block_on;
use proptest::prelude::*;
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
    let id = issued(&response).unwrap();
    assert!(SessionId::parse(&id).is_some());
    // What is sensitive is shown by no log of headers.
    assert!(response[header::SET_COOKIE].is_sensitive());
    assert!(!format!("{response:?}").contains(&id));
}

fn max_age(response: &HeaderMap) -> Option<String> {
    let attributes = attributes(response).into_iter();
    attributes
        .filter_map(|attribute| attribute.strip_prefix("Max-Age=").map(str::to_owned))
        .next()
}

#[test]
fn a_lifetime_that_is_set_later_is_the_cookies_too() {
    let settings = Settings::new(IDLE).max_lifetime(seconds(3_600));
    let site = Site::with(settings.grace(seconds(5)));
    let id = site.visit();
    let month = 30 * 24 * 3_600;
    for lifetime in [month, 60] {
        let session = site.start_as(&id);
        block_on(session.set_lifetime(seconds(lifetime))).unwrap();
        let response = site.finish(session);
        assert_eq!(issued(&response).as_ref(), Some(&id), "the same id");
        assert_eq!(max_age(&response).unwrap(), lifetime.to_string());
        assert_eq!(response[header::CACHE_CONTROL], "no-store");
    }
    block_on(site.start_as(&id).set_lifetime(seconds(month))).unwrap();

    // Of an old id the client must not hear again: it has the newest, or is about to get it.
    let late = site.start_as(&id);
    let renewing = site.start_as(&id);
    block_on(renewing.renew()).unwrap();
    block_on(late.set_lifetime(seconds(7_200))).unwrap();
    assert!(set_cookie(&site.finish(late)).is_none());
    let newest = issued(&site.finish(renewing)).unwrap();
    let session = site.start_as(&newest);
    let seen = block_on(session.snapshot()).unwrap().unwrap();
    assert_eq!(seen.lifetime_left, Some(seconds(7_200)), "it was set");

    // A clone that renews meanwhile has the newest.
    block_on(session.clone().renew()).unwrap();
    block_on(session.set_lifetime(seconds(600))).unwrap();
    let id = session.id().unwrap().to_cookie();
    let response = site.finish(session.clone());
    assert_eq!(issued(&response), Some(id));
    assert_eq!(max_age(&response).as_deref(), Some("600"));

    // When the response is off, the lifetime is set at the server alone.
    block_on(session.set_lifetime(seconds(700))).unwrap();
    assert!(set_cookie(&site.finish(session)).is_none());
}

#[test]
fn the_cookie_lasts_as_long_as_the_session_can() {
    let site = Site::with(Settings::new(IDLE).max_lifetime(seconds(100)));
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
fn a_name_that_browsers_hold_to_rules_of_their_own_is_refused() {
    for name in [
        "__Host-sid",
        "__Secure-sid",
        "__Http-sid",
        "__Host-Http-sid",
        "__host-sid",
        "__SECURE-sid",
        "__hTTp-",
    ] {
        for builder in [Manager::builder(name), Manager::builder(name).plain_http()] {
            let refused = builder.build().unwrap_err();
            assert!(
                matches!(refused, ManagerError::CookiePrefix { .. }),
                "{name}"
            );
            assert!(refused.to_string().contains("leave it out"), "{refused}");
        }
    }
    // Browsers drop a cookie of more than 4,096 bytes.
    let long = "x".repeat(4_001);
    let senseless = [
        "",
        "s id",
        "sid;",
        "sid=",
        "s\u{ef}d",
        "sid\t",
        "\u{2000}sid",
        &long,
    ];
    for name in senseless {
        let refused = Manager::builder(name).build().unwrap_err();
        assert!(
            matches!(refused, ManagerError::CookieName { .. }),
            "{name:?}"
        );
    }
    for name in [
        "Host-sid",
        "__sid",
        "Secure-",
        "x__Host-sid",
        "_",
        &long[1..],
    ] {
        assert!(Manager::builder(name).build().is_ok(), "{name}");
        assert!(
            Manager::builder(name).plain_http().build().is_ok(),
            "{name}"
        );
    }
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
        vec![format!("{NAME}=planted; {cookie}")],
        vec![format!("{cookie}; a=b; {NAME}=planted")],
        vec![cookie.clone(), format!("{NAME}=planted")],
        vec![format!("{NAME}=; {cookie}; {cookie}")],
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
fn the_same_cookie_twice_is_one() {
    let site = Site::new();
    let cookie = format!("{NAME}={}", site.visit());
    for same in [
        vec![format!("{cookie}; {cookie}")],
        vec![cookie.clone(), cookie.clone()],
        vec![format!("a=b;\t{cookie} ;{cookie}"), format!(" {cookie}\t")],
    ] {
        let same: Vec<_> = same.iter().map(String::as_str).collect();
        assert!(!site.start(&same).is_new(), "{same:?}");
    }
    assert!(site.start(&[&format!("{NAME}=x; {NAME}=x")]).is_new());
    let stats = site.manager.stats();
    assert_eq!((stats.duplicate, stats.malformed), (0, 1));
}

/// Whether the manager finds a session, and whether the strict reader says that it should.
fn both_find(site: &Site, id: &str, headers: &[&[u8]]) -> Option<(bool, bool)> {
    let mut request = HeaderMap::new();
    for header in headers {
        request.append(header::COOKIE, HeaderValue::from_bytes(header).ok()?);
    }
    let is_found = !block_on(site.manager.start(&request)).unwrap().is_new();
    Some((is_found, held(headers, NAME) == Held::One(id.into())))
}

/// A browser gives the prefix to the name that it reads, and anybody may set a cookie of another
/// name. So nothing but SP and HTAB, which browsers take away, may stand beside ours.
#[test]
fn of_all_characters_only_the_white_space_of_cookies_is_none_of_a_name_or_value() {
    let site = Site::new();
    let id = site.visit();
    let mut header = Vec::new();
    for character in '\0'..=char::MAX {
        let mut found = 0;
        for (before_name, after_name, before_value, after_value) in [
            (Some(character), None, None, None),
            (None, Some(character), None, None),
            (None, None, Some(character), None),
            (None, None, None, Some(character)),
        ] {
            let mut utf8 = [0; 4];
            let mut push = |header: &mut Vec<u8>, character: Option<char>, text: &str| {
                let character = character.map(|character| &*character.encode_utf8(&mut utf8));
                header.extend_from_slice(character.unwrap_or_default().as_bytes());
                header.extend_from_slice(text.as_bytes());
            };
            header.clear();
            push(&mut header, before_name, NAME);
            push(&mut header, after_name, "=");
            push(&mut header, before_value, &id);
            push(&mut header, after_value, "");
            let Some((is_found, should_be)) = both_find(&site, &id, &[&header]) else {
                continue;
            };
            assert_eq!(
                is_found,
                should_be,
                "{character:?}: {}",
                header.escape_ascii()
            );
            found += u32::from(is_found);
        }
        // A `;` before the name or after the value ends another cookie.
        let expected = match character {
            ' ' | '\t' => 4,
            ';' => 2,
            _ => 0,
        };
        assert_eq!(found, expected, "{character:?}");
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

    /// Ours, a neighbour's, and whatever may stand around them, in one header or two.
    #[test]
    fn any_header_is_read_as_the_strict_reader_reads_it(
        parts in prop::collection::vec(0_usize..16, 0..12), cut in 0_usize..12,
    ) {
        let site = Site::new();
        let (id, neighbour) = (site.visit(), site.visit());
        let (ours, others) = (format!("{NAME}={id}"), format!("{NAME}={neighbour}"));
        let pieces: [&[u8]; 16] = [
            ours.as_bytes(), ours.as_bytes(), others.as_bytes(), NAME.as_bytes(), id.as_bytes(),
            b"=", b";", b"; ", b";", b" ", b"\t", "\u{2000}".as_bytes(), b"\xa0", b"\"", b"%20", b"a",
        ];
        let joined = |parts: &[usize]| -> Vec<u8> {
            parts.iter().flat_map(|&part| pieces[part]).copied().collect()
        };
        let (first, second) = parts.split_at(cut.min(parts.len()));
        let (first, second) = (joined(first), joined(second));
        let Some((is_found, should_be)) = both_find(&site, &id, &[&first, &second]) else {
            return Ok(());
        };
        let is_neighbours = held(&[&first, &second], NAME) == Held::One(neighbour.into());
        prop_assert_eq!(is_found, should_be || is_neighbours);
    }
}
