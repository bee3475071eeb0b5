//! What the samples were taken on and with.

use std::env;
use std::fs;
use std::process::Command;

use time::OffsetDateTime;

const LOCK: &str = include_str!("../../Cargo.lock");

/// Packages of which the version is told.
const PACKAGES: [&str; 14] = [
    "dwell",
    "ahash",
    "crossbeam-skiplist",
    "dashmap",
    "hashbrown",
    "hashlink",
    "mimalloc",
    "mini-moka",
    "moka",
    "papaya",
    "parking_lot",
    "quick_cache",
    "scc",
    "tower-sessions-memory-store",
];

/// Comment lines that are the same for all samples of a file.
pub fn head() -> String {
    format!(
        "# machine: {}\n# system: {}\n# compiler: {}\n# versions: {}\n",
        processor(),
        system(),
        said("rustc", &["--version"]),
        PACKAGES.map(version).join(", "),
    )
}

/// How this process was called, of which commit, and when.
pub fn command() -> String {
    let arguments = env::args()
        .skip(1)
        .filter(|a| a != "--bench" && a != "--file" && !a.contains('/'));
    let arguments: Vec<_> = arguments.collect();
    let commit = said("git", &["describe", "--always", "--dirty"]);
    let today = OffsetDateTime::now_utc().date();
    let arguments = arguments.join(" ");
    format!("cargo bench -p dwell-benches --bench speed -- {arguments} (commit {commit}, {today})")
}

/// Bytes that could be taken without swapping.
pub fn available_memory() -> u64 {
    let kibibytes = field("/proc/meminfo", "MemAvailable");
    let kibibytes = kibibytes.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    kibibytes.map_or(4 << 30, |kibibytes| kibibytes << 10)
}

fn processor() -> String {
    let model = field("/proc/cpuinfo", "model name");
    let memory = field("/proc/meminfo", "MemTotal");
    let cores = crate::calm::cores();
    format!(
        "{}, {cores} cores, {} of memory",
        model.unwrap_or_else(|| "unknown processor".into()),
        memory.unwrap_or_else(|| "unknown amount".into()),
    )
}

fn system() -> String {
    let huge = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let huge = huge.unwrap_or_else(|_| "unknown".into());
    format!(
        "{}, transparent huge pages: {}",
        said("uname", &["-srm"]),
        huge.trim()
    )
}

/// The version that the benches use: a dependency of theirs may use another.
fn version(package: &str) -> String {
    let benches = LOCK
        .split_once("name = \"dwell-benches\"")
        .map_or("", |(_, after)| after);
    let benches = benches.split("[[package]]").next().unwrap_or_default();
    let told = benches
        .split_once(&format!("\"{package} "))
        .map(|(_, after)| after);
    let only = LOCK
        .split_once(&format!("name = \"{package}\"\nversion = \""))
        .map(|(_, after)| after);
    let version = told.or(only).and_then(|after| after.split('"').next());
    format!("{package} {}", version.unwrap_or("?"))
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().into())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| "unknown".into(), |text| text.trim().into())
}
