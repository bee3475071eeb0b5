//! Reading: all of a file or nothing of it; or, if one asks for that, what is whole of it.

use super::block::{Content, HEAD, Head, MARKER, Sealer};
use super::error::SnapshotError;
use super::header::{self, Header};
use super::write::PARTIAL;
use super::{Progress, SnapshotFile};
use crate::session::{Builder, Saved, SessionStore};
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

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
pub struct Restored {
    /// Sessions that are live again.
    pub sessions: u64,
    /// Sessions that ended since they were written.
    pub lapsed: u64,
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
}

impl Reading {
    fn open(file: &SnapshotFile) -> Result<Self, SnapshotError> {
        let opened = File::open(&file.path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => SnapshotError::Missing {
                path: file.path.clone(),
            },
            _ => file.failed("open")(error),
        })?;
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
        // Grows as it is read: a length that is wrong reserves nothing.
        let mut body = Vec::new();
        let length = u64::from(head.length);
        self.from.by_ref().take(length).read_to_end(&mut body)?;
        if (body.len() as u64) < length {
            return Ok(Found::End { is_clean: false });
        }
        Ok(match self.sealer.open(head, &body) {
            None => Found::Damaged,
            Some(content) => {
                self.offset += HEAD as u64 + length;
                Found::Block(head, content)
            }
        })
    }

    /// Goes to the next place where a block may begin. False if there is none.
    fn seek(&mut self) -> std::io::Result<bool> {
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
    /// All or nothing: if anything is wrong with the file, there is an error and no store. Removes what a
    /// program that was killed while writing has left beside the file. No events are told for sessions that are
    /// restored. A bounded store takes the restored sessions for ones that were never accessed.
    ///
    /// # Errors
    /// [`SnapshotError::Missing`] at the first start; otherwise what is wrong with the file, or the builder.
    pub fn restore(&self, builder: Builder) -> Result<(SessionStore, Restored), SnapshotError> {
        self.restore_with(builder, |_| {})
    }

    /// As [`restore`](Self::restore), and tells how far it is after each block. How many sessions are expected
    /// is not known: it is zero.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub fn restore_with(
        &self,
        builder: Builder,
        progress: impl FnMut(Progress),
    ) -> Result<(SessionStore, Restored), SnapshotError> {
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
                Found::Block(_, Content::Sessions(sessions)) => {
                    restoring.put(sessions, reading.offset);
                }
                Found::Block(_, Content::End { sessions }) => break sessions,
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
        if sessions != restoring.sessions + restoring.lapsed {
            return Err(SnapshotError::Truncated { blocks });
        }
        Ok(restoring.done(&reading.header, 0, true))
    }

    /// Builds a store with the sessions of all blocks that are whole, wherever they stand.
    ///
    /// For a file that [`restore`](Self::restore) refuses, if some of the sessions are better than none: what
    /// is lost, and what was lost with it, nobody knows. Sealed blocks are those of this file and no others.
    ///
    /// # Errors
    /// If the beginning of the file is damaged, or the key is wrong: then nothing can be recovered.
    pub fn recover(&self, builder: Builder) -> Result<(SessionStore, Restored), SnapshotError> {
        let mut reading = Reading::open(self)?;
        let mut restoring = Restoring::new(self, builder, |_| {})?;
        let length = reading.from.get_ref().metadata();
        let length = length.map_err(self.failed("read"))?.len();
        let (mut whole, mut is_complete) = (header::LENGTH as u64, false);
        loop {
            let offset = reading.offset;
            match reading.next().map_err(self.failed("read"))? {
                Found::Block(_, content) => {
                    whole += reading.offset - offset;
                    match content {
                        Content::Sessions(sessions) => restoring.put(sessions, reading.offset),
                        Content::End { .. } => is_complete = true,
                    }
                }
                Found::End { is_clean: true } => break,
                Found::Damaged | Found::End { .. } => {
                    if !reading.seek().map_err(self.failed("read"))? {
                        break;
                    }
                }
            }
        }
        let lost = length.saturating_sub(whole);
        Ok(restoring.done(&reading.header, lost, is_complete))
    }

    /// Removes what a program that was killed while writing has left.
    fn remove_unfinished(&self) -> Result<(), SnapshotError> {
        let (directory, prefix) = self.beside()?;
        let Ok(entries) = fs::read_dir(directory) else {
            // Opening the file tells what is wrong.
            return Ok(());
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            if name.starts_with(prefix.as_encoded_bytes()) && name.ends_with(PARTIAL.as_bytes()) {
                // What cannot be removed disturbs nobody.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// A store that is being filled.
struct Restoring<'f, P> {
    file: &'f SnapshotFile,
    store: SessionStore,
    progress: P,
    sessions: u64,
    lapsed: u64,
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
            started: Instant::now(),
        })
    }

    fn put(&mut self, sessions: Vec<Saved>, bytes: u64) {
        let times = self.store.times(self.file.now());
        for saved in sessions {
            match self.store.put_back(saved, times) {
                true => self.sessions += 1,
                false => self.lapsed += 1,
            }
        }
        (self.progress)(Progress {
            sessions: self.sessions + self.lapsed,
            expected: 0,
            bytes,
        });
    }

    fn done(self, header: &Header, lost_bytes: u64, is_complete: bool) -> (SessionStore, Restored) {
        let age = self.file.now().saturating_sub(header.written_at);
        let restored = Restored {
            sessions: self.sessions,
            lapsed: self.lapsed,
            age: Duration::from_millis(age),
            lost_bytes,
            is_complete,
            took: self.started.elapsed(),
        };
        (self.store, restored)
    }
}
