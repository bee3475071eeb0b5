//! The stores behind their session layers, over real HTTP: requests that overlap, and bad input.

#[path = "../../../support/http.rs"]
mod http;

mod actix_site;
mod tower_site;

use http::{Answer, Client};
use std::io::Write;
use std::sync::Arc;
use std::thread;
use tokio::sync::{Barrier, Notify};

const CROWD: usize = 50;

/// A site with one of the session layers. Its handlers: `/count` counts, `/look` tells the keys,
/// `/crowd/{key}` waits for the whole crowd between loading and setting the key, `/slow` waits to
/// be let go in the same place, `/leave` ends the session, `/panics` does so after setting a key,
/// and `/upload` takes a body.
trait Site {
    fn client(&self) -> &Client;
    fn gates(&self) -> &Gates;
    /// Live sessions, and saves that were refused.
    fn counts(&self) -> (usize, u64);
}

/// Where handlers wait for each other, so that their requests overlap for sure.
struct Gates {
    crowd: Barrier,
    slow_has_begun: Notify,
    slow_may_end: Notify,
}

impl Gates {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            crowd: Barrier::new(CROWD),
            slow_has_begun: Notify::new(),
            slow_may_end: Notify::new(),
        })
    }
}

/// All keys that the handlers set, in order.
fn known_keys() -> Vec<String> {
    let others = ["before", "count", "late", "uploaded"].map(String::from);
    let mut keys: Vec<_> = (0..CROWD).map(|number| format!("key{number}")).collect();
    keys.extend(others);
    keys.sort();
    keys
}

fn get(site: &impl Site, path: &str, cookie: &str) -> Answer {
    site.client().get(path, Some(cookie))
}

/// A visitor with a session that has counted 1. Returns their cookie.
fn visit(site: &impl Site) -> String {
    let answer = site.client().get("/count", None);
    assert_eq!(answer.body(), "1");
    answer.cookie().expect("a cookie").to_owned()
}

fn fifty_overlapping_requests_keep_fifty_keys(site: &(impl Site + Sync)) {
    let cookie = visit(site);
    thread::scope(|scope| {
        for number in 0..CROWD {
            let cookie = &cookie;
            scope.spawn(move || {
                let answer = get(site, &format!("/crowd/key{number}"), cookie);
                assert_eq!(answer.status(), Some(200));
            });
        }
    });
    let look = get(site, "/look", &cookie);
    assert_eq!(look.body().matches("key").count(), CROWD, "{}", look.body());
}

fn a_logout_during_a_slow_request_stays(site: &(impl Site + Sync)) {
    let cookie = visit(site);
    thread::scope(|scope| {
        let slow = scope.spawn(|| get(site, "/slow", &cookie));
        pollster::block_on(site.gates().slow_has_begun.notified());
        assert_eq!(get(site, "/leave", &cookie).status(), Some(200));
        site.gates().slow_may_end.notify_one();
        assert_eq!(
            slow.join().unwrap().status(),
            Some(200),
            "its request is not failed"
        );
    });
    assert_eq!(site.counts(), (0, 1));
    assert_eq!(get(site, "/look", &cookie).body(), "");
}

fn an_id_that_was_ended_answers_to_nothing(site: &impl Site) {
    let cookie = visit(site);
    get(site, "/leave", &cookie);
    for _ in 0..3 {
        assert_eq!(get(site, "/look", &cookie).body(), "");
    }
    assert_eq!(site.counts().0, 0);
    let fresh = get(site, "/count", &cookie);
    assert_eq!(fresh.body(), "1");
    assert_ne!(fresh.cookie().expect("a new id"), cookie);
}

fn cookies_that_make_no_sense_count_as_none(site: &impl Site) {
    let cookie = visit(site);
    let (name, id) = cookie.split_once('=').unwrap();
    let senseless: [Vec<u8>; 9] = [
        format!("Cookie: {name}=\r\n").into(),
        format!("Cookie: {name}=chosen\r\n").into(),
        format!("Cookie: {name}={}\r\n", &id[1..]).into(),
        format!("Cookie: {name}={id}A\r\n").into(),
        format!("Cookie: {name}={}\r\n", "A".repeat(id.len())).into(),
        format!("Cookie: {name}={}\r\n", "A".repeat(20_000)).into(),
        format!("Cookie: {name}=%0d%0aSet-Cookie:%20evil=1\r\n").into(),
        format!("Cookie: {name}=x\nSet-Cookie: evil=1\r\n").into(),
        [b"Cookie: ", name.as_bytes(), b"=\xff\xfe\x80\r\n"].concat(),
    ];
    for headers in senseless {
        let shown = String::from_utf8_lossy(&headers[..headers.len().min(60)]).into_owned();
        let answer = site.client().send("/count", &headers);
        assert_eq!(
            (answer.status(), answer.body()),
            (Some(200), "1"),
            "{shown}"
        );
        assert!(!answer.head().contains("evil"), "{shown}");
        assert_ne!(answer.cookie().expect("a new id"), cookie, "{shown}");
    }
    assert_eq!(get(site, "/count", &cookie).body(), "2");
}

fn a_body_that_aborts_midway_stores_nothing(site: &impl Site) {
    let cookie = visit(site);
    assert_ne!(site.client().abort("/upload", &cookie).status(), Some(200));
    assert_eq!(get(site, "/look", &cookie).body(), "count");
}

fn a_handler_that_panics_stores_nothing(site: &impl Site) {
    let cookie = visit(site);
    let answer = get(site, "/panics", &cookie);
    assert_eq!(answer.status(), None, "the server hangs up");
    assert_eq!(get(site, "/look", &cookie).body(), "count");
    site.client().get("/panics", None);
    assert_eq!(site.counts().0, 1);
}

fn a_client_that_goes_away_leaves_the_session_as_it_is(site: &impl Site) {
    let cookie = visit(site);
    let mut stream = site.client().connect();
    let request = format!("GET /slow HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    pollster::block_on(site.gates().slow_has_begun.notified());
    drop(stream);
    assert_eq!(get(site, "/count", &cookie).body(), "2");
    assert_eq!(get(site, "/look", &cookie).body(), "count");
}

macro_rules! over_http {
    ($layer:ident, $site:expr, [$($test:ident),* $(,)?]) => {
        mod $layer {
            $(
                #[test]
                fn $test() {
                    super::$test(&$site);
                }
            )*
        }
    };
}

over_http!(
    tower_sessions,
    crate::tower_site::TowerSite::new(),
    [
        fifty_overlapping_requests_keep_fifty_keys,
        a_logout_during_a_slow_request_stays,
        an_id_that_was_ended_answers_to_nothing,
        cookies_that_make_no_sense_count_as_none,
        a_body_that_aborts_midway_stores_nothing,
        a_handler_that_panics_stores_nothing,
        a_client_that_goes_away_leaves_the_session_as_it_is,
    ]
);
over_http!(
    actix_session,
    crate::actix_site::ActixSite::new(),
    [
        fifty_overlapping_requests_keep_fifty_keys,
        a_logout_during_a_slow_request_stays,
        an_id_that_was_ended_answers_to_nothing,
        cookies_that_make_no_sense_count_as_none,
        a_body_that_aborts_midway_stores_nothing,
        a_handler_that_panics_stores_nothing,
        a_client_that_goes_away_leaves_the_session_as_it_is,
    ]
);
