//! The manager: cookies in front, a provider behind, over the types of `http`.
#![cfg(feature = "sessions")]

mod sessions;

use dwell::ManualClock;
use dwell::manager::{Manager, ManagerError, SameSite, Session};
use dwell::provider::{MemoryProvider, Registry};
use dwell::session::{SessionError, SessionId, SessionStore, Settings};
use http::{HeaderMap, HeaderValue, header};
use pollster::block_on;
use proptest::prelude::*;
use sessions::{IDLE, seconds, together};
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "__Host-sid";

/// A manager, and what is behind it.
struct Site {
    manager: Manager,
    store: SessionStore,
    clock: ManualClock,
}

impl Site {
    fn new() -> Self {
        Self::with(Settings::new(IDLE))
    }

    fn with(settings: Settings) -> Self {
        let clock = ManualClock::new();
        let store = SessionStore::builder(settings).clock(clock.clone());
        let store = store.build().unwrap();
        let provider = Arc::new(MemoryProvider::new(store.clone()));
        let manager = Manager::builder("sid").provider(provider).build().unwrap();
        Self {
            manager,
            store,
            clock,
        }
    }

    fn start(&self, cookies: &[&str]) -> Session {
        block_on(self.manager.start(&request(cookies))).unwrap()
    }

    fn start_as(&self, id: &str) -> Session {
        self.start(&[&format!("{NAME}={id}")])
    }

    fn finish(&self, session: Session) -> HeaderMap {
        let mut response = HeaderMap::new();
        self.manager.finish(session, &mut response);
        response
    }

    /// A client with a session. Returns its id.
    fn visit(&self) -> String {
        let session = self.start(&[]);
        block_on(session.set("visits", 1_u64)).unwrap();
        issued(&self.finish(session)).expect("an id")
    }
}

fn request(cookies: &[&str]) -> HeaderMap {
    let mut request = HeaderMap::new();
    for cookie in cookies {
        request.append(header::COOKIE, cookie.parse().unwrap());
    }
    request
}

fn set_cookie(response: &HeaderMap) -> Option<String> {
    let mut all = response.get_all(header::SET_COOKIE).iter();
    let cookie = all.next().map(|value| value.to_str().unwrap().to_owned());
    assert!(all.next().is_none(), "one cookie at the most");
    cookie
}

fn issued(response: &HeaderMap) -> Option<String> {
    let cookie = set_cookie(response)?;
    let id = cookie.split(['=', ';']).nth(1)?;
    Some(id.to_owned())
}

fn attributes(response: &HeaderMap) -> Vec<String> {
    let cookie = set_cookie(response).expect("a cookie");
    let mut attributes: Vec<_> = cookie.split("; ").skip(1).map(str::to_owned).collect();
    attributes.sort();
    attributes
}

fn more(count: Option<&u64>) -> u64 {
    count.map_or(1, |count| count + 1)
}

#[test]
fn who_stores_nothing_gets_no_cookie_and_costs_nothing() {
    let site = Site::new();
    for _ in 0..100 {
        let session = site.start(&[]);
        assert!(block_on(session.get::<u64>("visits")).unwrap().is_none());
        assert!(!block_on(session.delete("visits")).unwrap());
        assert!(block_on(session.take::<u64>("flash")).unwrap().is_none());
        block_on(session.clear()).unwrap();
        block_on(session.clear_owner()).unwrap();
        assert!(block_on(session.keys()).unwrap().is_empty());
        assert!(session.is_new() && session.id().is_none());
        assert!(site.finish(session).is_empty());
    }
    assert_eq!(site.store.stats().created, 0);
}

#[test]
fn the_first_value_creates_the_session_and_the_next_request_finds_it() {
    let site = Site::new();
    let id = site.visit();
    assert_eq!(site.store.len(), 1);
    let session = site.start_as(&id);
    assert_eq!(*block_on(session.update("visits", more)).unwrap(), 2);
    assert_eq!(block_on(session.keys()).unwrap(), ["visits"]);
    assert!(site.finish(session).is_empty(), "the client knows its id");
    assert_eq!(site.store.len(), 1);
}

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
fn logging_out_ends_the_session_at_the_server_and_at_the_client() {
    let site = Site::new();
    let id = site.visit();
    let mut response = HeaderMap::new();
    let session = site.start_as(&id);
    assert!(block_on(site.manager.destroy(session, &mut response)).unwrap());
    assert!(set_cookie(&response).unwrap().starts_with("__Host-sid=;"));
    let attributes = attributes(&response);
    for part in ["Max-Age=0", "Path=/", "Secure"] {
        assert!(
            attributes.iter().any(|attribute| attribute == part),
            "{attributes:?}"
        );
    }
    assert_eq!(response[header::CACHE_CONTROL], "no-store");
    assert!(site.store.is_empty());
    assert!(site.start_as(&id).is_new());
    // Without a session there is nothing to end.
    let mut response = HeaderMap::new();
    assert!(!block_on(site.manager.destroy(site.start(&[]), &mut response)).unwrap());
    assert!(response.is_empty());
}

