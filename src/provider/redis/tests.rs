//! What can only be shown from inside: the near cache, one step after the other.

use super::connection::{Place, Spot, Watcher};
use super::names::{Name, Names};
use super::near::{Flight, Found, Limits, Near};
use super::queue::Queues;
use super::record::Record;
use crate::CoarseClock;
use crate::session::{Attributes, By, SessionError, SessionId, Snapshot};
use redis::{PushInfo, PushKind, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

const BOUND: Duration = Duration::from_secs(10);
const HOUR: u64 = 3_600_000;
const PREFIX: &str = "test";

/// A session that is read over a connection, which is none.
struct Session {
    near: Near,
    name: Name,
    spot: Spot,
    record: Record,
}

impl Session {
    fn new() -> Self {
        Self::at(HOUR, false)
    }

    /// As it is answered at a time, with a touch or without.
    fn at(now: u64, is_written: bool) -> Self {
        let key = SessionId::generate().expect("random bytes").key();
        let name = Name::of(&key);
        let fields = [
            ("k", key.to_text()),
            ("i", HOUR.to_string()),
            ("v", 1.to_string()),
            ("c", HOUR.to_string()),
            ("t", HOUR.to_string()),
            ("s", String::new()),
        ];
        let touched = is_written.then(|| ("w", 1.to_string()));
        let fields = fields.into_iter().chain(touched).flat_map(|(name, value)| {
            [name.to_owned(), value].map(|text| Value::BulkString(text.into_bytes()))
        });
        Self {
            near: near(),
            name,
            spot: Spot {
                node: "a node".into(),
                number: 0,
            },
            record: Record::read(now, fields.collect()).expect("a session"),
        }
    }

    /// The connection, which has answered a question that was asked at some time.
    fn heard(&self, place: &Place, asked: Instant) {
        self.near.heard(&self.spot, place, asked);
    }

    /// A reader that finds nothing: the flight that it joins.
    fn ask(&self) -> Arc<Flight> {
        match self.near.find_or_ask(self.name, &self.spot) {
            Found::Flight(flight) => flight,
            Found::Copy(_) => panic!("there is a copy"),
        }
    }

    /// The answer comes over the connection that the flight was left for. Whether it is kept.
    fn keep(&self, flight: &Arc<Flight>) -> bool {
        let place = flight.place.clone().unwrap_or_else(place);
        self.near.keep(self.name, flight, &self.record, &place)
    }

    /// Reads the session from the server.
    fn fetch(&self) {
        self.keep(&self.ask());
    }

    /// A write begins.
    fn write(&self) -> Arc<Flight> {
        let flight = self.near.flight(&self.spot);
        self.near.begin(self.name, &flight);
        flight
    }

    /// The server says that a session has changed; none: that it was emptied.
    fn told(&self, name: Option<Name>) {
        let key = |name| Value::BulkString(Names::new(PREFIX).session(name).into_bytes());
        let keys = name.map_or(Value::Nil, |name| Value::Array(vec![key(name)]));
        let push = PushInfo {
            kind: PushKind::Invalidate,
            data: vec![keys],
        };
        self.near.told(&self.spot, &push);
    }

    fn is_found(&self) -> bool {
        self.near.find(self.name, &self.spot).is_some()
    }

    fn is_empty(&self) -> bool {
        format!("{:?}", self.near).contains("sessions: 0")
    }
}

fn near() -> Near {
    let limits = Limits {
        sessions: 10,
        bytes: 1 << 20,
        staleness: BOUND,
    };
    Near::new(limits, HOUR, Names::new(PREFIX), Arc::new(CoarseClock))
}

fn place() -> Place {
    Arc::new(OnceCell::new())
}

#[test]
fn a_copy_is_kept_in_the_place_of_its_own_mark_only() {
    let session = Session::new();
    let near = &session.near;
    session.heard(&place(), Instant::now());
    let early = session.ask();
    near.forget(session.name);
    let late = session.ask();
    session.keep(&early);
    assert!(!session.is_found(), "read before the change");
    session.keep(&late);
    assert!(session.is_found());
}

#[test]
fn a_copy_outlives_the_message_about_its_own_touch_and_no_other() {
    for is_told_first in [false, true] {
        let session = Session::at(HOUR, true);
        session.heard(&place(), Instant::now());
        let flight = session.ask();
        if is_told_first {
            session.told(Some(session.name));
        }
        session.keep(&flight);
        if !is_told_first {
            session.told(Some(session.name));
        }
        assert!(session.is_found(), "its own");
        session.told(Some(session.name));
        assert!(!session.is_found(), "another one's");
    }
}

#[test]
fn a_copy_that_was_read_before_a_change_is_not_kept() {
    for (is_written, messages) in [(false, 1), (true, 2)] {
        let session = Session::at(HOUR, is_written);
        session.heard(&place(), Instant::now());
        let flight = session.ask();
        for _ in 0..messages {
            session.told(Some(session.name));
        }
        session.keep(&flight);
        assert!(!session.is_found());
        assert!(session.is_empty());
    }
}

#[test]
fn a_message_that_the_copy_before_was_owed_does_not_cost_the_next_one() {
    for is_told in [true, false] {
        // Its touch is due at once.
        let mut session = Session::at(2 * HOUR, true);
        session.heard(&place(), Instant::now());
        session.fetch();
        assert!(!session.is_found());
        session.record = Session::new().record;
        let flight = session.ask();
        if is_told {
            session.told(Some(session.name));
        }
        session.keep(&flight);
        // The server says what it owes before it answers the next question.
        assert_eq!(session.is_found(), is_told);
        session.told(Some(session.name));
        assert!(!session.is_found());
    }
}

#[test]
fn nothing_is_left_of_a_mark_without_a_copy() {
    let session = Session::new();
    let near = &session.near;
    session.fetch();
    assert!(session.is_empty(), "the connection was made meanwhile");
    session.heard(&place(), Instant::now());
    let early = session.ask();
    assert!(!session.is_empty());
    near.give_up(session.name, &early);
    assert!(session.is_empty());
    let late = session.ask();
    near.give_up(session.name, &early);
    session.keep(&late);
    assert!(session.is_found(), "another one's mark stays");
}

#[test]
fn what_was_read_over_another_connection_does_not_count() {
    let session = Session::new();
    session.heard(&place(), Instant::now());
    session.fetch();
    assert!(session.is_found());
    session.heard(&place(), Instant::now());
    assert!(!session.is_found(), "the server had nobody to tell");
}

#[test]
fn a_copy_counts_for_as_long_as_its_connection_is_heard_of() {
    let session = Session::new();
    let place = place();
    let now = Instant::now();
    let ago = |time| now.checked_sub(time).expect("a machine that is up so long");
    session.heard(&place, ago(BOUND * 2));
    session.fetch();
    assert!(!session.is_found(), "not heard of for too long");
    session.heard(&place, ago(BOUND / 2));
    assert!(session.is_found());
}

#[test]
fn the_copy_that_the_server_tells_of_goes_and_no_other() {
    let session = Session::new();
    session.heard(&place(), Instant::now());
    session.fetch();
    session.told(Some(Session::new().name));
    assert!(session.is_found(), "that was another one");
    session.told(Some(session.name));
    assert!(!session.is_found());
    session.fetch();
    session.told(None);
    assert!(!session.is_found(), "the server is empty");
}

#[test]
fn what_was_answered_over_another_connection_is_not_kept() {
    let session = Session::new();
    session.heard(&place(), Instant::now());
    let flight = session.ask();
    let (near, record) = (&session.near, &session.record);
    assert!(!near.keep(session.name, &flight, record, &place()));
    assert!(session.is_empty());
}

#[test]
fn a_write_leaves_a_copy_that_outlives_its_own_message_and_no_other() {
    let session = Session::at(HOUR, true);
    session.heard(&place(), Instant::now());
    for _ in 0..3 {
        let flight = session.write();
        assert!(!session.is_found(), "it is being written to");
        assert!(session.keep(&flight) && session.is_found());
        // The server tells of a write before it answers the next one.
        let next = session.write();
        session.told(Some(session.name));
        assert!(session.keep(&next) && session.is_found());
        session.told(Some(session.name));
        assert!(session.is_found(), "its own");
    }
    session.told(Some(session.name));
    assert!(!session.is_found(), "another one's");
}

#[test]
fn of_two_writes_at_once_the_later_one_leaves_the_copy_if_any() {
    let session = Session::at(HOUR, true);
    session.heard(&place(), Instant::now());
    let (early, late) = (session.write(), session.write());
    assert!(!session.keep(&early));
    session.told(Some(session.name));
    session.told(Some(session.name));
    assert!(!session.keep(&late), "it may be older than the other one");
    assert!(session.is_empty());
}

#[test]
fn readers_wait_for_a_write() {
    let session = Session::at(HOUR, true);
    session.heard(&place(), Instant::now());
    let flight = session.write();
    assert!(Arc::ptr_eq(&session.ask(), &flight));
    session.told(Some(session.name));
    assert!(Arc::ptr_eq(&session.ask(), &flight), "it may be its own");
    session.told(Some(session.name));
    assert!(!Arc::ptr_eq(&session.ask(), &flight), "another one wrote");
}

#[tokio::test]
async fn turns_come_in_order_and_leave_no_queue() {
    let queues = Queues::new();
    let by = || By::Id(SessionId::generate().expect("random bytes"));
    let (session, other) = (by(), by());
    let soon = || tokio::time::Instant::now() + BOUND;
    let first = queues.turn(session, soon()).await.expect("nobody else");
    let of_another = queues.turn(other, soon()).await;
    assert!(of_another.is_ok(), "another session waits for nobody");
    let late = queues.turn(session, tokio::time::Instant::now()).await;
    assert!(matches!(late, Err(SessionError::Contended)), "{late:?}");
    let mut second = tokio::spawn(async move {
        let turn = queues.turn(session, soon()).await;
        (turn, queues)
    });
    tokio::task::yield_now().await;
    assert!(!second.is_finished(), "it waits");
    drop(first);
    let (turn, queues) = (&mut second).await.expect("it ends");
    let turn = turn.expect("its turn");
    assert!(!turn.is_over() && turn.seen().is_none());
    drop((turn, of_another));
    assert_eq!(queues.len(), 0);
}

/// What was left under one id is not for those who came with another one.
#[tokio::test]
async fn a_turn_brings_what_was_left_under_the_same_id() {
    let queues = Queues::new();
    let id = SessionId::generate().expect("random bytes");
    let renewed = id.renewed().expect("random bytes");
    let at = |version| Snapshot::new(id.key(), Attributes::default(), version);
    let soon = || tokio::time::Instant::now() + BOUND;
    queues.leave(&By::Id(id), &at(1));
    assert_eq!(queues.len(), 0, "nobody waits for it");
    for (left_by, asked_by) in [(id, id), (id, renewed), (renewed, id)] {
        let first = queues
            .turn(By::Id(left_by), soon())
            .await
            .expect("nobody else");
        let second = queues.turn(By::Id(asked_by), soon());
        let leave = async {
            queues.leave(&By::Id(left_by), &at(2));
            drop(first);
        };
        let (second, ()) = tokio::join!(second, leave);
        let second = second.expect("its turn");
        let seen = second.seen().map(|seen| seen.version);
        assert_eq!(seen, (left_by == asked_by).then_some(2));
    }
}

/// A process that always knows the newest version lets others write, too.
#[tokio::test(start_paused = true)]
async fn after_a_streak_of_turns_there_is_a_pause() {
    const TURN: Duration = Duration::from_millis(3);
    const STREAK: u32 = 32;
    let queues = Queues::new();
    let by = By::Id(SessionId::generate().expect("random bytes"));
    let end = tokio::time::Instant::now() + BOUND;
    let mut turn = queues.turn(by, end).await.expect("nobody else");
    let mut last = tokio::time::Instant::now();
    for number in 2..=STREAK * 3 {
        let next = queues.turn(by, end);
        let this = async {
            tokio::time::sleep(TURN).await;
            drop(turn);
        };
        turn = tokio::join!(next, this).0.expect("its turn");
        let waited = last.elapsed() - TURN;
        let pauses = number % STREAK == 1;
        assert_eq!(
            waited,
            if pauses { TURN * 2 } else { Duration::ZERO },
            "{number}"
        );
        last = tokio::time::Instant::now();
    }
    drop(turn);
    assert!(queues.turn(by, end).await.is_ok());
    let began = tokio::time::Instant::now();
    for _ in 0..STREAK * 2 {
        drop(queues.turn(by, end).await);
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits for anybody");
}
