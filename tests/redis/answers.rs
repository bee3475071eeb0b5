//! What a caller sees of answers that no real server gives when it is asked to: a server that says
//! what the test wants, and counts.

use crate::redis_server::LONG;
use crate::redis_server::asking::{failure, reason, run, set};
use dwell::provider::redis::{RedisBuilder, RedisFailure};
use dwell::provider::{Access, By, Provider, RedisProvider};
use dwell::session::{Attributes, SessionError, SessionId, Settings};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(600);
/// What the tests allow where the server will not answer.
const SHORT: Duration = Duration::from_millis(300);
/// The same, where there must be time for two attempts.
const ENOUGH: Duration = Duration::from_secs(2);

fn builder(address: String, timeout: Duration) -> RedisBuilder {
    let builder = RedisProvider::builder(address, "test", Settings::new(IDLE));
    builder.connections(1).timeout(timeout)
}

fn provider(address: String, timeout: Duration) -> RedisProvider {
    let builder = builder(address, timeout);
    builder.build().expect("the settings are right")
}

/// A server that answers to the first word of a command as it is told, by connection, in the order
/// in which they are made; none: it closes the connection. It counts the scripts that it was asked
/// to run.
fn server(
    answer: impl Fn(usize, &str) -> Option<&'static [u8]> + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("redis://{}/", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, answer) = (Arc::clone(&asked), Arc::new(answer));
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let (count, answer) = (Arc::clone(&count), Arc::clone(&answer));
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while let Some(command) = read_command(&mut reader) {
                    let is_script = matches!(&*command[0], "EVAL" | "EVALSHA");
                    count.fetch_add(usize::from(is_script), Ordering::Relaxed);
                    let Some(answer) = answer(number, &command[0]) else {
                        return;
                    };
                    let is_error = answer.first().is_none_or(|first| *first == b'-');
                    let (head, tail) = match is_script && !is_error {
                        // To which request this is the answer.
                        true => {
                            let number = format!("${}\r\n{}\r\n", command[4].len(), command[4]);
                            (format!("*3\r\n{number}"), number)
                        }
                        false => Default::default(),
                    };
                    let answer = [head.as_bytes(), answer, tail.as_bytes()].concat();
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, asked)
}

const OK: Option<&[u8]> = Some(b"+OK\r\n");
const SILENCE: Option<&[u8]> = Some(b"");

/// A server that answers to all scripts alike; none: it closes the connection.
fn stub(script: Option<&'static [u8]>) -> (String, Arc<AtomicUsize>) {
    server(move |_, command| match command {
        "EVAL" | "EVALSHA" => script,
        _ => OK,
    })
}

/// Reads a command, word by word.
fn read_command(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let length = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.get(1..)?.trim().parse::<usize>().ok()
    };
    let mut words = Vec::new();
    for _ in 0..length(reader)? {
        let mut word = vec![0; length(reader)? + 2];
        reader.read_exact(&mut word).ok()?;
        words.push(String::from_utf8_lossy(&word).trim().to_owned());
    }
    Some(words)
}

#[test]
fn a_connection_that_breaks_repeats_what_may_be_repeated_and_nothing_else() {
    run(async {
        let (address, asked) = stub(None);
        let hasty = provider(address.clone(), SHORT);
        let provider = provider(address, LONG);
        let id = SessionId::generate().unwrap();
        let key = id.key();
        let once = [
            provider.init(Attributes::default()).await.map(drop),
            provider
                .apply(By::Key(key), set("n", 1), None)
                .await
                .map(drop),
            provider.renew(&id, None).await.map(drop),
        ];
        for result in &once {
            let failure = failure(result);
            assert!(matches!(failure, RedisFailure::Interrupted(_)), "{failure}");
            assert!(failure.may_have_been_done());
        }
        assert_eq!(
            asked.swap(0, Ordering::Relaxed),
            once.len(),
            "each was asked once"
        );
        let read = reason(async || hasty.read(By::Id(id), Access::Touch).await).await;
        assert!(matches!(read, RedisFailure::Interrupted(_)), "{read}");
        assert!(
            asked.swap(0, Ordering::Relaxed) > 1,
            "a read is asked again"
        );
        let _ = hasty.destroy(By::Key(key)).await;
        assert!(asked.load(Ordering::Relaxed) > 1, "and so is a logout");
    });
}

