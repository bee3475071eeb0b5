//! The store for actix-session: each promise as a test, and the middleware with it.

use actix_session::storage::{SessionKey, SessionStore};
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::{Key, time::Duration as Ttl};
use actix_web::{App, test, web};
use dwell::ManualClock;
use dwell::web::actix_session::RecordStore;
use std::collections::HashMap;
use std::time::Duration;

const MINUTE: Ttl = Ttl::minutes(1);
const CROWD: usize = 50;

type State = HashMap<String, String>;
type Failure = Box<dyn std::error::Error>;

fn again(key: &SessionKey) -> SessionKey {
    key.as_ref().to_owned().try_into().unwrap()
}

fn state(name: &str) -> State {
    [("name".to_owned(), format!("\"{name}\""))].into()
}

/// What the session layer sees of a session, without the mark.
async fn seen(store: &RecordStore, key: &SessionKey) -> Option<State> {
    let mut state = store.load(key).await.unwrap()?;
    state.remove("dwell.mark").expect("a mark comes along");
    Some(state)
}

#[actix_web::test]
async fn what_is_saved_is_loaded_until_it_is_deleted() -> Result<(), Failure> {
    let store = RecordStore::new(None);
    let key = store.save(state("Ann"), &MINUTE).await?;
    assert_eq!(seen(&store, &key).await, Some(state("Ann")));
    let key = store.update(key, state("Bob"), &MINUTE).await?;
    assert_eq!(seen(&store, &key).await, Some(state("Bob")));
    store.delete(&key).await?;
    assert_eq!(store.load(&key).await?, None);
    let planted = SessionKey::try_from("chosen by somebody".to_owned())?;
    assert_eq!(store.load(&planted).await?, None);
    Ok(())
}

#[actix_web::test]
async fn overlapping_requests_that_set_different_keys_keep_them_all() -> Result<(), Failure> {
    let store = RecordStore::new(None);
    let key = store.save(state("Ann"), &MINUTE).await?;
    let mut requests = Vec::new();
    for _ in 0..CROWD {
        requests.push(store.load(&key).await?.unwrap());
    }
    for (number, mut request) in requests.into_iter().enumerate() {
        request.insert(format!("key{number}"), number.to_string());
        if number == 0 {
            request.remove("name");
        }
        store.update(again(&key), request, &MINUTE).await?;
    }
    let seen = seen(&store, &key).await.unwrap();
    assert_eq!(seen.len(), CROWD, "all keys, and no name: {seen:?}");
    Ok(())
}

#[actix_web::test]
async fn a_deleted_session_stays_deleted() -> Result<(), Failure> {
    let store = RecordStore::new(None);
    let key = store.save(state("Ann"), &MINUTE).await?;
    let slow = store.load(&key).await?.unwrap();
    assert_eq!(store.refused_saves(), 0);
    store.delete(&key).await?;
    let key = store.update(key, slow, &MINUTE).await?;
    store.update_ttl(&key, &MINUTE).await?;
    assert_eq!(store.load(&key).await?, None);
    assert_eq!((store.refused_saves(), store.stats().live), (1, 0));
    Ok(())
}

#[actix_web::test]
async fn a_session_ends_with_its_time_to_live_which_updates_move() -> Result<(), Failure> {
    let clock = ManualClock::new();
    let store = RecordStore::with_clock(None, clock.clone());
    let key = store.save(state("Ann"), &MINUTE).await?;
    clock.advance(Duration::from_secs(59));
    store.update_ttl(&key, &MINUTE).await?;
    clock.advance(Duration::from_secs(59));
    let key = store.update(key, state("Bob"), &MINUTE).await?;
    clock.advance(Duration::from_secs(59));
    assert!(store.load(&key).await?.is_some());
    clock.advance(Duration::from_secs(1));
    assert_eq!(store.load(&key).await?, None);
    Ok(())
}

#[actix_web::test]
async fn what_is_shown_of_a_store_is_how_many_sessions_there_are_and_no_session()
-> Result<(), Failure> {
    let store = RecordStore::new(None);
    let key = store.save(state("Ann"), &MINUTE).await?;
    let shown = format!("{store:?}");
    assert!(shown.contains("len: 1"), "{shown}");
    assert!(
        !shown.contains("Ann") && !shown.contains(key.as_ref()),
        "{shown}"
    );
    Ok(())
}

async fn visit(session: Session) -> actix_web::Result<String> {
    let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    Ok(visits.to_string())
}

async fn renew(session: Session) -> &'static str {
    session.renew();
    "renewed"
}

async fn leave(session: Session) -> &'static str {
    session.purge();
    "left"
}

#[actix_web::test]
async fn the_middleware_keeps_renews_and_ends_sessions_with_it() {
    let store = RecordStore::new(None);
    let app = App::new()
        .wrap(SessionMiddleware::new(store.clone(), Key::generate()))
        .route("/", web::get().to(visit))
        .route("/renew", web::get().to(renew))
        .route("/leave", web::get().to(leave));
    let app = test::init_service(app).await;
    let get = async |path: &str, cookie: Option<actix_web::cookie::Cookie<'static>>| {
        let mut request = test::TestRequest::get().uri(path);
        if let Some(cookie) = cookie {
            request = request.cookie(cookie);
        }
        let response = test::call_service(&app, request.to_request()).await;
        let cookie = response
            .response()
            .cookies()
            .next()
            .map(|cookie| cookie.into_owned());
        (test::read_body(response).await, cookie)
    };
    let (body, first) = get("/", None).await;
    assert_eq!((&body[..], store.stats().live), (&b"1"[..], 1));
    let (body, _) = get("/", first.clone()).await;
    assert_eq!(&body[..], b"2");
    let (_, renewed) = get("/renew", first.clone()).await;
    let (body, _) = get("/", first).await;
    assert_eq!(&body[..], b"1", "the old id answers to nothing");
    let (body, _) = get("/", renewed.clone()).await;
    assert_eq!(&body[..], b"3");
    get("/leave", renewed.clone()).await;
    let (body, _) = get("/", renewed).await;
    assert_eq!(&body[..], b"1");
}
