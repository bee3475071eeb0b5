//! The steps of a request's session: what it has seen will do, or the provider is asked.

use super::cookie::Notice;
use super::observe;
use super::session::Session;
use super::stage::{Link, Seen};
use crate::provider::{Access, Answer, By, Provider, Turn};
use crate::session::{
    AttributeError, Attributes, Changes, IssuedSession, SessionError, SessionId, Snapshot,
};

impl Session {
    /// The request's id; none if there is no session yet.
    pub(super) fn live(&self) -> Result<Option<SessionId>, SessionError> {
        let live = self.stage().live()?;
        Ok(live.map(|(id, _)| id))
    }

    /// What `look` makes of the session, or of none if there is none yet: of what the request has
    /// seen if that will do, and of what the provider says otherwise.
    #[inline]
    pub(super) async fn look<R>(
        &self,
        look: impl FnOnce(Option<&Seen>) -> R,
    ) -> Result<R, SessionError> {
        let (id, access) = {
            let stage = self.stage();
            let Some((id, access)) = stage.live()? else {
                return Ok(look(None));
            };
            if let Some(seen) = &stage.seen
                && self.inner().is_fresh(seen, access)
            {
                return Ok(look(Some(seen)));
            }
            (id, access)
        };
        let seen = self.ask(id, access).await?;
        Ok(look(Some(&seen)))
    }

    /// What there is of the session now.
    async fn ask(&self, id: SessionId, access: Access) -> Result<Seen, SessionError> {
        let Some(store) = &self.inner().memory else {
            return self.read(id, access).await.map(Seen::told);
        };
        let writes = self.stage().writes;
        let found = self.step_here(id, |by| store.look_up(by, access))?;
        let is_superseded = found.is_superseded();
        let seen = Seen::Here(found);
        // Whether an old id still answers only another look-up can tell.
        if !is_superseded {
            self.cell().note(id.key(), writes, &seen);
        }
        Ok(seen)
    }

    /// What the provider says of the session now.
    pub(super) async fn read(
        &self,
        id: SessionId,
        access: Access,
    ) -> Result<Snapshot, SessionError> {
        let writes = self.stage().writes;
        let read = self.step_by(id, |provider, by| provider.read(by, access));
        let Some(snapshot) = read.await? else {
            self.cell().forget(id.key());
            return Err(SessionError::Ended);
        };
        self.note(id, writes, &snapshot);
        Ok(snapshot)
    }

    /// Takes a step at the provider, under an id of the request. If a clone of this session renewed
    /// that id meanwhile, the step is taken under the new one: the request has it.
    pub(super) async fn step_by<'s, T>(
        &'s self,
        mut id: SessionId,
        step: impl Fn(&'s dyn Provider, By) -> Answer<'s, T>,
    ) -> Result<T, SessionError> {
        loop {
            let result = step(self.provider(), By::Id(id)).await;
            match self.judge(result, id) {
                Ok(result) => return result,
                Err(newer) => id = newer,
            }
        }
    }

    /// The result of a step under an id, or the id that a clone has put in that one's place.
    pub(super) fn judge<T>(
        &self,
        result: Result<T, SessionError>,
        id: SessionId,
    ) -> Result<Result<T, SessionError>, SessionId> {
        if let Err(error) = &result {
            observe::failed(error);
            match (error, self.link()) {
                (SessionError::Superseded, Link::Live(newer))
                    if newer != id && newer.key() == id.key() =>
                {
                    return Err(newer);
                }
                (SessionError::Superseded | SessionError::Ended, _) => {
                    self.cell().forget(id.key());
                }
                _ => {}
            }
        }
        Ok(result)
    }

    /// Takes note of what a step over the network found. In memory that costs more than it saves.
    fn note(&self, id: SessionId, writes: u64, snapshot: &Snapshot) {
        if self.inner().memory.is_none() {
            let seen = Seen::told(snapshot.clone());
            self.cell().note(id.key(), writes, &seen);
        }
    }

    /// Begins a write over the network. Until it is done, and if nobody learns how it ended, reads
    /// ask the provider.
    pub(super) fn begin_write(&self, id: SessionId) -> u64 {
        match self.inner().memory {
            // There what was seen tells by itself that it is over.
            Some(_) => 0,
            None => self.cell().begin_write(id.key()),
        }
    }

    /// Takes a step in this process, as [`step_by`](Self::step_by).
    pub(super) fn step_here<T>(
        &self,
        mut id: SessionId,
        mut step: impl FnMut(By) -> Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        loop {
            match self.judge(step(By::Id(id)), id) {
                Ok(result) => return result,
                Err(newer) => id = newer,
            }
        }
    }

