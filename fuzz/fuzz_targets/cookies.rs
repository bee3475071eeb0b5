//! Any bytes are a request's `Cookie` header, and any text is a session id that may be one.

#![no_main]

use dwell::manager::Manager;
use dwell::provider::MemoryProvider;
use dwell::session::{SessionId, SessionKey, SessionStore};
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Holds no session, so that no header can be one. Its provider does not come from the process-wide registry:
/// LeakSanitizer does not see through the map's tagged pointers, and takes the records of a map that is never
/// dropped for leaks.
static MANAGER: LazyLock<Manager> = LazyLock::new(|| {
    let store = SessionStore::new(Duration::from_secs(60));
    let manager = Manager::builder("sid")
        .provider(Arc::new(MemoryProvider::new(store)))
        .without_collector()
        .build();
    manager.expect("the settings are the defaults")
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Some(id) = SessionId::parse(text) {
            assert_eq!(id.to_cookie(), text);
        }
        if let Some(key) = SessionKey::parse(text) {
            assert_eq!(key.to_text(), text);
        }
    }
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let mut request = HeaderMap::new();
    request.insert(header::COOKIE, value);
    let session = pollster::block_on(MANAGER.start(&request));
    assert!(session.expect("memory does not fail").is_new());
});
