//! The scripts. Each changes one key in one step, so that machines lose nothing of each other's.

use redis::Script;

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(
            include_str!("scripts/prelude.lua"),
            include_str!(concat!("scripts/", $name, ".lua"))
        ))
    };
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
            init: script!("init"),
            read: script!("read"),
            apply: script!("apply"),
            touch: script!("touch"),
            destroy: script!("destroy"),
            renew: script!("renew"),
            set_owner: script!("set_owner"),
            set_terms: script!("set_terms"),
            lease: script!("lease"),
            index: script!("index"),
        }
    }
}
