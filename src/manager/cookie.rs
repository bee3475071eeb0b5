//! The session cookie: what a request presents, and what a response sets.

use super::{ManagerError, SameSite};
use crate::session::SessionId;
use cookie::time::Duration as CookieDuration;
use cookie::{Cookie, CookieBuilder};
use http::{HeaderMap, HeaderValue, header};
use std::time::Duration;

/// Binds a cookie to the host that set it, over https only: browsers refuse it without `Secure` and
/// `Path=/`, or with `Domain`.
const PREFIX: &str = "__Host-";
/// The bytes of a request's cookies that are looked at: more than browsers send, by convention and limits.
const MOST_BYTES: usize = 16 * 1024;

/// What a request presents.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented {
    /// No session cookie.
    Nothing,
    /// One that reads as an id.
    Id(SessionId),
    /// One that does not.
    Malformed,
    /// More cookies than are looked at.
    Oversized,
    /// Several session cookies: somebody may have planted one.
    Duplicate,
}

/// What the client is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// Nothing.
    Nothing,
    /// Its new id, and for how long the session lives at most, if there is an end to it.
    Issued(SessionId, Option<Duration>),
    /// That there is no session any more.
    Ended,
}

/// How the session cookie is called, and what it is given.
#[derive(Debug)]
pub(super) struct Cookies {
    name: String,
    same_site: SameSite,
    is_secure: bool,
}

impl Cookies {
    pub(super) fn new(
        name: &str,
        same_site: SameSite,
        is_plain_http: bool,
    ) -> Result<Self, ManagerError> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(ManagerError::CookieName { name: name.into() });
        }
        if is_plain_http && same_site == SameSite::None {
            return Err(ManagerError::InsecureCrossSite);
        }
        let prefix = if is_plain_http { "" } else { PREFIX };
        Ok(Self {
            name: format!("{prefix}{name}"),
            same_site,
            is_secure: !is_plain_http,
        })
    }

    /// What a request presents. Looks nothing up.
    pub(super) fn presented(&self, request: &HeaderMap) -> Presented {
        let headers = request.get_all(header::COOKIE);
        let size: usize = headers.iter().map(HeaderValue::len).sum();
        if size > MOST_BYTES {
            return Presented::Oversized;
        }
        let mut presented = Presented::Nothing;
        for header in headers {
            // Strange bytes in another cookie do no harm to ours.
            let text = String::from_utf8_lossy(header.as_bytes());
            let cookies = Cookie::split_parse(text.as_ref()).flatten();
            for cookie in cookies.filter(|cookie| cookie.name() == self.name) {
                presented = match presented {
                    Presented::Nothing => match SessionId::parse(cookie.value()) {
                        Some(id) => Presented::Id(id),
                        None => Presented::Malformed,
                    },
                    _ => return Presented::Duplicate,
                };
            }
        }
        presented
    }

    /// Tells the client, and every cache on the way not to keep it.
    pub(super) fn answer(&self, notice: Notice, response: &mut HeaderMap) {
        let cookie = match notice {
            Notice::Nothing => return,
            Notice::Ended => {
                let mut cookie = self.cookie(String::new()).build();
                cookie.make_removal();
                cookie
            }
            Notice::Issued(id, lifetime) => {
                let mut cookie = self.cookie(id.to_cookie()).build();
                cookie.set_max_age(lifetime.map(rounded_up));
                cookie
            }
        };
        let value = HeaderValue::try_from(cookie.to_string())
            .expect("a checked name and base64url are a header's characters");
        response.append(header::SET_COOKIE, value);
        response.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }

    fn cookie(&self, value: String) -> CookieBuilder<'_> {
        Cookie::build((self.name.as_str(), value))
            .path("/")
            .http_only(true)
            .secure(self.is_secure)
            .same_site(self.same_site)
    }
}

/// In whole seconds: a cookie does not end before its session.
fn rounded_up(lifetime: Duration) -> CookieDuration {
    let seconds = lifetime.as_millis().div_ceil(1_000);
    CookieDuration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
