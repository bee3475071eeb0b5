//! A small shop whose sessions are dwell's: sign up, log in, fill a cart, see where you are logged
//! in, and watch the store at work. Start it and open the address it prints:
//!
//! ```text
//! cargo run --release --features axum,snapshot --example server
//! ```
//!
//! This is a demonstration for one's own machine: it speaks plain http, listens on 127.0.0.1 only,
//! and forgets its users when it stops. With `--keep FILE` the visitors keep their carts over a
//! restart.

mod site;

use std::{
    error::Error,
    io::ErrorKind,
    net::Ipv4Addr,
    num::{NonZeroU64, NonZeroUsize},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use dwell::session::Settings;
use dwell::snapshot::SnapshotFile;
use site::{Site, keep};
use std::path::PathBuf;
use tokio::signal;
use tokio::sync::watch;

/// How long requests that are under way may take when the server stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// With glibc's allocator a change of a session costs a third to a half more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A shop whose sessions are dwell's.
#[derive(Parser)]
struct Args {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Seconds a session may be left alone before it lapses
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    idle: NonZeroU64,
    /// Seconds a session lives at most, however busy it is
    #[arg(long, value_name = "SECONDS", default_value = "43200")]
    lifetime: NonZeroU64,
    /// Most sessions to hold; beyond it, each new one evicts another
    #[arg(long, value_name = "SESSIONS", default_value = "1000000")]
    capacity: NonZeroUsize,
    /// File that keeps the sessions over a restart
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
}

async fn serve(args: Args) -> Result<(), Box<dyn Error>> {
    let settings = Settings::new(Duration::from_secs(args.idle.get()))
        .max_lifetime(Duration::from_secs(args.lifetime.get()))
        .capacity(args.capacity.get());
    let password = site::accounts::random_password()?;
    let (stop, stopping) = watch::channel(false);
    let file = args.keep.map(SnapshotFile::new);
    let site = Site::new(settings, &password, file.as_ref(), stopping.clone())?;
    let periodic = file.map(|file| keep::in_the_background(&file, &site.store));
    let site = Arc::new(site);

    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => format!(
                "port {} is taken; choose another with --port, or any free one with --port 0",
                args.port
            ),
            _ => format!("cannot listen on 127.0.0.1:{}: {error}", args.port),
        })?;
    println!("http://{}", listener.local_addr()?);
    eprintln!(
        "The operator's page is /sessions: log in as {:?} with the password {password}",
        site::accounts::OPERATOR
    );

    tokio::spawn(stop_on_signals(stop));
    let serving =
        axum::serve(listener, site::router(site)).with_graceful_shutdown(until(stopping.clone()));
    // A client that never ends its request holds nobody up.
    let too_long = async {
        until(stopping).await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        served = serving => served?,
        () = too_long => eprintln!("server: some requests took too long, and were cut off"),
    }
    // Nobody uses the store any more: the last snapshot has all.
    if let Some(periodic) = periodic {
        let written = periodic.stop()?;
        eprintln!("server: {} sessions are kept", written.sessions);
    }
    Ok(())
}

/// Until the server is to stop.
async fn until(mut stopping: watch::Receiver<bool>) {
    // The sender goes only when the program does.
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

/// The first Ctrl-C, or SIGTERM, stops the server in good order; the second one at once.
async fn stop_on_signals(stop: watch::Sender<bool>) {
    signalled().await;
    stop.send_replace(true);
    signalled().await;
    eprintln!("server: stopped at once");
    std::process::exit(130);
}

async fn signalled() {
    #[cfg(unix)]
    let terminated = async {
        match signal::unix::signal(signal::unix::SignalKind::terminate()) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        interrupted = signal::ctrl_c() => {
            if let Err(error) = interrupted {
                eprintln!("server: cannot wait for Ctrl-C, stopping: {error}");
            }
        }
        () = terminated => {}
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
            ExitCode::FAILURE
        }
    }
}
