//! The stores for tower-sessions, for both versions of its core: each promise as a test, by the
//! session type that applications use.

use dwell::ManualClock;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::task::JoinSet;

const MINUTE: time::Duration = time::Duration::minutes(1);
const CROWD: usize = 50;

macro_rules! tests_of {
    ($version:ident, $core:ident, $ours:ident) => {
        mod $version {
            use super::*;
            use $core::session::{Expiry, Id, Record, Session};
            use $core::session_store::{CachingSessionStore, ExpiredDeletion, SessionStore};
            use dwell::web::$ours::{RecordCache, RecordStore};

            type Failure = Box<dyn std::error::Error>;

            fn record(name: &str) -> Record {
                let data = [(String::from("name"), name.into())].into();
                let expiry_date = OffsetDateTime::now_utc() + MINUTE;
                Record {
                    id: Id::default(),
                    data,
                    expiry_date,
                }
            }

            async fn session(store: &Arc<RecordStore>) -> Result<Session, Failure> {
                let session = Session::new(None, store.clone(), None);
                session.insert("name", "Ann").await?;
                session.save().await?;
                Ok(session)
            }

            /// The session of another request.
            async fn again(session: &Session, store: &Arc<RecordStore>) -> Result<Session, Failure> {
                let again = Session::new(session.id(), store.clone(), None);
                again.load().await?;
                Ok(again)
            }

            #[tokio::test]
            async fn what_is_saved_is_loaded_until_it_is_deleted() -> Result<(), Failure> {
                let store = Arc::new(RecordStore::new(None));
                let session = session(&store).await?;
                let later = again(&session, &store).await?;
                assert_eq!(later.get::<String>("name").await?.as_deref(), Some("Ann"));
                later.remove::<String>("name").await?;
                later.save().await?;
                let later = again(&session, &store).await?;
                assert_eq!(later.get::<String>("name").await?, None);
                later.flush().await?;
                assert!(store.load(&session.id().unwrap()).await?.is_none());
                // Deleting what is not there is no error.
                store.delete(&Id::default()).await?;
                Ok(())
            }

            #[tokio::test]
            async fn overlapping_requests_that_set_different_keys_keep_them_all() -> Result<(), Failure> {
                let store = Arc::new(RecordStore::new(None));
                let session = session(&store).await?;
                let mut requests = JoinSet::new();
                for number in 0..CROWD {
                    let request = again(&session, &store).await?;
                    requests.spawn(async move {
                        request.insert(&format!("key{number}"), number).await.unwrap();
                        request.save().await.unwrap();
                    });
                }
                requests.join_all().await;
                let later = again(&session, &store).await?;
                for number in 0..CROWD {
                    assert_eq!(later.get(&format!("key{number}")).await?, Some(number));
                }
                Ok(())
            }

            #[tokio::test]
            async fn a_merge_takes_changes_and_deletions_of_both_sides() -> Result<(), Failure> {
                let store = Arc::new(RecordStore::new(None));
                let session = session(&store).await?;
                for key in ["mine", "theirs", "gone", "gone too", "both"] {
                    session.insert(key, "old").await?;
                }
                session.save().await?;

                let (one, two) = (again(&session, &store).await?, again(&session, &store).await?);
                one.insert("mine", "new").await?;
                one.remove::<String>("gone").await?;
                one.insert("both", "first").await?;
                one.save().await?;
                two.insert("theirs", "new").await?;
                two.remove::<String>("gone too").await?;
                two.insert("both", "last").await?;
                two.save().await?;

                let later = again(&session, &store).await?;
                let mut seen = Vec::new();
                for key in ["name", "mine", "theirs", "gone", "gone too", "both"] {
                    seen.push(later.get::<String>(key).await?);
                }
                let seen: Vec<_> = seen.iter().map(Option::as_deref).collect();
                let due = [Some("Ann"), Some("new"), Some("new"), None, None, Some("last")];
                assert_eq!(seen, due);
                Ok(())
            }

            #[tokio::test]
            async fn a_request_may_save_more_than_once() -> Result<(), Failure> {
                let store = Arc::new(RecordStore::new(None));
                let session = session(&store).await?;
                let (slow, other) = (again(&session, &store).await?, again(&session, &store).await?);
                slow.insert("step", 1).await?;
                slow.save().await?;
                other.insert("other", true).await?;
                other.save().await?;
                slow.insert("step", 2).await?;
                slow.save().await?;
                let later = again(&session, &store).await?;
                assert_eq!(later.get("step").await?, Some(2));
                assert_eq!(later.get("other").await?, Some(true));
                Ok(())
            }

            #[tokio::test]
            async fn a_deleted_session_stays_deleted() -> Result<(), Failure> {
                let store = Arc::new(RecordStore::new(None));
                let session = session(&store).await?;
                let slow = again(&session, &store).await?;
                slow.insert("late", true).await?;
                again(&session, &store).await?.flush().await?;
                // The slow request itself is not failed.
                slow.save().await?;
                assert!(store.load(&session.id().unwrap()).await?.is_none());
                assert_eq!((store.refused_saves(), store.stats().live), (1, 0));
                Ok(())
            }

            #[tokio::test]
            async fn an_id_that_somebody_chose_is_never_adopted() -> Result<(), Failure> {
                let store = Arc::new(RecordStore::new(None));
                let planted = Session::new(Some(Id(7)), store.clone(), None);
                // What other stores take for an update.
                planted.clear().await;
                planted.save().await?;
                assert!(store.load(&Id(7)).await?.is_none());
                planted.insert("name", "Eve").await?;
                planted.save().await?;
                assert_eq!(store.stats().live, 0);
                Ok(())
            }

            #[tokio::test]
            async fn a_new_record_whose_id_is_taken_gets_another_one() -> Result<(), Failure> {
                let store = RecordStore::new(None);
                let (mut first, mut second) = (record("Ann"), record("Bob"));
                second.id = first.id;
                store.create(&mut first).await?;
                store.create(&mut second).await?;
                assert_ne!(first.id, second.id);
                for record in [first, second] {
                    let loaded = store.load(&record.id).await?.expect("it is there");
                    assert_eq!(loaded, record);
                }
                Ok(())
            }

            #[tokio::test]
            async fn a_record_ends_at_its_expiry_date_and_a_save_moves_that() -> Result<(), Failure> {
                let clock = ManualClock::new();
                let store = Arc::new(RecordStore::with_clock(None, clock.clone()));
                let session = Session::new(None, store.clone(), Some(Expiry::OnInactivity(MINUTE)));
                session.insert("name", "Ann").await?;
                session.save().await?;
                let id = session.id().unwrap();
                clock.advance(Duration::from_secs(50));
                assert!(store.load(&id).await?.is_some());
                session.save().await?;
                clock.advance(Duration::from_secs(50));
                assert!(store.load(&id).await?.is_some());
                clock.advance(Duration::from_secs(10));
                assert!(store.load(&id).await?.is_none());
                session.save().await?;
                assert!(store.load(&id).await?.is_none(), "no save brings it back");

                let mut past = record("Bob");
                past.expiry_date = OffsetDateTime::UNIX_EPOCH;
                store.create(&mut past).await?;
                assert!(store.load(&past.id).await?.is_none());
                Ok(())
            }

            #[tokio::test]
            async fn a_record_of_two_weeks_lives_two_weeks_without_being_loaded() -> Result<(), Failure> {
                let clock = ManualClock::new();
                let store = RecordStore::with_clock(None, clock.clone());
                let mut record = record("Ann");
                record.expiry_date = OffsetDateTime::now_utc() + time::Duration::weeks(2);
                store.create(&mut record).await?;
                clock.advance(Duration::from_secs(14 * 24 * 60 * 60 - 60));
                store.delete_expired().await?;
                assert!(store.load(&record.id).await?.is_some());
                clock.advance(Duration::from_secs(60));
                assert!(store.load(&record.id).await?.is_none());
                Ok(())
            }

            #[tokio::test]
            async fn expired_records_are_deleted_when_asked_for() -> Result<(), Failure> {
                let clock = ManualClock::new();
                let store = RecordStore::with_clock(None, clock.clone());
                for _ in 0..1_000 {
                    store.create(&mut record("Ann")).await?;
                }
                // A record is collected within minutes of its end.
                clock.advance(Duration::from_secs(300));
                store.delete_expired().await?;
                assert_eq!((store.stats().live, store.stats().expired), (0, 1_000));
                Ok(())
            }

            #[tokio::test]
            async fn a_full_store_keeps_who_comes_back() -> Result<(), Failure> {
                let store = RecordStore::new(Some(100));
                let mut regular = record("Ann");
                store.create(&mut regular).await?;
                assert!(store.load(&regular.id).await?.is_some());
                for _ in 0..1_000 {
                    store.create(&mut record("nobody")).await?;
                }
                assert!(store.load(&regular.id).await?.is_some());
                assert!(store.stats().live <= 100);
                Ok(())
            }

            /// Another request renews the id: the trait has only `delete` and `create` for it, so
            /// what a slow request saves under the old id has nowhere to go.
            #[tokio::test]
            async fn a_save_under_an_id_that_was_cycled_is_refused() -> Result<(), Failure> {
                let store = Arc::new(RecordStore::new(None));
                let session = session(&store).await?;
                let (slow, login) = (again(&session, &store).await?, again(&session, &store).await?);
                login.cycle_id().await?;
                login.save().await?;
                slow.insert("late", true).await?;
                slow.save().await?;
                assert!(store.load(&session.id().unwrap()).await?.is_none());
                let later = again(&login, &store).await?;
                assert_eq!(later.get::<String>("name").await?.as_deref(), Some("Ann"));
                assert_eq!(later.get::<bool>("late").await?, None);
                Ok(())
            }

            /// After `clear` a record comes without its mark, and is taken as a whole.
            #[tokio::test]
            async fn who_clears_a_session_clears_what_others_have_set_meanwhile() -> Result<(), Failure> {
                let store = Arc::new(RecordStore::new(None));
                let session = session(&store).await?;
                let (one, two) = (again(&session, &store).await?, again(&session, &store).await?);
                two.insert("theirs", true).await?;
                two.save().await?;
                one.clear().await;
                one.insert("mine", true).await?;
                one.save().await?;
                let later = again(&session, &store).await?;
                assert_eq!(later.get::<bool>("theirs").await?, None);
                assert_eq!(later.get::<bool>("mine").await?, Some(true));
                Ok(())
            }

            /// An application may show the mark to its users, and take back what they make of it.
            #[tokio::test]
            async fn a_mark_that_makes_no_sense_takes_nothing_from_the_request() -> Result<(), Failure> {
                let store = RecordStore::new(None);
                let long = "/".repeat(10_000);
                for mark in ["", "no base64!", "AAAA", "____", "AAAAAAAAAAAAAAAAAAAAAA", &long] {
                    let mut record = record("Ann");
                    store.create(&mut record).await?;
                    let mut request = store.load(&record.id).await?.expect("it is there");
                    request.data.insert("dwell.mark".into(), mark.into());
                    request.data.insert("new".into(), 1.into());
                    store.save(&request).await?;
                    let loaded = store.load(&record.id).await?.expect("it is there");
                    assert_eq!((&loaded.data["name"], &loaded.data["new"]), (&"Ann".into(), &1.into()));
                    assert_ne!(loaded.data["dwell.mark"], mark, "the store's own");
                }
                Ok(())
            }

            #[tokio::test]
            async fn a_cache_is_filled_by_save_and_serves_what_the_store_had() -> Result<(), Failure> {
                let (cache, store) = (RecordCache::new(None), RecordStore::new(None));
                let tiers = CachingSessionStore::new(cache.clone(), store.clone());
                let mut record = record("Ann");
                store.create(&mut record).await?;
                assert!(cache.load(&record.id).await?.is_none());
                let loaded = tiers.load(&record.id).await?.expect("the store has it");
                assert_eq!(loaded.data["name"], "Ann");
                store.delete(&record.id).await?;
                let cached = tiers.load(&record.id).await?.expect("the cache has it");
                assert_eq!(cached.data["name"], "Ann");
                tiers.delete(&record.id).await?;
                assert!(tiers.load(&record.id).await?.is_none());

                let mut created = super::$version::record("Bob");
                tiers.create(&mut created).await?;
                let id = created.id;
                assert!(cache.load(&id).await?.is_some() && store.load(&id).await?.is_some());
                Ok(())
            }
        }
    };
}

