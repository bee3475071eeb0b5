//! A million sessions into a file and back, with a progress bar.
//!
//! `cargo run --release --features snapshot --example snapshot`

use clap::Parser;
use dwell::session::{SessionStore, Settings};
use dwell::snapshot::SnapshotFile;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Writes sessions into a file, and restores them.
#[derive(Debug, Parser)]
struct Options {
    /// How many sessions.
    #[arg(long, default_value_t = 1_000_000)]
    sessions: u64,
    /// Encrypt and authenticate the file.
    #[arg(long)]
    sealed: bool,
    /// Where the file is, if it shall stay.
    #[arg(long)]
    path: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let directory = tempfile::tempdir()?;
    let path = options.path.clone();
    let mut file = SnapshotFile::new(path.unwrap_or(directory.path().join("sessions.dwell")));
    if options.sealed {
        // A program keeps its key somewhere else.
        file = file.key([7; 32]);
    }
    let settings = Settings::new(Duration::from_secs(30 * 60));
    let store = SessionStore::builder(settings).build()?;
    let bar = bar("create ", options.sessions);
    for number in 0..options.sessions {
        let session = store.create()?;
        session.update_all(|attributes| {
            attributes.set("user", number)?;
            attributes.set("name", format!("User Number {number}"))?;
            attributes.set("theme", String::from("dark"))?;
            attributes.set("cart", vec![number % 1_000, number % 77])
        })?;
        session.set_owner(&format!("user-{number}"))?;
        bar.inc(1);
    }
    bar.finish();

    let bar = self::bar("write  ", options.sessions);
    let written = file.write_with(&store, |progress| bar.set_position(progress.sessions))?;
    bar.finish();
    println!(
        "{} sessions, {} ({} a session) in {:.2?}",
        written.sessions,
        HumanBytes(written.bytes),
        HumanBytes(written.bytes / written.sessions.max(1)),
        written.took
    );
    drop(store);

    let bar = self::bar("restore", written.sessions);
    let builder = SessionStore::builder(settings);
    let (store, restored) =
        file.restore_with(builder, |progress| bar.set_position(progress.sessions))?;
    bar.finish();
    println!(
        "{} sessions are live again, after {:.2?}",
        store.len(),
        restored.took
    );
    Ok(())
}

fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style = "{msg} {wide_bar} {human_pos} of {human_len}, {elapsed_precise}, {eta} left";
    let bar = ProgressBar::new(length).with_message(what);
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
