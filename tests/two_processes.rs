//! Two processes over one Redis server: what one does the other sees, and nothing is lost.
//!
//! A binary of its own, without a harness: it starts itself twice more. Those processes read
//! commands from their input, and answer each with a line.

#[path = "support/redis_server/mod.rs"]
mod redis_server;

use dwell::provider::redis::RedisFailure;
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, Changes, SessionError, SessionId, Settings};
use redis_server::{LONG, Server, runtime};
use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Write, stdin};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(600);
/// Says that this is one of the processes, and where the server is.
const ROLE: &str = "--worker";

type Failure = Box<dyn Error + Send + Sync>;

fn main() {
    let arguments: Vec<_> = env::args().collect();
    match arguments.iter().position(|argument| argument == ROLE) {
        Some(at) => work(&arguments[at + 1]).expect("the worker works"),
        // What a test runner asks of a test.
        None if arguments.iter().any(|argument| argument == "--list") => {}
        None => {
            over_one_server();
            println!("two processes: ok");
        }
    }
}

/// A process, and the pipes to it.
struct Worker {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    fn start(address: &str) -> Self {
        let mut process = Command::new(env::current_exe().expect("this program"))
            .args([ROLE, address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("another process");
        Self {
            commands: process.stdin.take().expect("a pipe"),
            answers: BufReader::new(process.stdout.take().expect("a pipe")),
            process,
        }
    }

    fn send(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the worker reads");
    }

    fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the worker answers");
        answer.trim_end().to_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.answer()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn over_one_server() {
    const EACH: u64 = 300;
    let mut server = Server::start();
    let (mut one, mut other) = (
        Worker::start(&server.address()),
        Worker::start(&server.address()),
    );

    let cookie = one.ask("login ann");
    assert_eq!(
        other.ask(&format!("who {cookie}")),
        "ann",
        "the other sees the login"
    );

    for worker in [&mut one, &mut other] {
        worker.send(&format!("count {cookie} {EACH}"));
    }
    assert_eq!(
        (one.answer(), other.answer()),
        ("done".into(), "done".into())
    );
    let counted = (2 * EACH).to_string();
    assert_eq!(
        one.ask(&format!("read {cookie}")),
        counted,
        "no update is lost"
    );

    let renewed = other.ask(&format!("renew {cookie}"));
    assert_eq!(
        one.ask(&format!("who {cookie}")),
        "nobody",
        "the old id is gone"
    );
    assert_eq!(one.ask(&format!("who {renewed}")), "ann");

    server.kill();
    for worker in [&mut one, &mut other] {
        worker.send(&format!("count {renewed} {EACH}"));
    }
    server.restart();
    assert_eq!(
        (one.answer(), other.answer()),
        ("done".into(), "done".into())
    );
    let counted = (4 * EACH).to_string();
    assert_eq!(
        other.ask(&format!("read {renewed}")),
        counted,
        "nothing is lost or done twice over a restart"
    );

    assert_eq!(one.ask(&format!("logout {renewed}")), "true");
    assert_eq!(
        other.ask(&format!("who {renewed}")),
        "nobody",
        "the logout holds"
    );
    assert_eq!(other.ask(&format!("count {renewed} 1")), "ended");
    server.kill();
    server.restart();
    assert_eq!(
        other.ask(&format!("who {renewed}")),
        "nobody",
        "and over a restart"
    );

    let everywhere = [one.ask("login bob"), other.ask("login bob")];
    assert_eq!(other.ask("everywhere bob"), "2");
    for cookie in everywhere {
        assert_eq!(one.ask(&format!("who {cookie}")), "nobody");
    }
}

fn work(address: &str) -> Result<(), Failure> {
    let provider =
        RedisProvider::builder(address, "test", Settings::new(IDLE).grace(Duration::ZERO))
            .timeout(LONG)
            .build()?;
    let runtime = runtime();
    for command in stdin().lines() {
        println!("{}", runtime.block_on(obey(&provider, &command?))?);
    }
    Ok(())
}

async fn obey(provider: &RedisProvider, command: &str) -> Result<String, Failure> {
    let words: Vec<_> = command.split(' ').collect();
    let id = |text: &str| SessionId::parse(text).ok_or("no id");
    Ok(match *words {
        ["login", owner] => {
            let id = provider.init(Attributes::default()).await?.id;
            provider.set_owner(By::Key(id.key()), Some(owner)).await?;
            id.to_cookie()
        }
        ["who", cookie] => {
            let read = provider.read(By::Id(id(cookie)?), Access::Touch).await;
            let session = match read {
                Err(SessionError::Superseded) => None,
                read => read?,
            };
            let owner = session.and_then(|session| session.owner);
            owner.as_deref().unwrap_or("nobody").to_owned()
        }
        ["read", cookie] => {
            let session = provider
                .read(By::Id(id(cookie)?), Access::Touch)
                .await?
                .ok_or("no session")?;
            let n = session.attributes.get::<u64>("n")?;
            n.map_or(0, |n| *n).to_string()
        }
        ["renew", cookie] => provider.renew(&id(cookie)?, None).await?.id.to_cookie(),
        ["logout", cookie] => provider
            .destroy(By::Key(id(cookie)?.key()))
            .await?
            .to_string(),
        ["everywhere", owner] => provider.destroy_owned_by(owner, None).await?.to_string(),
        ["count", cookie, times] => {
            for _ in 0..times.parse::<u64>()? {
                match count(provider, &id(cookie)?).await {
                    Err(SessionError::Ended) => return Ok("ended".into()),
                    result => result?,
                }
            }
            "done".into()
        }
        _ => return Err(format!("no such command: {command}").into()),
    })
}

/// Adds one, exactly once: reads, and writes if nobody wrote since. If it is not known whether a
/// write was done, it looks.
async fn count(provider: &RedisProvider, id: &SessionId) -> Result<(), SessionError> {
    let mine = SessionId::generate()?.to_cookie();
    loop {
        let session = provider
            .read(By::Id(*id), Access::Touch)
            .await?
            .ok_or(SessionError::Ended)?;
        let last = session.attributes.get::<Vec<String>>("last")?;
        let mut last = last.map_or_else(Vec::new, |last| (*last).clone());
        if last.contains(&mine) {
            return Ok(());
        }
        let n = session.attributes.get::<u64>("n")?.map_or(0, |n| *n);
        last.push(mine.clone());
        let start = last.len().saturating_sub(100);
        let changes = Changes::default()
            .set("n", n + 1)?
            .set("last", last[start..].to_vec())?;
        match provider
            .apply(By::Key(id.key()), changes, Some(session.version))
            .await
        {
            Ok(_) => return Ok(()),
            Err(SessionError::Conflict { .. }) => {}
            Err(error) if RedisFailure::of(&error).is_some_and(|f| f.may_have_been_done()) => {}
            Err(error) => return Err(error),
        }
    }
}
