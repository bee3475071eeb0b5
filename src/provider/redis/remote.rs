//! The operations on one session, each a script that changes one key.

use super::connection::Place;
use super::failure::RedisFailure;
use super::link::{Link, Repeat};
use super::names::{Name, Names, Target};
use super::near::{Fetched, Flight, Forgetting, Found, Near};
use super::owners::Seen;
use super::queue::Queues;
use super::record::{Answer, Record, Terms, answer, text};
use super::scripts::{Call, Script, Scripts};
use crate::Clock;
use crate::session::{
    Attributes, By, Change, Changes, IssuedSession, SessionError, SessionId, Settings, Snapshot,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::{FromRedisValue, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Replaced secrets that still answer, at the most: as in memory.
const MOST_REPLACED: usize = 8;
/// With a clock that is not the server's, the server may remove a session that much later than it
/// ends.
const SLACK: Duration = Duration::from_secs(60 * 60);
/// How long a reader waits for the answer that another caller asked for. That caller's task may not
/// be running.
const PATIENCE: Duration = Duration::from_millis(100);

/// Whether a read counts as an access, and under which secret.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) id: Option<&'a SessionId>,
    pub(super) touches: bool,
}

/// Sessions in a server.
pub(super) struct Remote {
    pub(super) link: Link,
    pub(super) near: Option<Arc<Near>>,
    pub(super) names: Names,
    pub(super) scripts: Scripts,
    pub(super) queues: Queues,
    pub(super) settings: Settings,
    pub(super) seen: Seen,
    /// None for the server's.
    pub(super) clock: Option<Arc<dyn Clock>>,
}

impl Remote {
    /// A call of a script on a key, with the time.
    pub(super) fn call<'a>(&self, script: &'a Script, key: String) -> Call<'a> {
        let mut call = script.key(key);
        match &self.clock {
            None => call.arg("").arg(0),
            Some(clock) => call.arg(clock.now_millis()).arg(millis(SLACK)),
        };
        call
    }

    /// A call of a script on a session, by a request that came with an id; none: it names the
    /// session by its key.
    pub(super) fn call_session<'a>(
        &self,
        script: &'a Script,
        name: Name,
        id: Option<&SessionId>,
    ) -> Call<'a> {
        let mut call = self.call(script, self.names.session(name));
        call.arg(id.map_or(String::new(), hash_of));
        call.arg(millis(self.settings.idle_timeout));
        call.arg(self.settings.max_lifetime.map_or(String::new(), to_text));
        call
    }

    /// To be kept while a session is written to.
    pub(super) fn forgetting(&self, name: Name) -> Forgetting<'_> {
        Forgetting::after_write(self.near.as_deref(), name)
    }

    async fn ask<T: FromRedisValue>(
        &self,
        name: Name,
        call: &Call<'_>,
        repeat: Repeat,
        end: Instant,
    ) -> Result<T, RedisFailure> {
        let target = Target::Session(name);
        self.link.run(target, call, repeat, end).await
    }

    pub(super) fn resolution(&self) -> u64 {
        resolution(&self.settings)
    }

    /// How many bytes a session may take. The server bounds all of them together.
    pub(super) fn session_bound(&self) -> u64 {
        let settings = Settings {
            capacity_bytes: None,
            ..self.settings
        };
        settings.session_bound()
    }

    pub(super) async fn init(
        &self,
        attributes: &Attributes,
        end: Instant,
    ) -> Result<(SessionId, Record), SessionError> {
        let id = SessionId::generate()?;
        let name = Name::of(&id.key());
        let mut call = self.call_session(&self.scripts.init, name, None);
        call.arg(id.key().to_text()).arg(hash_of(&id));
        let mut pairs = Vec::with_capacity(attributes.len());
        let mut bytes = 0;
        for (key, value) in attributes.values() {
            let json = value.to_json().map_err(RedisFailure::Encode)?;
            // As the scripts count.
            bytes += 1 + key.len() + json.len();
            pairs.push((key, json));
        }
        let (bytes, bound) = (bytes as u64, self.session_bound());
        if bytes > bound {
            return Err(SessionError::TooLarge { bytes, bound });
        }
        for (key, json) in pairs {
            call.arg(key).arg(json);
        }
        let value = self.ask(name, &call, Repeat::IfNotDone, end).await?;
        let record = answer(value, Record::read)?.session()?;
        Ok((id, record))
    }

    pub(super) async fn read(
        &self,
        name: Name,
        look: Look<'_>,
        end: Instant,
    ) -> Result<Option<Record>, SessionError> {
        let (record, _) = self.fetch(name, look, end).await?;
        if let Some(record) = &record {
            self.hold_longer(name, &record.terms, record.now, end).await;
        }
        Ok(record)
    }

    /// As [`read`](Self::read), and nothing is done about the owner's index. Tells also over which
    /// connection the answer came.
    pub(super) async fn fetch(
        &self,
        name: Name,
        look: Look<'_>,
        end: Instant,
    ) -> Result<(Option<Record>, Place), SessionError> {
        let mut call = self.call_session(&self.scripts.read, name, look.id);
        match look.touches {
            true => call.arg(self.resolution()),
            false => call.arg(""),
        };
        let target = Target::Session(name);
        let answered = self.link.run_over(target, &call, Repeat::Always, end);
        let (value, place) = answered.await?;
        match answer(value, Record::read)? {
            Answer::Ended => Ok((None, place)),
            answer => Ok((Some(answer.session()?), place)),
        }
    }

    /// As [`read`](Self::read), from the near cache if there is one and it may say.
    pub(super) async fn read_near(
        &self,
        name: Name,
        look: Look<'_>,
        end: Instant,
    ) -> Result<Option<Record>, SessionError> {
        let Some(near) = self.near.as_deref() else {
            return self.read(name, look, end).await;
        };
        let spot = self.link.spot(Target::Session(name));
        let found = match look.touches {
            true => near.find_or_ask(name, &spot),
            false => match near.find(name, &spot) {
                Some(copy) => Found::Copy(copy),
                None => return self.read(name, look, end).await,
            },
        };
        let record = match found {
            Found::Copy(copy) => copy,
            Found::Flight(flight) => {
                let fetch = || self.fetch_near(near, name, look, &flight, end);
                let fetched = flight.fetched.get_or_try_init(fetch);
                let waits_until = end.min(Instant::now() + PATIENCE);
                match timeout_at(waits_until, fetched).await {
                    Ok(fetched) => match fetched? {
                        Fetched::Session(record) => record.clone(),
                        Fetched::Ended => return Ok(None),
                        Fetched::Refused => return self.read(name, look, end).await,
                    },
                    Err(_) => return self.read(name, look, end).await,
                }
            }
        };
        match look.id.map_or(Some(true), |id| record.admits(&hash_of(id))) {
            Some(true) => Ok(Some(record)),
            Some(false) => Err(SessionError::Superseded),
            // The server may know it.
            None => self.read(name, look, end).await,
        }
    }

    /// What a flight is for: asks, and keeps what it is told.
    async fn fetch_near(
        &self,
        near: &Near,
        name: Name,
        look: Look<'_>,
        flight: &Arc<Flight>,
        end: Instant,
    ) -> Result<Fetched, SessionError> {
        let (record, place) = match self.fetch(name, look, end).await {
            Ok((Some(record), place)) => (record, place),
            other => {
                near.give_up(name, flight);
                return match other {
                    Ok(_) => Ok(Fetched::Ended),
                    Err(SessionError::Superseded) => Ok(Fetched::Refused),
                    Err(error) => Err(error),
                };
            }
        };
        near.keep(name, flight, &record, &place);
        self.hold_longer(name, &record.terms, record.now, end).await;
        Ok(Fetched::Session(record))
    }

    /// Has a script write that answers with the whole session. With a near cache the answer is the
    /// next copy.
    pub(super) async fn write(
        &self,
        name: Name,
        call: &Call<'_>,
        end: Instant,
    ) -> Result<Answer<Record>, SessionError> {
        let target = Target::Session(name);
        let Some(near) = self.near.as_deref() else {
            let value = self.link.run(target, call, Repeat::IfNotDone, end).await?;
            return Ok(answer(value, Record::read)?);
        };
        let mut forgetting = self.forgetting(name);
        let flight = near.flight(&self.link.spot(target));
        let mut is_conflict = false;
        let ask = async || {
            // Nobody finds the flight before: so it is this caller that asks, and the others wait.
            near.begin(name, &flight);
            let written = self.link.run_over(target, call, Repeat::IfNotDone, end);
            let (value, place) = written.await.map_err(|failure| Err(failure.into()))?;
            let answer = answer(value, Record::read).map_err(|failure| Err(failure.into()))?;
            is_conflict = matches!(answer, Answer::Conflict(_));
            let record = match answer {
                Answer::Session(record) | Answer::Conflict(record) => record,
                refused => return Err(Ok(refused)),
            };
            if near.keep(name, &flight, &record, &place) {
                forgetting.never();
            }
            Ok(Fetched::Session(record))
        };
        match flight.fetched.get_or_try_init(ask).await {
            Ok(Fetched::Session(newest)) if is_conflict => Ok(Answer::Conflict(newest.clone())),
            Ok(Fetched::Session(record)) => Ok(Answer::Session(record.clone())),
            Ok(Fetched::Ended) => Ok(Answer::Ended),
            Ok(Fetched::Refused) => Ok(Answer::Superseded),
            Err(refused) => refused,
        }
    }

    /// Applies changes; if the session is not at the version, the answer is the session as it is,
    /// in an error's place.
    pub(super) async fn apply(
        &self,
        session: &By,
        changes: &Changes,
        version: Option<u64>,
        end: Instant,
    ) -> Result<Result<Snapshot, Snapshot>, SessionError> {
        let name = Name::of(&session.key());
        let mut call = self.call_session(&self.scripts.apply, name, id_of(session));
        call.arg(version.map_or(String::new(), |version| version.to_string()));
        call.arg(self.resolution()).arg(self.session_bound());
        for change in changes.iter() {
            match change {
                Change::Set(key, value) => {
                    let json = value.to_json().map_err(RedisFailure::Encode)?;
                    call.arg("=").arg(&**key).arg(json)
                }
                Change::Delete(key) => call.arg("-").arg(&**key),
            };
        }
        let answer = self.write(name, &call, end).await?.at_version()?;
        if let Ok(record) = &answer {
            self.hold_longer(name, &record.terms, record.now, end).await;
        }
        let answer = answer.map(Record::snapshot).map_err(Record::snapshot);
        let (Ok(newest) | Err(newest)) = &answer;
        self.queues.leave(session, newest);
        Ok(answer)
    }

    pub(super) async fn touch(&self, session: &By, end: Instant) -> Result<(), SessionError> {
        let name = Name::of(&session.key());
        if self.near.is_some() {
            let look = Look {
                id: id_of(session),
                touches: true,
            };
            let record = self.read_near(name, look, end).await?;
            return record.map(drop).ok_or(SessionError::Ended);
        }
        let mut call = self.call_session(&self.scripts.touch, name, id_of(session));
        call.arg(self.resolution());
        let value = self.ask(name, &call, Repeat::Always, end).await?;
        self.by_new_terms(name, value, end).await
    }

    pub(super) async fn set_terms(
        &self,
        session: &By,
        idle: Option<Duration>,
        lifetime: Option<Duration>,
        end: Instant,
    ) -> Result<(), SessionError> {
        let name = Name::of(&session.key());
        let _forgetting = self.forgetting(name);
        let mut call = self.call_session(&self.scripts.set_terms, name, id_of(session));
        let idle = idle.map(|idle| idle.max(Duration::from_millis(1)));
        call.arg(idle.map_or(String::new(), to_text));
        call.arg(lifetime.map_or(String::new(), to_text));
        let value = self.ask(name, &call, Repeat::IfNotDone, end).await?;
        self.by_new_terms(name, value, end).await
    }

    async fn by_new_terms(
        &self,
        name: Name,
        value: Value,
        end: Instant,
    ) -> Result<(), SessionError> {
        let read = |now, fields| Ok((now, Terms::read(fields)?));
        let (now, terms) = answer(value, read)?.session()?;
        self.hold_longer(name, &terms, now, end).await;
        Ok(())
    }

    /// Ends a session. Whether there was one.
    pub(super) async fn destroy(&self, session: &By, end: Instant) -> Result<bool, SessionError> {
        let name = Name::of(&session.key());
        let mut call = self.call_session(&self.scripts.destroy, name, id_of(session));
        call.arg("").arg(0);
        self.end_by(name, &call, end).await
    }

    /// Ends a session if it is an owner's. Whether it was.
    pub(super) async fn end_owned(
        &self,
        name: Name,
        owner: &str,
        end: Instant,
    ) -> Result<bool, SessionError> {
        let mut call = self.call_session(&self.scripts.destroy, name, None);
        call.arg(owner).arg(1);
        self.end_by(name, &call, end).await
    }

    async fn end_by(
        &self,
        name: Name,
        call: &Call<'_>,
        end: Instant,
    ) -> Result<bool, SessionError> {
        let _forgetting = self.forgetting(name);
        let value = self.ask(name, call, Repeat::Always, end).await?;
        let owner = |_, mut owner: Vec<Value>| Ok(owner.pop());
        let owner = match answer(value, owner)? {
            Answer::Ended => return Ok(false),
            answer => answer.session()?,
        };
        if let Some(owner @ Value::BulkString(_)) = owner {
            // It has ended. What the index holds of it lapses, should this fail.
            let _ = self.index_remove(&text(owner)?, name, end).await;
        }
        Ok(true)
    }

    pub(super) async fn renew(
        &self,
        id: &SessionId,
        grace: Option<Duration>,
        end: Instant,
    ) -> Result<IssuedSession, SessionError> {
        let name = Name::of(&id.key());
        let new = id.renewed()?;
        let call = self.call_renew(id, &new, grace.unwrap_or(self.settings.grace));
        let record = self.write(name, &call, end).await?.session()?;
        self.hold_longer(name, &record.terms, record.now, end).await;
        Ok(IssuedSession {
            id: new,
            snapshot: record.snapshot(),
        })
    }

    pub(super) fn call_renew(&self, id: &SessionId, new: &SessionId, grace: Duration) -> Call<'_> {
        let name = Name::of(&id.key());
        let mut call = self.call_session(&self.scripts.renew, name, Some(id));
        call.arg(self.resolution()).arg(hash_of(new));
        call.arg(to_text(grace)).arg(MOST_REPLACED);
        call
    }
}

/// The id that a request came with, if it did.
pub(super) fn id_of(session: &By) -> Option<&SessionId> {
    match session {
        By::Id(id) => Some(id),
        By::Key(_) => None,
    }
}

/// The resolution of a touch: more than half of the idle timeout would let sessions end between
/// two.
pub(super) fn resolution(settings: &Settings) -> u64 {
    let most = millis(settings.idle_timeout).div_ceil(2);
    millis(settings.touch_resolution).min(most)
}

pub(super) fn hash_of(id: &SessionId) -> String {
    URL_SAFE_NO_PAD.encode(id.secret().digest())
}

pub(super) fn millis(duration: Duration) -> u64 {
    // A script's numbers are exact up to 2^53; a sum of two of these is.
    u64::try_from(duration.as_millis()).map_or(1 << 51, |millis| millis.min(1 << 51))
}

fn to_text(duration: Duration) -> String {
    millis(duration).to_string()
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("link", &self.link)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
