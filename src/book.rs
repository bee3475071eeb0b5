//! How dwell works, what it promises, and what it costs.
//!
//! | page | what it answers |
//! |---|---|
//! | [`guarantees`] | What does the map promise, and which tests hold it? |
//! | [`sessions`] | How do ids, attributes, owners, events and cookies work? What of the OWASP checklist? |
//! | [`providers`] | Memory, snapshots or Redis: which one, and what does a request cost? |
//! | [`web`] | How do sessions get into axum, tower, tower-sessions and actix? |
//! | [`faults`] | What happens at a crash, a full disk, a lost Redis, a clock that leaps? |
//! | [`scaling`] | When is one process enough, and what comes after it? |
//! | [`performance`] | How fast is it, how was that measured, and where does it lose? |
//! | [`design`] | How does the map work, and why? |
//! | [`types`] | What does the compiler refuse? |
//! | [`glossary`] | What does a word mean here, and what is it called elsewhere? |
//!
//! The pages are the files of `docs/` in the repository. Read `guarantees` and `sessions` to use
//! dwell, `providers`, `faults` and `scaling` to operate it, `glossary` and `design` to change it.

/// A page: a file of `docs/`, and the targets of its links.
///
/// The files are read on GitHub, too. There a link leads to a file or to docs.rs, by the
/// definitions at the end of each file. Here it leads to a page of this book or to an item.
/// Markdown takes the first definition of a link, so those below come before the file. An item
/// whose feature is off keeps the link to docs.rs.
macro_rules! page {
    ($(#[$gate:meta])* $name:ident, $file:literal) => {
        $(#[$gate])*
        #[doc = "[design]: crate::book::design"]
        #[doc = "[faults]: crate::book::faults"]
        #[doc = "[glossary]: crate::book::glossary"]
        #[doc = "[guarantees]: crate::book::guarantees"]
        #[doc = "[performance]: crate::book::performance"]
        #[doc = "[providers]: crate::book::providers"]
        #[doc = "[scaling]: crate::book::scaling"]
        #[doc = "[sessions]: crate::book::sessions"]
        #[doc = "[types]: crate::book::types"]
        #[doc = "[web]: crate::book::web"]
        #[doc = "[costs]: crate::book::providers#what-a-request-costs"]
        #[doc = "[fork]: crate::book::faults#fork"]
        #[doc = "[snapshots]: crate::book::providers#snapshots"]
        #[doc = "[`Handle`]: crate::Handle"]
        #[doc = "[`IdleMap`]: crate::IdleMap"]
        #[doc = "[`Stats`]: crate::Stats"]
        #[cfg_attr(feature = "sessions", doc = "[`Manager`]: crate::manager::Manager")]
        #[cfg_attr(feature = "sessions", doc = "[`manager::Session`]: crate::manager::Session")]
        #[cfg_attr(feature = "sessions", doc = "[`MemoryProvider`]: crate::provider::MemoryProvider")]
        #[cfg_attr(feature = "sessions", doc = "[`Provider`]: crate::provider::Provider")]
        #[cfg_attr(feature = "sessions", doc = "[`LiveSession`]: crate::session::LiveSession")]
        #[cfg_attr(feature = "sessions", doc = "[`SessionStore`]: crate::session::SessionStore")]
        #[cfg_attr(feature = "sessions", doc = "[`Settings`]: crate::session::Settings")]
        #[cfg_attr(feature = "testing", doc = "[`provider::testing`]: crate::provider::testing")]
        #[cfg_attr(feature = "redis", doc = "[`RedisFailure`]: crate::provider::redis::RedisFailure")]
        #[cfg_attr(feature = "redis", doc = "[`RedisProvider`]: crate::provider::redis::RedisProvider")]
        #[cfg_attr(feature = "snapshot", doc = "[`SnapshotFile`]: crate::snapshot::SnapshotFile")]
        #[cfg_attr(feature = "tower", doc = "[`SessionLayer`]: crate::web::SessionLayer")]
        #[doc = include_str!($file)]
        pub mod $name {}
    };
}

page!(guarantees, "../docs/guarantees.md");
page!(sessions, "../docs/sessions.md");
page!(providers, "../docs/providers.md");
page!(
    #[cfg(any(not(doctest), all(feature = "axum", feature = "snapshot")))]
    web,
    "../docs/web.md"
);
page!(faults, "../docs/faults.md");
page!(scaling, "../docs/scaling.md");
page!(performance, "../docs/performance.md");
page!(design, "../docs/design.md");
page!(
    #[cfg(any(not(doctest), feature = "sessions"))]
    types,
    "../docs/types.md"
);
page!(glossary, "../docs/glossary.md");