#[test]
fn what_the_server_says_becomes_an_error_that_says_what_to_do() {
    type Expected = fn(&RedisFailure) -> bool;
    let not_ready: Expected = |f| matches!(f, RedisFailure::NotReady(_));
    let read_only: Expected = |f| matches!(f, RedisFailure::ReadOnly(_));
    let no_memory: Expected = |f| matches!(f, RedisFailure::OutOfMemory(_));
    let cannot_keep: Expected = |f| matches!(f, RedisFailure::CannotKeep(_));
    let denied: Expected = |f| matches!(f, RedisFailure::Denied(_));
    /// What Redis 6.2 and Dragonfly say of a refusal inside of a script.
    macro_rules! in_script {
        ($refusal:literal) => {
            concat!(
                "-ERR Error running script (call to f_6b1bf486c81ceb7edf3c093f4c48582e38c0e791): ",
                "@user_script:72: @user_script: 72: ",
                $refusal
            )
        };
    }
    let cases = [
        ("-LOADING Redis is loading", not_ready, true),
        ("-MASTERDOWN Link is down", not_ready, true),
        ("-CLUSTERDOWN The cluster is down", not_ready, true),
        ("-TRYAGAIN Multiple keys during rehashing", not_ready, true),
        ("-BUSY running a script", not_ready, true),
        (
            "-NOSCRIPT No matching script. Please use EVAL.",
            not_ready,
            true,
        ),
        (
            "-READONLY You can't write against a read only replica.",
            read_only,
            true,
        ),
        (
            "-READONLY You can't write against a read only replica. script: 6b1b, on @user_script:9.",
            read_only,
            true,
        ),
        (
            in_script!("-READONLY You can't write against a read only replica."),
            read_only,
            true,
        ),
        (
            "-ERR READONLY You can't write against a read only replica. script: 6b1b, on @user_script:9.",
            read_only,
            true,
        ),
        (
            "-@user_script: 72: -READONLY You can't write against a read only replica.",
            read_only,
            true,
        ),
        (
            "-OOM command not allowed when used memory > 'maxmemory'.",
            no_memory,
            false,
        ),
        (
            in_script!("-OOM command not allowed when used memory > 'maxmemory'."),
            no_memory,
            false,
        ),
        ("-MISCONF no disk", cannot_keep, false),
        (
            in_script!("-MISCONF Redis is configured to save RDB snapshots, but it cannot."),
            cannot_keep,
            false,
        ),
        ("-NOREPLICAS too few", cannot_keep, false),
        (
            in_script!("-NOREPLICAS Not enough good replicas to write."),
            cannot_keep,
            false,
        ),
        (
            in_script!("-MASTERDOWN Link with MASTER is down"),
            not_ready,
            true,
        ),
        ("-NOPERM not you", denied, false),
        ("-NOAUTH who are you", denied, false),
        (
            "-WRONGPASS invalid username-password pair or user is disabled.",
            denied,
            false,
        ),
        ("-DENIED Redis is running in protected mode", denied, false),
        (
            in_script!("The user executing the script can't run this command or subcommand"),
            denied,
            false,
        ),
        (
            in_script!(
                "The user executing the script can't access at least one of the keys mentioned in the command arguments"
            ),
            denied,
            false,
        ),
        (
            "-ERR The user executing the script can't run this command or subcommand script: 6b1b, on @user_script:9.",
            denied,
            false,
        ),
        (
            "-ERR ACL failure in script: User ann has no permissions to run the 'hset' command",
            denied,
            false,
        ),
        (
            "-ERR ACL failure in script: No permissions to access a key",
            denied,
            false,
        ),
        (
            in_script!("Unknown Redis command called from Lua script"),
            denied,
            false,
        ),
        (
            "-ERR Unknown Redis command called from script script: 6b1b, on @user_script:9.",
            denied,
            false,
        ),
        (
            "-ERR This Redis command is not allowed from script",
            denied,
            false,
        ),
        (
            "-ERR unknown command 'EVALSHA', with args beginning with: '6b1b'",
            denied,
            false,
        ),
        ("-ERR unsupported command 'evalsha'", denied, false),
    ];
    run(async {
        for (answer, expected, is_repeated) in cases {
            let line = format!("{answer}\r\n").into_bytes().leak();
            let (address, asked) = stub(Some(line));
            let provider = provider(address, SHORT);
            let key = SessionId::generate().unwrap().key();
            let result = reason(async || {
                asked.store(0, Ordering::Relaxed);
                provider.apply(By::Key(key), set("n", 1), None).await
            });
            let result = result.await;
            assert!(expected(&result), "{answer}: {result:?}");
            assert!(!result.may_have_been_done(), "{answer}");
            // A script that the server does not have is sent to it at once.
            let least = if answer.starts_with("-NOSCRIPT") {
                2
            } else {
                1
            };
            let asked = asked.load(Ordering::Relaxed);
            assert_eq!(asked > least, is_repeated, "{answer}");
        }
    });
}

