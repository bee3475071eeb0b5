//! Reading: all of a file or nothing of it; or, if one asks for that, what is whole of it.

use super::block::{Content, HEAD, Head, MARKER, Sealer};
use super::error::SnapshotError;
use super::header::{self, Header};
use super::{Progress, SnapshotFile};
use crate::session::{Builder, Fate, Saved, SessionStore};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many times its length a file may be read for nothing.
const MOST_IN_VAIN: u64 = 16;

/// What was restored.
///
/// ```
/// use dwell::session::{SessionStore, Settings};
/// use dwell::snapshot::SnapshotFile;
/// use std::time::Duration;
///
/// # let directory = tempfile::tempdir()?;
/// # let file = SnapshotFile::new(directory.path().join("sessions.dwell"));
/// let settings = Settings::new(Duration::from_secs(60));
/// file.write(&SessionStore::builder(settings).build()?)?;
/// let (_, restored) = file.restore(SessionStore::builder(settings))?;
/// assert_eq!((restored.sessions, restored.lapsed, restored.lost_bytes), (0, 0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Sessions that are live again.
    pub sessions: u64,
    /// Sessions that ended since they were written, that the store's settings do not let live any
    /// more, or that are larger than the store has room for.
    pub lapsed: u64,
    /// Sessions that [`on_restore`](SnapshotFile::on_restore) did not want.
    pub left_out: u64,
    /// How long ago the writing began, by the wall clock.
    pub age: Duration,
    /// Bytes that [`recover`](SnapshotFile::recover) could make nothing of.
    pub lost_bytes: u64,
    /// Whether the file's end is there. If not, nobody knows how many sessions are lost.
    pub is_complete: bool,
    /// How long it took.
    pub took: Duration,
}

/// What is found at a place of the file.
enum Found {
    Block(Head, Content),
    Damaged,
    /// The file ends here, or in the middle of a block.
    End {
        is_clean: bool,
    },
}

/// A file that is being read.
struct Reading {
    from: BufReader<File>,
    sealer: Sealer,
    header: Header,
    offset: u64,
    length: u64,
    /// Bytes of what seemed to be blocks, and was none.
    in_vain: u64,
}

