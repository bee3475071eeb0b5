//! Any bytes are a request's `Cookie` headers, and any text is a session id that may be one.

#![no_main]

#[path = "../../tests/manager/strict_cookies.rs"]
mod strict_cookies;

use dwell::manager::Manager;
use dwell::provider::MemoryProvider;
use dwell::session::{SessionId, SessionKey, SessionStore};
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use strict_cookies::{Held, held};

const NAME: &str = "__Host-sid";

/// A manager with two live sessions: a visitor's and a neighbour's.
struct Site {
    manager: Manager,
    ids: [String; 2],
}

/// LeakSanitizer does not see through the map's tagged pointers, and takes what the two sessions
/// hold for leaks: `-detect_leaks=0`.
static SITE: LazyLock<Site> = LazyLock::new(|| {
    let store = SessionStore::new(Duration::from_secs(1_000_000));
    let ids = [(); 2].map(|()| store.create().expect("there is room").id().to_cookie());
    let manager = Manager::builder("sid")
        .provider(Arc::new(MemoryProvider::new(store)))
        .without_collector()
        .build();
    Site {
        manager: manager.expect("the settings are the defaults"),
        ids,
    }
});

/// Bytes that no header may hold stand for what is not to be guessed: the two ids, and the cookie's
/// name. A line feed begins another header.
fn headers(bytes: &[u8]) -> Vec<Vec<u8>> {
    let written = |line: &[u8]| {
        let pieces = line.iter().map(|byte| match byte {
            1 => SITE.ids[0].as_bytes(),
            2 => SITE.ids[1].as_bytes(),
            3 => NAME.as_bytes(),
            other => std::slice::from_ref(other),
        });
        pieces.flatten().copied().collect()
    };
    bytes.split(|&byte| byte == b'\n').map(written).collect()
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Some(id) = SessionId::parse(text) {
            assert_eq!(id.to_cookie(), text);
        }
        if let Some(key) = SessionKey::parse(text) {
            assert_eq!(key.to_text(), text);
        }
    }
    let headers = headers(bytes);
    let mut request = HeaderMap::new();
    for header in &headers {
        let Ok(value) = HeaderValue::from_bytes(header) else {
            return;
        };
        request.append(header::COOKIE, value);
    }
    let size: usize = headers.iter().map(Vec::len).sum();
    let headers: Vec<_> = headers.iter().map(Vec::as_slice).collect();
    let expected = match held(&headers, NAME) {
        Held::One(value) if size <= 16 * 1024 => {
            SITE.ids.iter().find(|id| id.as_bytes() == value)
        }
        _ => None,
    };
    let session = block_on(SITE.manager.start(&request)).expect("memory does not fail");
    let found = session.id().map(|id| id.to_cookie());
    assert_eq!(found.as_ref(), expected);
});
