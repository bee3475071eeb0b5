//! A small shop whose sessions are dwell's: sign up, log in, fill a cart, see where you are logged in, and watch
//! the store at work. Start it and open the address it prints:
//!
//! ```text
//! cargo run --release --example server
//! ```
//!
//! This is a demonstration for one's own machine: it speaks plain http, listens on 127.0.0.1 only, and forgets
//! its users when it stops.

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
use site::Site;

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
}

async fn serve(args: Args) -> Result<(), Box<dyn Error>> {
    let settings = Settings::new(Duration::from_secs(args.idle.get()))
        .max_lifetime(Duration::from_secs(args.lifetime.get()))
        .capacity(args.capacity.get());
    let password = site::accounts::random_password()?;
    let site = Arc::new(Site::new(settings, &password)?);

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

    axum::serve(listener, site::router(site))
        .with_graceful_shutdown(async {
            if let Err(error) = tokio::signal::ctrl_c().await {
                eprintln!("server: cannot wait for Ctrl-C, stopping: {error}");
            }
        })
        .await?;
    Ok(())
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