impl Reading {
    fn open(file: &SnapshotFile) -> Result<Self, SnapshotError> {
        let opened = File::open(&file.path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => SnapshotError::Missing {
                path: file.path.clone(),
            },
            _ => file.failed("open")(error),
        })?;
        let length = opened.metadata().map_err(file.failed("read"))?.len();
        let mut from = BufReader::new(opened);
        let mut bytes = [0; header::LENGTH];
        from.read_exact(&mut bytes)
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => SnapshotError::NotASnapshot,
                _ => file.failed("read")(error),
            })?;
        let header = Header::parse(&bytes, file.key.as_ref())?;
        Ok(Self {
            from,
            sealer: Sealer::new(header, file.key.as_ref()),
            header,
            offset: header::LENGTH as u64,
            length,
            in_vain: 0,
        })
    }

    /// Looks for a block here. Goes on behind it, if there is one.
    fn next(&mut self) -> std::io::Result<Found> {
        let mut head = Vec::with_capacity(HEAD);
        self.from
            .by_ref()
            .take(HEAD as u64)
            .read_to_end(&mut head)?;
        let Ok(bytes) = <&[u8; HEAD]>::try_from(&head[..]) else {
            let is_clean = head.is_empty();
            return Ok(Found::End { is_clean });
        };
        let Some(head) = Head::parse(bytes) else {
            return Ok(Found::Damaged);
        };
        let length = u64::from(head.length);
        if self.offset + HEAD as u64 + length > self.length {
            return Ok(Found::End { is_clean: false });
        }
        let mut body = vec![0; head.length as usize];
        self.from.read_exact(&mut body)?;
        Ok(match self.sealer.open(head, &body) {
            None => {
                self.in_vain += length;
                Found::Damaged
            }
            Some(content) => {
                self.offset += HEAD as u64 + length;
                Found::Block(head, content)
            }
        })
    }

    /// Goes to the next place where a block may begin. False if there is none; or if so many places
    /// only looked like one that the file must have been made to look so.
    fn seek(&mut self) -> std::io::Result<bool> {
        if self.in_vain > self.length.saturating_mul(MOST_IN_VAIN) {
            return Ok(false);
        }
        self.offset += 1;
        self.from.seek(SeekFrom::Start(self.offset))?;
        let mut last = [0; MARKER.len()];
        for (read, byte) in self.from.by_ref().bytes().enumerate() {
            last.rotate_left(1);
            last[MARKER.len() - 1] = byte?;
            // Not before it has read as many: no byte of the marker is zero.
            if last == *MARKER {
                self.offset += (read + 1 - MARKER.len()) as u64;
                self.from.seek(SeekFrom::Start(self.offset))?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl SnapshotFile {
    /// Builds a store, with all sessions of the file that have not ended meanwhile.
    ///
    /// All or nothing: if anything is wrong with the file, there is an error and no store. Removes
    /// what a program that was killed while writing has left beside the file; so nobody should
    /// write it meanwhile. No events are told for sessions that are restored. A bounded store takes
    /// the restored sessions for ones that were never accessed.
    ///
    /// **What came from the settings follows the settings**: a session that has no idle timeout or
    /// lifetime of its own gets those of `builder`, shorter or longer, counted from its last access
    /// and from its creation. What the program set for a session
    /// ([`set_idle_timeout`](crate::session::LiveSession::set_idle_timeout),
    /// [`set_lifetime`](crate::session::LiveSession::set_lifetime)) stays. Of an owner with more
    /// sessions than `max_per_owner` those that were idle longest end.
    ///
    /// **What ended since the file was written is back**, if the program did not stop in good
    /// order: see the [module](crate::snapshot). [`on_restore`](Self::on_restore) lets the program
    /// decide what that may do.
    ///
    /// Reading takes, beside the store, at most 32 times a block's length in the file; and all of
    /// it, the store included, at most about 32 times the file's length, whoever wrote it. A store
    /// with a bound keeps to that.
    ///
    /// # Errors
    /// [`SnapshotError::Missing`] at the first start; otherwise what is wrong with the file, or the
    /// builder.
    pub fn restore(
        &self,
        builder: Builder,
    ) -> Result<(SessionStore, RestoreReport), SnapshotError> {
        self.restore_with(builder, |_| {})
    }

    /// As [`restore`](Self::restore), and tells how far it is after each block. How many sessions
    /// are expected is not known: it is zero.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub fn restore_with(
        &self,
        builder: Builder,
        progress: impl FnMut(Progress),
    ) -> Result<(SessionStore, RestoreReport), SnapshotError> {
        self.remove_unfinished()?;
        let mut reading = Reading::open(self)?;
        let mut restoring = Restoring::new(self, builder, progress)?;
        let mut blocks = 0;
        let sessions = loop {
            let offset = reading.offset;
            let damaged = SnapshotError::Damaged {
                block: blocks,
                offset,
            };
            match reading.next().map_err(self.failed("read"))? {
                Found::Block(head, _) if head.number != blocks => return Err(damaged),
                Found::Block(head, content) if head.is_last => {
                    break u64_of(&content).ok_or(damaged)?;
                }
                Found::Block(_, content) => {
                    if !restoring.put(&content, reading.offset) {
                        return Err(damaged);
                    }
                }
                Found::Damaged => return Err(damaged),
                Found::End { .. } => return Err(SnapshotError::Truncated { blocks }),
            }
            blocks += 1;
        };
        let offset = reading.offset;
        match reading.next().map_err(self.failed("read"))? {
            Found::End { is_clean: true } => {}
            _ => return Err(SnapshotError::Trailing { offset }),
        }
        if sessions != restoring.read() {
            return Err(SnapshotError::Truncated { blocks });
        }
        Ok(restoring.done(&reading.header, 0, true))
    }

    /// Builds a store with the sessions of all blocks that are whole, wherever they stand.
    ///
    /// For a file that [`restore`](Self::restore) refuses, if some of the sessions are better than
    /// none: what is lost, and what was lost with it, nobody knows. Sealed blocks are those of this
    /// file and no others. A file that is made to look like blocks at very many places is given up
    /// after sixteen times its length.
    ///
    /// # Errors
    /// If the beginning of the file is damaged, or the key is wrong: then nothing can be recovered.
    pub fn recover(
        &self,
        builder: Builder,
    ) -> Result<(SessionStore, RestoreReport), SnapshotError> {
        let mut reading = Reading::open(self)?;
        let mut restoring = Restoring::new(self, builder, |_| {})?;
        let (mut whole, mut is_complete) = (header::LENGTH as u64, false);
        loop {
            let offset = reading.offset;
            match reading.next().map_err(self.failed("read"))? {
                Found::Block(head, content) => {
                    let is_whole = match head.is_last {
                        true => u64_of(&content).is_some(),
                        false => restoring.put(&content, reading.offset),
                    };
                    is_complete |= head.is_last && is_whole;
                    whole += u64::from(is_whole) * (reading.offset - offset);
                }
                Found::End { is_clean: true } => break,
                Found::Damaged | Found::End { .. } => {
                    if !reading.seek().map_err(self.failed("read"))? {
                        break;
                    }
                }
            }
        }
        let lost = reading.length.saturating_sub(whole);
        Ok(restoring.done(&reading.header, lost, is_complete))
    }
}

/// The number of sessions, in the last block.
fn u64_of(content: &Content) -> Option<u64> {
    let bytes = content.bytes[..].try_into().ok()?;
    Some(u64::from_le_bytes(bytes))
}

/// A store that is being filled.
struct Restoring<'f, P> {
    file: &'f SnapshotFile,
    store: SessionStore,
    progress: P,
    sessions: u64,
    lapsed: u64,
    left_out: u64,
    /// How many sessions an owner has, if there may not be any number.
    owners: HashMap<Arc<str>, usize>,
    started: Instant,
}

impl<'f, P: FnMut(Progress)> Restoring<'f, P> {
    fn new(file: &'f SnapshotFile, builder: Builder, progress: P) -> Result<Self, SnapshotError> {
        Ok(Self {
            file,
            store: builder.with_a_past().build()?,
            progress,
            sessions: 0,
            lapsed: 0,
            left_out: 0,
            owners: HashMap::new(),
            started: Instant::now(),
        })
    }

    /// Sessions that were in the file until now.
    fn read(&self) -> u64 {
        self.sessions + self.lapsed + self.left_out
    }

    /// Puts back the sessions of a block. False if something in it is none: those before it are
    /// back then.
    fn put(&mut self, content: &Content, offset: u64) -> bool {
        let times = self.store.times(self.file.now());
        let is_counted = self.store.settings().max_per_owner.is_some();
        let (mut bytes, mut room) = (&content.bytes[..], content.weight);
        while !bytes.is_empty() {
            let Some(saved) = Saved::take(&mut bytes, &mut room) else {
                return false;
            };
            let mut owner = None;
            let fate = self.store.put_back(saved, times, |session| {
                let is_wanted = self.file.on_restore.as_ref().is_none_or(|on| on(session));
                owner = session.owner.clone().filter(|_| is_counted);
                is_wanted
            });
            match fate {
                Fate::Live => {
                    self.sessions += 1;
                    if let Some(owner) = owner {
                        *self.owners.entry(owner).or_default() += 1;
                    }
                }
                Fate::Lapsed => self.lapsed += 1,
                Fate::LeftOut => self.left_out += 1,
            }
        }
        let sessions = self.read();
        (self.progress)(Progress {
            sessions,
            expected: 0,
            bytes: offset,
        });
        true
    }

    /// Ends what an owner has too many of.
    fn end_surplus(&mut self) {
        let Some(most) = self.store.settings().max_per_owner else {
            return;
        };
        for (owner, _) in self.owners.iter().filter(|(_, count)| **count > most) {
            let mut sessions = self.store.owned_by(owner);
            sessions.sort_by_key(|session| session.idle_for);
            for session in sessions.iter().skip(most) {
                let is_ended = u64::from(self.store.destroy(&session.key));
                self.sessions -= is_ended;
                self.lapsed += is_ended;
            }
        }
    }

    fn done(
        mut self,
        header: &Header,
        lost_bytes: u64,
        is_complete: bool,
    ) -> (SessionStore, RestoreReport) {
        self.end_surplus();
        let age = self.file.now().saturating_sub(header.written_at);
        let restored = RestoreReport {
            sessions: self.sessions,
            lapsed: self.lapsed,
            left_out: self.left_out,
            age: Duration::from_millis(age),
            lost_bytes,
            is_complete,
            took: self.started.elapsed(),
        };
        (self.store, restored)
    }
}
