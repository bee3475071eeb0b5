//! The owner index in the server.
//!
//! An owner and a session may be on different machines of a cluster, so no script touches both.
//! What keeps the index exact are the three rules of `session::owner`, and a fourth: the index
//! holds a session until a time, and an owned session does not live longer than that. So nothing
//! leaks, wherever a program stops: what the index holds lapses by itself, and no session that
//! lives is missing from it. A session that is in use has that time put off, about once in each
//! idle timeout.
//!
//! **An index that was lost.** A server that evicts, or somebody by hand, may remove an index while
//! the sessions stay. No script can see that, since it sees one key. So each process puts a session
//! that it accesses back into its owner's index: at the first access, and then once in each touch
//! resolution, at least [`LEAST_PAUSE`] apart. A logout everywhere ends what was accessed so since
//! the loss.

use super::failure::RedisFailure;
use super::link::Repeat;
use super::names::{Name, Target};
use super::record::{Answer, Record, Terms, number};
use super::remote::{Look, Remote, id_of, millis};
use super::scripts::Call;
use crate::IdleMap;
use crate::session::{By, IssuedSession, SessionError, SessionId, SessionInfo, SessionKey};
use futures_util::future::join_all;
use redis::{FromRedisValue, Value};
use std::cmp::Reverse;
use std::time::Duration;
use tokio::time::Instant;

/// For how many idle timeouts the index holds a session.
const HELD: u64 = 3;
/// Sooner than so many idle timeouts before the end of that, it is put off.
const KEPT: u64 = 2;
/// Milliseconds: a session is put back into the index no more often, however short the touch
/// resolution is.
const LEAST_PAUSE: u64 = 1_000;
/// How many sessions a process remembers to have put back. Others are put back again.
const MOST_SEEN: usize = 1 << 16;

/// When a session was last put into its owner's index from here, by the clock that the scripts see.
pub(super) type Seen = IdleMap<Name, u64>;

pub(super) fn nothing_seen() -> Seen {
    let seen = IdleMap::builder().no_idle_timeout().capacity(MOST_SEEN);
    seen.build().expect("the capacity is not 0")
}