#[test]
fn a_logout_during_a_slow_request_stays() {
    let site = Site::new();
    let id = site.visit();
    let slow = site.start_as(&id);
    block_on(site.start_as(&id).destroy()).unwrap();
    assert!(matches!(
        block_on(slow.set("visits", 2_u64)),
        Err(SessionError::Ended)
    ));
    assert!(matches!(
        block_on(slow.update("visits", more)),
        Err(SessionError::Ended)
    ));
    assert!(matches!(
        block_on(slow.get::<u64>("visits")),
        Err(SessionError::Ended)
    ));
    assert!(matches!(block_on(slow.renew()), Err(SessionError::Ended)));
    assert!(matches!(
        block_on(slow.set_owner("ann")),
        Err(SessionError::Ended)
    ));
    assert!(
        site.finish(slow).is_empty(),
        "no cookie for a session that has ended"
    );
    assert!(site.store.is_empty());
}

#[test]
fn a_session_that_this_request_ended_stays_ended() {
    let site = Site::new();
    let session = site.start_as(&site.visit());
    assert!(block_on(session.destroy()).unwrap());
    assert!(matches!(
        block_on(session.set("flash", 1_u64)),
        Err(SessionError::Ended)
    ));
    assert!(matches!(
        block_on(session.renew()),
        Err(SessionError::Ended)
    ));
    assert!(matches!(
        block_on(session.set_owner("ann")),
        Err(SessionError::Ended)
    ));
    assert!(!block_on(session.destroy()).unwrap());
    assert!(
        set_cookie(&site.finish(session))
            .unwrap()
            .contains("Max-Age=0")
    );
}

#[test]
fn a_login_changes_the_id_and_keeps_the_data() {
    let site = Site::with(Settings::new(IDLE).grace(seconds(5)));
    let before = site.visit();
    let session = site.start_as(&before);
    block_on(session.renew()).unwrap();
    block_on(session.set_owner("ann")).unwrap();
    let after = issued(&site.finish(session)).unwrap();
    assert_ne!(before, after);
    // A request that was under way with the old id is not logged out, and gets no cookie.
    let parallel = site.start_as(&before);
    assert_eq!(block_on(parallel.owner()).unwrap().as_deref(), Some("ann"));
    assert!(site.finish(parallel).is_empty());
    site.clock.advance(seconds(5));
    let late = site.start_as(&before);
    assert!(late.is_new());
    assert!(
        site.finish(late).is_empty(),
        "the client's new cookie is left alone"
    );
    let session = site.start_as(&after);
    assert_eq!(*block_on(session.get::<u64>("visits")).unwrap().unwrap(), 1);
}