    /// Changes attributes by reading them first, and writing if nobody else has written meanwhile.
    pub(super) async fn change_by_version<R>(
        &self,
        id: SessionId,
        mut change: impl FnMut(&mut Attributes) -> Result<R, AttributeError>,
    ) -> Result<R, SessionError> {
        let turn = match self.provider().turn(By::Id(id)) {
            Some(turn) => Some(turn.await?),
            None => None,
        };
        let mut base = self.base(id, turn.as_ref().and_then(Turn::seen)).await?;
        loop {
            let mut new = base.attributes.clone();
            let result = change(&mut new)?;
            let changes = Changes::between(&base.attributes, &new);
            if changes.is_empty() {
                return Ok(result);
            }
            match self.apply_or_read(id, &changes, base.version).await? {
                Ok(_) => return Ok(result),
                Err(_) if turn.as_ref().is_some_and(Turn::is_over) => {
                    return Err(SessionError::Contended);
                }
                // Another caller wrote, and this is what it left.
                Err(newest) => base = newest,
            }
        }
    }

    /// What a change is made of: what this request has seen of the session, or the caller before it
    /// in the queue. If nothing is written, the session is not touched.
    async fn base(&self, id: SessionId, left: Option<&Snapshot>) -> Result<Snapshot, SessionError> {
        match (self.fresh(), left) {
            (Some(seen), Some(left)) if left.version > seen.version => Ok(left.clone()),
            (Some(seen), _) => Ok(seen),
            (None, Some(left)) => Ok(left.clone()),
            (None, None) => self.read(id, Access::Peek).await,
        }
    }

    /// What the request has seen, if that will do for a change.
    fn fresh(&self) -> Option<Snapshot> {
        match &self.stage().seen {
            Some(seen @ Seen::There(told)) if self.inner().is_fresh(seen, Access::Peek) => {
                Some(told.0.clone())
            }
            _ => None,
        }
    }

    /// Applies changes at a version, or reads what there is at another one.
    async fn apply_or_read(
        &self,
        id: SessionId,
        changes: &Changes,
        version: u64,
    ) -> Result<Result<Snapshot, Snapshot>, SessionError> {
        let write = self.begin_write(id);
        let apply = self.step_by(id, |provider, by| {
            provider.apply_or_read(by, changes.clone(), version)
        });
        let found = apply.await?;
        let (Ok(snapshot) | Err(snapshot)) = &found;
        self.note(id, write, snapshot);
        Ok(found)
    }

    pub(super) async fn apply_by(
        &self,
        id: SessionId,
        changes: &Changes,
        version: Option<u64>,
    ) -> Result<Snapshot, SessionError> {
        let write = self.begin_write(id);
        let apply = self.step_by(id, |provider, by| {
            provider.apply(by, changes.clone(), version)
        });
        let snapshot = apply.await?;
        self.note(id, write, &snapshot);
        Ok(snapshot)
    }

    pub(super) async fn apply(&self, changes: Changes) -> Result<(), SessionError> {
        loop {
            let Some(id) = self.live()? else {
                let mut attributes = Attributes::default();
                changes.apply_to(&mut attributes);
                if self.create(attributes).await? {
                    return Ok(());
                }
                continue;
            };
            let Some(store) = &self.inner().memory else {
                return self.apply_by(id, &changes, None).await.map(drop);
            };
            let mut change = |attributes: &mut Attributes| {
                changes.apply_to(attributes);
                Ok(())
            };
            return self.step_here(id, |by| store.change(by, &mut change));
        }
    }

    /// Creates the session. False if a clone of this one was faster: what it created is the
    /// request's session then, and nothing has been stored.
    #[cfg_attr(
        feature = "tracing",
        tracing::instrument(name = "dwell.session.create", level = "debug", skip_all)
    )]
    pub(super) async fn create(&self, attributes: Attributes) -> Result<bool, SessionError> {
        if self.stage().is_finished {
            return Err(SessionError::Finished);
        }
        let issued = self.provider().init(attributes).await;
        Ok(self.adopt(issued.inspect_err(observe::failed)?).await)
    }

    /// Makes a session that was just created the request's. False if a clone of this one was
    /// faster.
    pub(super) async fn adopt(&self, issued: IssuedSession) -> bool {
        let key = issued.id.key();
        let is_first = self.issued(issued, 0, |link| matches!(link, Link::New));
        if !is_first {
            // If this fails the session lapses: nobody has its id.
            let destroyed = self.provider().destroy(By::Key(key)).await;
            let _ = destroyed.inspect_err(observe::failed);
        }
        is_first
    }

    /// Takes up an id that was issued, if the request is still at a link that `expects` it.
    pub(super) fn issued(
        &self,
        issued: IssuedSession,
        writes: u64,
        expects: impl Fn(Link) -> bool,
    ) -> bool {
        let IssuedSession { id, snapshot } = issued;
        let notice = Notice::Issued(id, snapshot.lifetime_left);
        let is_remote = self.inner().memory.is_none();
        let seen = is_remote.then(|| Seen::told(snapshot));
        self.cell()
            .issued(id, notice, writes, seen.as_ref(), expects)
    }

    /// The id of the session, which is created if there is none yet.
    pub(super) async fn stored(&self) -> Result<SessionId, SessionError> {
        loop {
            match self.live()? {
                Some(id) => return Ok(id),
                None => self.create(Attributes::default()).await?,
            };
        }
    }
}
