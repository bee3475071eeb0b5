//! The scripts. Each changes one key in one step, so that machines lose nothing of each other's.

use redis::{Cmd, ToRedisArgs};

macro_rules! script {
    ($($name:literal),+) => {
        Script::new(concat!(
            include_str!("scripts/prelude.lua"),
            "local function run()\n",
            $(include_str!(concat!("scripts/", $name, ".lua")),)+
            "end\nlocal answer = run()\nreturn { ARGV[1], answer, ARGV[1] }"
        ))
    };
}

/// A script, and the hash by which a server knows it that has run it before.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let hash = redis::Script::new(text).get_hash().to_owned();
        Self { text, hash }
    }

    pub(super) fn key(&self, key: String) -> Call<'_> {
        Call {
            script: self,
            key,
            arguments: Vec::new(),
        }
    }
}

/// A script, and what it is to be run with.
pub(super) struct Call<'a> {
    script: &'a Script,
    key: String,
    arguments: Vec<Vec<u8>>,
}

impl Call<'_> {
    pub(super) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    /// The command that runs the script, if the server knows it.
    pub(super) fn by_hash(&self, number: u64) -> Cmd {
        self.command("EVALSHA", &self.script.hash, number)
    }

    /// The command that runs the script, and makes it known to the server.
    pub(super) fn by_text(&self, number: u64) -> Cmd {
        self.command("EVAL", self.script.text, number)
    }

    fn command(&self, name: &str, script: &str, number: u64) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(1).arg(&self.key);
        command.arg(number).arg(&self.arguments);
        command
    }
}

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) init: Script,
    pub(super) read: Script,
    pub(super) apply: Script,
    pub(super) touch: Script,
    pub(super) destroy: Script,
    pub(super) renew: Script,
    pub(super) set_owner: Script,
    pub(super) set_terms: Script,
    pub(super) lease: Script,
    pub(super) index: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            init: script!("session", "init"),
            read: script!("session", "read"),
            apply: script!("session", "apply"),
            touch: script!("session", "touch"),
            destroy: script!("session", "destroy"),
            renew: script!("session", "renew"),
            set_owner: script!("session", "set_owner"),
            set_terms: script!("session", "set_terms"),
            lease: script!("session", "lease"),
            index: script!("index"),
        }
    }
}