#[test]
fn a_renewal_through_the_manager_tells_the_client_once() {
    let site = Site::new();
    let mut response = HeaderMap::new();
    let session = site.start_as(&site.visit());
    let session = block_on(site.manager.renew(session, &mut response)).unwrap();
    site.manager.finish(session, &mut response);
    assert!(issued(&response).is_some());
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
fn fifty_overlapping_requests_that_each_set_their_own_key_keep_fifty() {
    let site = Site::new();
    let id = site.visit();
    together(50, |number| {
        let session = site.start_as(&id);
        block_on(session.set(&format!("key {number}"), number)).unwrap();
        block_on(session.update("visits", more)).unwrap();
    });
    let session = site.start_as(&id);
    assert_eq!(block_on(session.keys()).unwrap().len(), 51);
    assert_eq!(
        *block_on(session.get::<u64>("visits")).unwrap().unwrap(),
        51
    );
}

#[test]
fn an_update_that_is_overtaken_runs_again() {
    let site = Site::new();
    let id = site.visit();
    let mut overtakes = Some(site.start_as(&id));
    let session = site.start_as(&id);
    let updated = session.update("visits", |visits| {
        if let Some(other) = overtakes.take() {
            block_on(other.set("visits", 10_u64)).unwrap();
        }
        more(visits)
    });
    assert_eq!(*block_on(updated).unwrap(), 11);
}

#[test]
fn a_flash_message_is_taken_by_one_of_parallel_requests() {
    let site = Site::new();
    let id = site.visit();
    block_on(site.start_as(&id).set("flash", 7_u64)).unwrap();
    let taken = together(4, |_| {
        block_on(site.start_as(&id).take::<u64>("flash")).unwrap()
    });
    assert_eq!(taken.into_iter().flatten().count(), 1);
}

#[test]
fn of_parallel_logins_with_one_id_one_wins_and_the_other_is_told() {
    let site = Site::new();
    let id = site.visit();
    let results = together(4, |_| {
        let session = site.start_as(&id);
        block_on(session.renew()).map(|()| issued(&site.finish(session)).unwrap())
    });
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for lost in lost {
        assert!(matches!(lost, Err(SessionError::Superseded)));
    }
    let id = won.into_iter().flatten().next().unwrap();
    assert!(!site.start_as(&id).is_new());
}

#[test]
fn a_session_may_have_terms_of_its_own() {
    let site = Site::new();
    let session = site.start(&[]);
    block_on(session.set_idle_timeout(seconds(600))).unwrap();
    let id = issued(&site.finish(session)).unwrap();
    site.clock.advance(seconds(599));
    assert!(!site.start_as(&id).is_new());
}

#[test]
fn expired_sessions_are_freed_by_the_manager_or_by_the_application() {
    let site = Site::new();
    site.visit();
    site.clock.advance(IDLE * 2);
    while !site.store.is_empty() {
        std::thread::yield_now();
    }
    let clock = ManualClock::new();
    let store = SessionStore::builder(Settings::new(IDLE)).clock(clock.clone());
    let provider = Arc::new(MemoryProvider::new(store.build().unwrap()));
    let manager = Manager::builder("sid")
        .provider(provider.clone())
        .without_collector();
    let manager = manager.build().unwrap();
    provider.store().create().unwrap();
    clock.advance(IDLE * 2);
    assert_eq!(block_on(manager.gc()).unwrap(), 1);
}

#[test]
fn managers_live_side_by_side_and_go_when_they_are_dropped() {
    let (one, two) = (Site::new(), Site::new());
    let id = one.visit();
    assert!(two.start_as(&id).is_new());
    let Site { manager, .. } = one;
    let provider = Arc::downgrade(manager.provider());
    drop(manager);
    assert!(provider.upgrade().is_none(), "its thread has stopped");
}

#[test]
fn nonsense_is_refused_when_the_manager_is_built() {
    for name in ["", "a b", "a=b", "a;b", "ключ", "a\n"] {
        assert!(matches!(
            Manager::new("memory", name, IDLE),
            Err(ManagerError::CookieName { .. })
        ));
    }
    let unknown = Manager::new("redis", "sid", IDLE).unwrap_err();
    assert!(
        unknown.to_string().contains("register it first"),
        "{unknown}"
    );
    assert!(Manager::new("memory", "sid", Duration::ZERO).is_err());
    let cross_site = Manager::builder("sid")
        .plain_http()
        .same_site(SameSite::None);
    assert!(matches!(
        cross_site.build(),
        Err(ManagerError::InsecureCrossSite)
    ));
    let empty = Registry::new();
    assert!(Manager::builder("sid").build_from(&empty).is_err());
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

#[test]
fn a_flood_of_visitors_who_read_what_they_just_stored_pushes_nobody_out() {
    let site = Site::with(Settings::new(IDLE).capacity(64));
    let regular = site.visit();
    site.clock.advance(seconds(1));
    site.start_as(&regular);
    for _ in 0..1_000 {
        let session = site.start(&[]);
        block_on(session.set("visits", 1_u64)).unwrap();
        site.clock.advance(Duration::from_millis(5));
        assert!(block_on(session.get::<u64>("visits")).unwrap().is_some());
        assert!(block_on(session.take::<String>("flash")).unwrap().is_none());
        site.finish(session);
    }
    assert!(!site.start_as(&regular).is_new(), "who came back stays");
}

#[test]
fn clones_of_a_session_create_one_and_agree_on_its_end() {
    let site = Site::new();
    let session = site.start(&[]);
    let clone = session.clone();
    block_on(async {
        clone.set("visits", 1_u64).await.unwrap();
        assert_eq!(*session.get::<u64>("visits").await.unwrap().unwrap(), 1);
        assert_eq!(session.id(), clone.id());
        session.renew().await.unwrap();
        assert_eq!(session.id(), clone.id());
        assert!(clone.destroy().await.unwrap());
        assert!(matches!(
            session.set("late", 1).await,
            Err(SessionError::Ended)
        ));
        assert!(!session.destroy().await.unwrap(), "once");
    });
    assert_eq!(site.store.len(), 0);
}

#[test]
fn an_id_that_could_not_reach_the_client_is_not_issued() {
    let site = Site::new();
    let (new, known) = (site.start(&[]), site.start_as(&site.visit()));
    let clones = (new.clone(), known.clone());
    site.finish(new);
    assert!(issued(&site.finish(known)).is_none());
    block_on(async {
        let refused = clones.0.set("late", 1_u64).await;
        assert!(matches!(refused, Err(SessionError::Finished)));
        let refused = clones.1.renew().await;
        assert!(matches!(refused, Err(SessionError::Finished)));
        clones.1.set("late", 1_u64).await.unwrap();
        assert!(clones.1.destroy().await.unwrap());
    });
    assert_eq!(site.store.len(), 0);
}

#[test]
fn a_request_may_start_over_after_a_logout() {
    let site = Site::new();
    let before = site.visit();
    let session = site.start_as(&before);
    block_on(async {
        session.destroy().await.unwrap();
        session.start_over();
        assert!(session.is_new());
        session.set("flash", String::from("bye")).await.unwrap();
    });
    let after = issued(&site.finish(session)).expect("a new id");
    assert_ne!(before, after);
    assert!(site.start_as(&before).is_new());
    assert_eq!(block_on(site.start_as(&after).keys()).unwrap(), ["flash"]);
}
