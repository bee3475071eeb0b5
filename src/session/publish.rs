//! A store's counts as metrics, with the feature `metrics`.

use super::SessionStats;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

impl SessionStats {
    /// Gives these numbers to the installed recorder of the `metrics` crate. Call it from time to
    /// time, say before each scrape.
    ///
    /// | name | kind | unit | labels |
    /// |---|---|---|---|
    /// | `dwell.session.count` | gauge | sessions | `state`: `owned`, `anonymous` |
    /// | `dwell.session.size` | gauge | bytes | |
    /// | `dwell.session.created` | counter | sessions | |
    /// | `dwell.session.ended` | counter | sessions | `reason`: `expired`, `evicted`, `destroyed` |
    /// | `dwell.session.renewed` | counter | ids | |
    /// | `dwell.session.refused_writes` | counter | writes | |
    /// | `dwell.session.lost_events` | counter | events | |
    ///
    /// ```
    /// use dwell::session::SessionStore;
    /// use std::time::Duration;
    ///
    /// let store = SessionStore::new(Duration::from_secs(60));
    /// store.create()?;
    /// store.stats().publish();
    /// # Ok::<(), dwell::session::SessionError>(())
    /// ```
    pub fn publish(&self) {
        describe_gauge!("dwell.session.count", Unit::Count, "live sessions");
        describe_gauge!(
            "dwell.session.size",
            Unit::Bytes,
            "memory of the sessions, at most"
        );
        describe_counter!("dwell.session.created", Unit::Count, "sessions created");
        describe_counter!("dwell.session.ended", Unit::Count, "sessions ended");
        describe_counter!("dwell.session.renewed", Unit::Count, "ids renewed");
        describe_counter!(
            "dwell.session.refused_writes",
            Unit::Count,
            "writes refused because their session had ended"
        );
        describe_counter!(
            "dwell.session.lost_events",
            Unit::Count,
            "events that the listener was too slow for"
        );
        let owned = self.live.saturating_sub(self.anonymous);
        gauge!("dwell.session.count", "state" => "owned").set(owned as f64);
        gauge!("dwell.session.count", "state" => "anonymous").set(self.anonymous as f64);
        gauge!("dwell.session.size").set(self.bytes as f64);
        counter!("dwell.session.created").absolute(self.created);
        counter!("dwell.session.ended", "reason" => "expired").absolute(self.expired);
        counter!("dwell.session.ended", "reason" => "evicted").absolute(self.evicted);
        counter!("dwell.session.ended", "reason" => "destroyed").absolute(self.destroyed);
        counter!("dwell.session.renewed").absolute(self.renewed);
        counter!("dwell.session.refused_writes").absolute(self.refused_writes);
        counter!("dwell.session.lost_events").absolute(self.lost_events);
    }
}