tests_of!(version_014, tower_sessions_core_014, tower_sessions_014);
tests_of!(version_015, tower_sessions_core_015, tower_sessions_015);

/// What the two stores are measured against: the same requests with stores that take the last save
/// as a whole.
#[tokio::test]
async fn other_memory_stores_keep_one_key_of_fifty() {
    use tower_sessions::session_store::SessionStore;
    use tower_sessions::{MemoryStore, Session};
    use tower_sessions_moka_store::MokaStore;

    async fn keys_kept(store: Arc<impl SessionStore>) -> usize {
        let session = Session::new(None, store.clone(), None);
        session.insert("name", "Ann").await.unwrap();
        session.save().await.unwrap();
        let mut requests = Vec::new();
        for _ in 0..CROWD {
            let request = Session::new(session.id(), store.clone(), None);
            request.load().await.unwrap();
            requests.push(request);
        }
        for (number, request) in requests.iter().enumerate() {
            request
                .insert(&format!("key{number}"), number)
                .await
                .unwrap();
            request.save().await.unwrap();
        }
        let loaded = store.load(&session.id().unwrap()).await.unwrap().unwrap();
        let keys = loaded.data.keys();
        keys.filter(|key| key.starts_with("key")).count()
    }

    let ours = dwell::web::tower_sessions_014::RecordStore::new(None);
    assert_eq!(keys_kept(Arc::new(ours)).await, CROWD);
    assert_eq!(keys_kept(Arc::new(MemoryStore::default())).await, 1);
    assert_eq!(keys_kept(Arc::new(MokaStore::new(None))).await, 1);
}