impl Remote {
    fn index(&self, owner: &str, what: &str) -> Call<'_> {
        let mut call = self.call(&self.scripts.index, self.names.owner(owner));
        call.arg(what);
        call
    }

    async fn ask_index<T: FromRedisValue>(
        &self,
        owner: &str,
        call: &Call<'_>,
        end: Instant,
    ) -> Result<T, RedisFailure> {
        let target = Target::index(owner);
        self.link.run(target, call, Repeat::Always, end).await
    }

    /// Has the index hold a session. Returns until when it does, and whether it did not before.
    async fn index_add(
        &self,
        owner: &str,
        name: Name,
        idle: u64,
        limit: Option<u64>,
        end: Instant,
    ) -> Result<(u64, bool), RedisFailure> {
        let mut call = self.index(owner, "add");
        call.arg(name.to_text()).arg(HELD.saturating_mul(idle));
        call.arg(limit.map_or(String::new(), |limit| limit.to_string()));
        let (until, is_new): (Value, bool) = self.ask_index(owner, &call, end).await?;
        Ok((number(&until)?, is_new))
    }

    pub(super) async fn index_remove(
        &self,
        owner: &str,
        name: Name,
        end: Instant,
    ) -> Result<(), RedisFailure> {
        let mut call = self.index(owner, "remove");
        call.arg(name.to_text());
        self.ask_index(owner, &call, end).await
    }

    async fn index_list(&self, owner: &str, end: Instant) -> Result<Vec<Name>, RedisFailure> {
        let call = self.index(owner, "list");
        let names: Vec<Vec<u8>> = self.ask_index(owner, &call, end).await?;
        Ok(names.iter().filter_map(|name| Name::parse(name)).collect())
    }

    /// After an access: puts off the end of what the index holds, if it comes near, and puts the
    /// session back into the index if that was not done of late. If that fails, the next access
    /// tries again, and the session does not outlive what the index holds.
    pub(super) async fn hold_longer(&self, name: Name, terms: &Terms, now: u64, end: Instant) {
        let pause = self.resolution().max(LEAST_PAUSE);
        let is_of_late = |seen: u64| now < seen.saturating_add(pause);
        let is_seen = || self.seen.get(&name).is_some_and(|seen| is_of_late(*seen));
        if let Some(owner) = &terms.owner
            && (ends_soon(terms, now) || !is_seen())
        {
            self.hold(owner, name, terms, now, end).await;
        }
    }

    async fn hold(&self, owner: &str, name: Name, terms: &Terms, now: u64, end: Instant) {
        let added = self.index_add(owner, name, terms.idle, terms.limit, end);
        let Ok((until, _)) = added.await else {
            return;
        };
        self.seen.insert(name, now);
        if ends_soon(terms, now) {
            let mut call = self.call_session(&self.scripts.lease, name, None);
            call.arg(until).arg(owner);
            let held = self
                .link
                .run(Target::Session(name), &call, Repeat::Always, end);
            let _: Result<Value, RedisFailure> = held.await;
        }
    }

    async fn owner_of(&self, name: Name, end: Instant) -> Result<Option<Record>, SessionError> {
        let look = Look {
            id: None,
            touches: false,
        };
        let (record, _) = self.fetch(name, look, end).await?;
        Ok(record)
    }

    /// Takes a session out of the index of an owner whom it does not belong to any more. If it
    /// belongs to the owner again by then, it is put back.
    async fn disown(&self, owner: &str, name: Name, end: Instant) -> Result<(), SessionError> {
        loop {
            match self.index_remove(owner, name, end).await {
                // It is still there: nobody takes the session for the owner's, and it lapses.
                Err(failure) if !failure.may_have_been_done() => return Ok(()),
                removed => removed?,
            }
            let Some(terms) = self.terms_if_owned(owner, name, end).await? else {
                return Ok(());
            };
            self.index_add(owner, name, terms.idle, terms.limit, end)
                .await?;
            if self.terms_if_owned(owner, name, end).await?.is_some() {
                return Ok(());
            }
        }
    }

    async fn terms_if_owned(
        &self,
        owner: &str,
        name: Name,
        end: Instant,
    ) -> Result<Option<Terms>, SessionError> {
        let record = self.owner_of(name, end).await?;
        let terms = record.map(|record| record.terms);
        Ok(terms.filter(|terms| terms.owner.as_deref() == Some(owner)))
    }

    pub(super) async fn set_owner(
        &self,
        session: &By,
        owner: Option<&str>,
        end: Instant,
    ) -> Result<(), SessionError> {
        let name = Name::of(&session.key());
        let mut call = self.call_session(&self.scripts.set_owner, name, id_of(session));
        call.arg(self.resolution()).arg(self.session_bound());
        call.arg(u8::from(owner.is_some()));
        call.arg(owner.unwrap_or_default());
        let record = self.own(name, owner, call, end).await?;
        self.after_owner(name, owner, &record, end).await
    }

    /// Renews an id without a grace, and says whose the session is.
    pub(super) async fn log_in(
        &self,
        id: &SessionId,
        owner: &str,
        end: Instant,
    ) -> Result<IssuedSession, SessionError> {
        let name = Name::of(&id.key());
        let new = id.renewed()?;
        let mut call = self.call_renew(id, &new, Duration::ZERO);
        call.arg(self.session_bound()).arg(owner);
        let record = self.own(name, Some(owner), call, end).await?;
        // The login is done, and only its caller knows the new id: it is not lost for what comes
        // after. What the index of another owner holds lapses, and the next login ends what is too
        // much.
        let _ = self.after_owner(name, Some(owner), &record, end).await;
        Ok(IssuedSession {
            id: new,
            snapshot: record.snapshot(),
        })
    }

    /// Has a script give a session an owner, or none; its last argument is until when the index
    /// holds it.
    async fn own(
        &self,
        name: Name,
        owner: Option<&str>,
        mut call: Call<'_>,
        end: Instant,
    ) -> Result<Record, SessionError> {
        // The owner whose index holds the session only for this.
        let mut new_owner = None;
        if let Some(owner) = owner {
            let idle = millis(self.settings.idle_timeout);
            let (until, is_new) = self.index_add(owner, name, idle, None, end).await?;
            new_owner = is_new.then_some(owner);
            call.arg(until);
        } else {
            call.arg("");
        }
        let written = self.write(name, &call, end).await;
        let owned = written.and_then(Answer::session);
        if let (Err(_), Some(owner)) = (&owned, new_owner) {
            // What the index holds for nothing lapses, should this fail too.
            let _ = self.disown(owner, name, end).await;
        }
        owned
    }

    /// What is to do when a session has another owner.
    async fn after_owner(
        &self,
        name: Name,
        owner: Option<&str>,
        record: &Record,
        end: Instant,
    ) -> Result<(), SessionError> {
        if let Some(owner) = owner
            && ends_soon(&record.terms, record.now)
        {
            let (terms, now) = (&record.terms, record.now);
            self.hold(owner, name, terms, now, end).await;
        }
        if let Some(was) = &record.was
            && Some(&**was) != owner
        {
            self.disown(was, name, end).await?;
        }
        if let (Some(owner), Some(most)) = (owner, self.settings.max_per_owner) {
            self.end_surplus(owner, most, name, end).await?;
        }
        Ok(())
    }

    /// Those that are an owner's, and live.
    async fn of_owner(
        &self,
        owner: &str,
        names: &[Name],
        end: Instant,
    ) -> Result<Vec<(Name, SessionInfo)>, SessionError> {
        // Together: they are pipelined.
        let looks = names.iter().map(|name| self.owner_of(*name, end));
        let mut listed = Vec::new();
        for (name, record) in names.iter().zip(join_all(looks).await) {
            if let Some(record) = record?
                && record.terms.owner.as_deref() == Some(owner)
            {
                listed.push((*name, record.info()));
            }
        }
        Ok(listed)
    }

    pub(super) async fn owned_by(
        &self,
        owner: &str,
        end: Instant,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        let names = self.index_list(owner, end).await?;
        let listed = self.of_owner(owner, &names, end).await?;
        Ok(listed.into_iter().map(|(_, session)| session).collect())
    }

    pub(super) async fn destroy_owned_by(
        &self,
        owner: &str,
        except: Option<&SessionKey>,
        end: Instant,
    ) -> Result<usize, SessionError> {
        let mut names = self.index_list(owner, end).await?;
        let except = except.map(Name::of);
        names.retain(|name| Some(*name) != except);
        let ends = names.iter().map(|name| self.end_owned(*name, owner, end));
        let mut ended = 0;
        for result in join_all(ends).await {
            ended += usize::from(result?);
        }
        Ok(ended)
    }

    /// Ends an owner's surplus, those first that were idle longest. `newest` counts, and stays. Of
    /// two logins at the same time, the first decides who goes.
    async fn end_surplus(
        &self,
        owner: &str,
        most: usize,
        newest: Name,
        end: Instant,
    ) -> Result<(), SessionError> {
        let mut others = self.index_list(owner, end).await?;
        others.retain(|name| *name != newest);
        if others.len() < most {
            // As nearly always: then none of them is looked at.
            return Ok(());
        }
        let mut others = self.of_owner(owner, &others, end).await?;
        if others.len() < most {
            return Ok(());
        }
        others.sort_by_key(|(_, session)| Reverse(session.idle_for));
        let mut call = self.index(owner, "claim");
        call.arg(newest.to_text()).arg(most);
        for (name, _) in &others {
            call.arg(name.to_text());
        }
        let claimed: Vec<Vec<u8>> = self.ask_index(owner, &call, end).await?;
        for name in claimed.iter().filter_map(|name| Name::parse(name)) {
            if let Err(error) = self.end_owned(name, owner, end).await {
                let idle = millis(self.settings.idle_timeout);
                // If this fails too, the session is held again when it is used for another idle
                // timeout.
                let _ = self.index_add(owner, name, idle, None, end).await;
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Whether what the index holds of a session must be put off.
fn ends_soon(terms: &Terms, now: u64) -> bool {
    let needed = now.saturating_add(KEPT.saturating_mul(terms.idle));
    let needed = needed.min(terms.limit.unwrap_or(u64::MAX));
    terms.held_until.is_none_or(|until| until < needed)
}
