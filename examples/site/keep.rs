//! Sessions over a restart: the carts, and not the logins, because the accounts are gone.

use super::keys;
use dwell::session::{Builder, SavedSession, SessionStore};
use dwell::snapshot::{Periodic, SnapshotError, SnapshotFile};
use std::time::Duration;

/// Between two snapshots, if nobody logs out.
const INTERVAL: Duration = Duration::from_secs(60);
/// Between a logout and its snapshot.
const SPACING: Duration = Duration::from_secs(1);

/// The sessions of the file, or none at the first start.
pub fn restored(
    file: &SnapshotFile,
    builder: impl Fn() -> Builder,
) -> Result<SessionStore, SnapshotError> {
    match file.clone().on_restore(anonymous).restore(builder()) {
        Ok((store, restored)) => {
            eprintln!("server: {} sessions are back", restored.sessions);
            Ok(store)
        }
        Err(SnapshotError::Missing { .. }) => Ok(builder().build()?),
        Err(error) => Err(error),
    }
}

/// A user whose account is gone is a visitor. So is a client that comes with an id from before a
/// crash that was renewed away since.
fn anonymous(session: &mut SavedSession) -> bool {
    session.owner = None;
    session.attributes.delete(keys::BROWSER);
    true
}

pub fn in_the_background(file: &SnapshotFile, store: &SessionStore) -> Periodic {
    file.every(INTERVAL)
        .promptly(SPACING)
        .on_result(|result| {
            if let Err(error) = result {
                eprintln!("server: {error}");
            }
        })
        .spawn(store)
}
