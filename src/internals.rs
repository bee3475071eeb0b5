//! What the packages under `loom-tests` and `benches/cache-lines` reach of the protocols below the
//! map's face. It is there under their `--cfg`s only.

pub mod cpu {
    pub use crate::cpu::*;
}

pub mod map {
    pub use crate::map::*;
}

pub mod reclaim {
    pub use crate::reclaim::*;
}

pub mod sync {
    pub use crate::sync::*;
}

pub mod tuning {
    pub use crate::tuning::*;
}

#[cfg(all(dwell_loom, feature = "sessions"))]
pub mod session {
    //! Ids are numbers in models, from one on in each execution.

    use std::cell::Cell;
    use std::io;

    thread_local! {
        /// How many times bytes were asked for. All threads of a model run on the thread of its
        /// test.
        static ASKED: Cell<u8> = const { Cell::new(0) };
    }

    pub fn restart_ids() {
        ASKED.set(0);
    }

    pub(crate) fn number(bytes: &mut [u8]) -> io::Result<()> {
        ASKED.set(ASKED.get() + 1);
        bytes.fill(ASKED.get());
        Ok(())
    }
}
