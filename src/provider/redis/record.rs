//! A session as the server has it.

use super::failure::RedisFailure;
use super::remote::hash_of;
use crate::session::{
    Attributes, SessionError, SessionId, SessionInfo, SessionKey, Snapshot, Value as Json,
};
use redis::Value;
use std::sync::Arc;
use std::time::Duration;

/// What the scripts answer about a session. Times are in milliseconds, by the clock that the
/// scripts see.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) now: u64,
    pub(super) terms: Terms,
    /// Whether the script that answers has written to the session.
    pub(super) is_written: bool,
    version: u64,
    created: u64,
    accessed: u64,
    attributes: Attributes,
    secret: String,
    /// Secrets that may still answer, and until when.
    replaced: Vec<(String, u64)>,
    /// Whose it was before it was given an owner, or nobody.
    pub(super) was: Option<String>,
}

/// What decides how long a session lives, and where the owner index has it.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) key: SessionKey,
    pub(super) idle: u64,
    pub(super) limit: Option<u64>,
    pub(super) owner: Option<Arc<str>>,
    pub(super) held_until: Option<u64>,
}

/// A script's answer.
#[derive(Debug)]
pub(super) enum Answer<T> {
    Session(T),
    /// There is none.
    Ended,
    Superseded,
    Collision,
    /// It is at another version: as it is.
    Conflict(T),
    TooLarge {
        bytes: u64,
        bound: u64,
    },
}

impl<T> Answer<T> {
    /// What most operations make of it: those that name no version meet no conflict.
    pub(super) fn session(self) -> Result<T, SessionError> {
        let none = |_| RedisFailure::NotASession("a conflict with nothing").into();
        self.at_version()?.map_err(none)
    }

    /// What an operation at a version makes of it: the session; or as it is, if it is at another
    /// version.
    pub(super) fn at_version(self) -> Result<Result<T, T>, SessionError> {
        match self {
            Self::Session(session) => Ok(Ok(session)),
            Self::Conflict(newest) => Ok(Err(newest)),
            Self::Ended => Err(SessionError::Ended),
            Self::Superseded => Err(SessionError::Superseded),
            Self::Collision => Err(SessionError::Collision),
            Self::TooLarge { bytes, bound } => Err(SessionError::TooLarge { bytes, bound }),
        }
    }
}

/// Reads an answer; `read` what it says about a session, and the time of that.
pub(super) fn answer<T>(
    value: Value,
    read: impl FnOnce(u64, Vec<Value>) -> Result<T, RedisFailure>,
) -> Result<Answer<T>, RedisFailure> {
    match value {
        Value::Nil | Value::Boolean(false) => Ok(Answer::Ended),
        Value::BulkString(word) if word == b"superseded" => Ok(Answer::Superseded),
        Value::BulkString(word) if word == b"collision" => Ok(Answer::Collision),
        Value::Array(parts) => {
            let [first, second] = <[Value; 2]>::try_from(parts)
                .map_err(|_| RedisFailure::NotASession("an answer of another length"))?;
            let Value::Array(fields) = second else {
                return Err(RedisFailure::NotASession("no fields"));
            };
            if matches!(&first, Value::BulkString(word) if word == b"conflict") {
                let [now, fields] = <[Value; 2]>::try_from(fields)
                    .map_err(|_| RedisFailure::NotASession("a conflict of another kind"))?;
                let Value::Array(fields) = fields else {
                    return Err(RedisFailure::NotASession("no fields"));
                };
                return read(number(&now)?, fields).map(Answer::Conflict);
            }
            if let (Value::BulkString(word), [bytes, bound]) = (&first, &fields[..])
                && word == b"too large"
            {
                let (bytes, bound) = (number(bytes)?, number(bound)?);
                return Ok(Answer::TooLarge { bytes, bound });
            }
            read(number(&first)?, fields).map(Answer::Session)
        }
        _ => Err(RedisFailure::NotASession("an answer of another kind")),
    }
}

