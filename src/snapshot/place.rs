//! Where a snapshot is: the file that the path leads to, and what stands beside it while it is not
//! finished.

use super::SnapshotFile;
use super::error::SnapshotError;
use super::write::PARTIAL;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

/// A path that is no symbolic link, and that ends with a name. There need not be anything yet.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) path: PathBuf,
    name: OsString,
}

impl Target {
    /// The directory, and how the names of unfinished files in it begin.
    pub(super) fn beside(&self) -> (&Path, OsString) {
        let mut prefix = OsString::from(".");
        prefix.push(&self.name);
        prefix.push(".");
        let directory = self.path.parent().filter(|path| *path != Path::new(""));
        (directory.unwrap_or(Path::new(".")), prefix)
    }
}

impl SnapshotFile {
    /// Follows symbolic links: a path that leads elsewhere goes on to do so, and what is there is
    /// replaced. A link may lead to where there is nothing yet.
    pub(super) fn target(&self) -> Result<Target, SnapshotError> {
        let mut path = self.path.clone();
        let mut links = 0;
        while path.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                let error = Error::new(ErrorKind::InvalidInput, "too many symbolic links");
                return Err(self.failed("find")(error));
            }
            let to = fs::read_link(&path).map_err(self.failed("find"))?;
            path = path.parent().unwrap_or(Path::new("")).join(to);
        }
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            return Err(SnapshotError::NoFileName { path });
        };
        // A directory, a device or a pipe is nothing to be replaced, or to wait for.
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(SnapshotError::NotAFile { path });
        }
        Ok(Target { path, name })
    }

    /// Removes what a program that was killed while writing has left.
    pub(super) fn remove_unfinished(&self) -> Result<(), SnapshotError> {
        let target = self.target()?;
        let (directory, prefix) = target.beside();
        let Ok(entries) = fs::read_dir(directory) else {
            // Opening the file tells what is wrong.
            return Ok(());
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if is_unfinished(name.as_encoded_bytes(), prefix.as_encoded_bytes()) {
                // What cannot be removed disturbs nobody.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// Whether a name is the beginning, letters and digits, and the end; so it is nobody else's whose
/// name begins alike.
fn is_unfinished(name: &[u8], prefix: &[u8]) -> bool {
    let random = name.strip_prefix(prefix);
    let random = random.and_then(|rest| rest.strip_suffix(PARTIAL.as_bytes()));
    random.is_some_and(|random| !random.is_empty() && random.iter().all(u8::is_ascii_alphanumeric))
}