#[test]
fn a_failure_is_told_though_there_was_no_time_for_another_attempt() {
    run(async {
        let refuses = || {
            server(|number, command| match (number, command) {
                (0, "CLUSTER") => Some(b"-ERR This instance has cluster support disabled\r\n"),
                (0, _) => OK,
                _ => SILENCE,
            })
        };
        let builder = builder(refuses().0, ENOUGH).cluster_node(refuses().0);
        let refused = builder.build().unwrap().init(Attributes::default()).await;
        let failure = failure(&refused);
        assert!(matches!(failure, RedisFailure::Unreachable(_)), "{failure}");
        assert!(format!("{failure:?}").contains("cluster support disabled"));
        assert!(!failure.may_have_been_done());
    });
}

#[test]
fn what_may_have_been_done_is_told_though_the_server_is_out_of_reach_then() {
    run(async {
        let (address, asked) = server(|number, command| match (number, command) {
            (0, "EVALSHA") => None,
            (0, _) => OK,
            _ => None,
        });
        let key = SessionId::generate().unwrap().key();
        let ended = provider(address, ENOUGH).destroy(By::Key(key)).await;
        let failure = failure(&ended);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(failure.may_have_been_done(), "{failure}");
        assert!(matches!(failure, RedisFailure::Interrupted(_)), "{failure}");
    });
}

#[test]
fn who_was_not_asked_has_done_nothing_and_that_is_told() {
    run(async {
        let (address, _) = server(|_, _| SILENCE);
        let result = provider(address, SHORT).init(Attributes::default()).await;
        let failure = failure(&result);
        assert!(!failure.may_have_been_done());
        assert!(
            failure.to_string().contains("nothing was done"),
            "{failure}"
        );
    });
}

#[test]
fn of_reasons_that_say_the_same_the_last_one_is_told() {
    run(async {
        let times = AtomicUsize::new(0);
        let (address, asked) = server(move |_, command| {
            if command != "EVALSHA" {
                return OK;
            }
            match times.fetch_add(1, Ordering::Relaxed) {
                0 => Some(b"-LOADING Redis is loading\r\n"),
                _ => Some(b"-NOPERM not you\r\n"),
            }
        });
        let denied = provider(address, LONG).init(Attributes::default()).await;
        let failure = failure(&denied);
        assert!(matches!(failure, RedisFailure::Denied(_)), "{failure}");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn redirections_without_end_are_followed_with_pauses() {
    run(async {
        let here = Arc::new(OnceLock::new());
        let says = Arc::clone(&here);
        let (address, asked) = server(move |_, command| match command {
            "EVALSHA" => says.get().copied(),
            _ => OK,
        });
        let port = address.trim_end_matches('/').rsplit(':').next().unwrap();
        let moved = format!("-MOVED 1 :{port}\r\n").into_bytes();
        here.set(&*moved.leak()).unwrap();
        let result = provider(address, ENOUGH).init(Attributes::default()).await;
        assert!(!failure(&result).may_have_been_done());
        // Ten times or so, and each time four in a row.
        let asked = asked.load(Ordering::Relaxed);
        assert!((4..200).contains(&asked), "asked {asked} times");
    });
}

#[test]
fn the_scripts_words_become_the_errors_that_they_stand_for() {
    type Expected = fn(&SessionError) -> bool;
    let superseded: Expected = |error| matches!(error, SessionError::Superseded);
    let collision: Expected = |error| matches!(error, SessionError::Collision);
    let unknown: Expected = |error| {
        let failure = RedisFailure::of(error);
        matches!(failure, Some(RedisFailure::NotASession(_)))
    };
    let cases: [(&'static [u8], Expected); 3] = [
        (b"$10\r\nsuperseded\r\n", superseded),
        (b"$9\r\ncollision\r\n", collision),
        (b"$7\r\nanother\r\n", unknown),
    ];
    run(async {
        for (word, expected) in cases {
            let (address, _) = stub(Some(word));
            let id = SessionId::generate().unwrap();
            let result = provider(address, LONG).renew(&id, None).await;
            let error = result.expect_err("it is refused");
            assert!(expected(&error), "{error}");
        }
    });
}