impl Record {
    /// Reads the fields and values of a whole session.
    pub(super) fn read(now: u64, fields: Vec<Value>) -> Result<Self, RedisFailure> {
        let mut attributes = Attributes::default();
        let mut known: [Option<Value>; 12] = Default::default();
        const NAMES: [&[u8]; 12] = [
            b"k", b"i", b"d", b"o", b"x", b"v", b"c", b"t", b"s", b"r", b"was", b"w",
        ];
        let mut fields = fields.into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            let name = bytes(name)?;
            if let Some(name) = name.strip_prefix(b"a:") {
                let name = std::str::from_utf8(name)
                    .map_err(|_| RedisFailure::NotASession("an attribute without a name"))?;
                attributes.set_value(name, Json::from_json(bytes(value)?));
            } else if let Some(at) = NAMES.iter().position(|known| **known == *name) {
                known[at] = Some(value);
            }
        }
        let [
            key,
            idle,
            limit,
            owner,
            held_until,
            version,
            created,
            accessed,
            secret,
            replaced,
            was,
            written,
        ] = known.map(|value| value.unwrap_or(Value::Nil));
        Ok(Self {
            now,
            terms: Terms::of([key, idle, limit, owner, held_until])?,
            is_written: written != Value::Nil,
            version: number(&version)?,
            created: number(&created)?,
            accessed: number(&accessed)?,
            attributes,
            secret: text(secret)?,
            replaced: replaced_secrets(&option(replaced, text)?.unwrap_or_default()),
            was: option(was, text)?,
        })
    }

    /// What it is so many milliseconds later, if nobody accesses it.
    pub(super) fn later_by(&self, millis: u64) -> Self {
        Self {
            now: self.now.saturating_add(millis),
            ..self.clone()
        }
    }

    /// Whether it answers to a secret, by its hash; none if the secret is unknown here, and may be
    /// a newer one.
    pub(super) fn admits(&self, secret: &str) -> Option<bool> {
        if self.secret == secret {
            return Some(true);
        }
        let known = self
            .replaced
            .iter()
            .find(|(replaced, _)| replaced == secret);
        known.map(|(_, until)| self.now < *until)
    }

    pub(super) fn accessed(&self) -> u64 {
        self.accessed
    }

    /// Bytes of what is different from session to session, by estimate.
    pub(super) fn size(&self) -> usize {
        let owner = self.terms.owner.as_ref().map_or(0, |owner| owner.len());
        let secrets = self.replaced.iter().map(|(secret, _)| secret.len());
        self.attributes.size() + owner + secrets.sum::<usize>()
    }

    /// The session, as it was read by an id.
    pub(super) fn snapshot_by(self, id: Option<&SessionId>) -> Snapshot {
        let is_newest = |id| self.replaced.is_empty() || self.secret == hash_of(id);
        let is_superseded = id.is_some_and(|id| !is_newest(id));
        let mut snapshot = self.snapshot();
        snapshot.is_superseded = is_superseded;
        snapshot
    }

    pub(super) fn snapshot(self) -> Snapshot {
        let left = |limit: u64| Duration::from_millis(limit.saturating_sub(self.now));
        let mut snapshot = Snapshot::new(self.terms.key, self.attributes, self.version);
        snapshot.owner = self.terms.owner;
        snapshot.age = Duration::from_millis(self.now.saturating_sub(self.created));
        snapshot.lifetime_left = self.terms.limit.map(left);
        snapshot
    }

    pub(super) fn info(self) -> SessionInfo {
        let idle_for = Duration::from_millis(self.now.saturating_sub(self.accessed));
        let left = Duration::from_millis(self.ends().saturating_sub(self.now));
        SessionInfo::new(self.snapshot(), idle_for, left)
    }

    /// When it ends if it is not accessed any more.
    pub(super) fn ends(&self) -> u64 {
        let idle = self.accessed.saturating_add(self.terms.idle);
        idle.min(self.terms.limit.unwrap_or(u64::MAX))
            .min(self.terms.held_until.unwrap_or(u64::MAX))
    }
}

impl Terms {
    /// Reads the fields `k`, `i`, `d`, `o`, `x`.
    pub(super) fn read(fields: Vec<Value>) -> Result<Self, RedisFailure> {
        let fields = <[Value; 5]>::try_from(fields);
        Self::of(fields.map_err(|_| RedisFailure::NotASession("other fields"))?)
    }

    fn of([key, idle, limit, owner, held_until]: [Value; 5]) -> Result<Self, RedisFailure> {
        Ok(Self {
            key: SessionKey::parse(&text(key)?)
                .ok_or(RedisFailure::NotASession("a key of another form"))?,
            idle: number(&idle)?,
            limit: option(limit, |limit| number(&limit))?,
            owner: option(owner, text)?.map(Arc::from),
            held_until: option(held_until, |until| number(&until))?,
        })
    }
}

/// Hashes, each with a time, as the scripts write them.
fn replaced_secrets(text: &str) -> Vec<(String, u64)> {
    let words: Vec<_> = text.split(' ').collect();
    let pairs = words.chunks_exact(2);
    pairs
        .filter_map(|pair| Some((pair[0].to_owned(), pair[1].parse().ok()?)))
        .collect()
}

fn option<T>(
    value: Value,
    read: impl FnOnce(Value) -> Result<T, RedisFailure>,
) -> Result<Option<T>, RedisFailure> {
    match value {
        Value::Nil | Value::Boolean(false) => Ok(None),
        value => read(value).map(Some),
    }
}

fn bytes(value: Value) -> Result<Vec<u8>, RedisFailure> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(RedisFailure::NotASession("a field of another kind")),
    }
}

pub(super) fn text(value: Value) -> Result<String, RedisFailure> {
    String::from_utf8(bytes(value)?).map_err(|_| RedisFailure::NotASession("text of another kind"))
}

pub(super) fn number(value: &Value) -> Result<u64, RedisFailure> {
    let digits = match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or(RedisFailure::NotASession("a number that is none"))
}
