//! The memory provider: what may concern many sessions is done in parts.

use dwell::provider::{Answer, MemoryProvider, Provider};
use dwell::session::{SessionStore, Settings};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(60);

/// Polls to the end. Returns the answer, and what `measure` told after each poll.
fn measured<T>(mut future: Answer<'_, T>, measure: impl Fn() -> usize) -> (T, Vec<usize>) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut measured = Vec::new();
    loop {
        match Pin::new(&mut future).poll(&mut context) {
            Poll::Ready(answer) => return (answer.unwrap(), measured),
            Poll::Pending => measured.push(measure()),
        }
        // It asks to be polled again, and once.
        assert_eq!(woken.0.swap(0, SeqCst), 1);
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn what_concerns_many_sessions_is_done_in_parts_and_lets_others_run() {
    const SESSIONS: usize = 20_000;
    const PART: usize = 64;
    let settings = Settings::new(IDLE).max_per_owner(None);
    let store = SessionStore::builder(settings).build().unwrap();
    let provider = MemoryProvider::new(store.clone());
    let phone = store.create().unwrap();
    phone.set_owner("guest").unwrap();
    for _ in 1..SESSIONS {
        store.create().unwrap().set_owner("guest").unwrap();
    }
    let (listed, polls) = measured(provider.owned_by("guest"), || 0);
    assert_eq!(listed.len(), SESSIONS);
    assert_eq!(polls.len(), SESSIONS / PART);

    // Nothing is done before the first poll, and what was done remains.
    let here = phone.key();
    let mut dropped = provider.destroy_owned_by("guest", Some(&here));
    assert_eq!(store.len(), SESSIONS);
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut dropped).poll(&mut context).is_pending());
    drop(dropped);
    let left = store.len();
    assert!((1..=PART).contains(&(SESSIONS - left)), "{left}");

    let all_but_one = provider.destroy_owned_by("guest", Some(&here));
    let late = store.create().unwrap();
    late.set_owner("guest").unwrap();
    let (ended, lefts) = measured(all_but_one, || store.len());
    assert_eq!(ended, left - 1);
    let mut before = left + 1;
    for left in lefts {
        assert!((1..=PART).contains(&(before - left)), "{before}, {left}");
        before = left;
    }
    assert!(phone.peek().is_some() && late.peek().is_some());
}

#[test]
fn what_concerns_few_sessions_is_done_at_once() {
    let provider = MemoryProvider::new(SessionStore::new(IDLE));
    for _ in 0..10 {
        provider.store().create().unwrap().set_owner("ann").unwrap();
    }
    let (listed, polls) = measured(provider.owned_by("ann"), || 0);
    assert_eq!((listed.len(), polls.len()), (10, 0));
    let (ended, polls) = measured(provider.destroy_owned_by("ann", None), || 0);
    assert_eq!((ended, polls.len()), (10, 0));
}
