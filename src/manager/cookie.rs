//! The session cookie: what a request presents, and what a response sets.

use super::error::ManagerError;
use crate::session::SessionId;
use http::{HeaderMap, HeaderValue, header};
use memchr::memchr;
use std::fmt::Write;
use std::time::Duration;

/// Binds a cookie to the host that set it, over https only: browsers refuse it without `Secure` and
/// `Path=/`, or with `Domain`.
const PREFIX: &str = "__Host-";
/// Browsers hold a cookie whose name begins with one of these, in any case, to rules of its own.
/// `__Host-Http-` begins with the first.
const RESERVED_PREFIXES: [&str; 3] = [PREFIX, "__Secure-", "__Http-"];
/// Browsers drop a cookie whose name and value have more than 4,096 bytes together: a name of so
/// many leaves room for the prefix and an id.
const LONGEST_NAME: usize = 4_000;
/// The bytes of a request's cookies that are looked at: more than browsers send, by convention and
/// limits.
const MOST_BYTES: usize = 16 * 1024;

/// Which requests that another site causes bring the cookie.
///
/// ```
/// use dwell::manager::{Manager, SameSite};
///
/// let manager = Manager::builder("sid").same_site(SameSite::Strict).build()?;
/// # Ok::<(), dwell::manager::ManagerError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// None of them: a visitor who follows a link from elsewhere comes as a stranger.
    Strict,
    /// Those that open a page by a link, and no others.
    Lax,
    /// All of them. Browsers want the cookie to be `Secure` then.
    None,
}

impl SameSite {
    fn name(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

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
    /// Several session cookies of different values: somebody may have planted one.
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
    /// What each cookie is given beside its value.
    attributes: String,
}

impl Cookies {
    pub(super) fn new(
        name: &str,
        same_site: SameSite,
        is_plain_http: bool,
    ) -> Result<Self, ManagerError> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_token) {
            return Err(ManagerError::CookieName { name: name.into() });
        }
        if let Some(prefix) = reserved_prefix(name) {
            return Err(ManagerError::CookiePrefix {
                name: name.into(),
                prefix,
            });
        }
        if is_plain_http && same_site == SameSite::None {
            return Err(ManagerError::InsecureCrossSite);
        }
        let (prefix, secure) = match is_plain_http {
            true => ("", ""),
            false => (PREFIX, "; Secure"),
        };
        let same_site = same_site.name();
        Ok(Self {
            name: format!("{prefix}{name}"),
            attributes: format!("; HttpOnly; SameSite={same_site}{secure}; Path=/"),
        })
    }

    #[cfg(feature = "tower")]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What a request presents. Looks nothing up.
    pub(super) fn presented(&self, request: &HeaderMap) -> Presented {
        let mut size = 0;
        let mut first: Option<&[u8]> = None;
        let mut is_duplicate = false;
        for header in request.get_all(header::COOKIE) {
            size += header.len();
            if size > MOST_BYTES {
                return Presented::Oversized;
            }
            let mut rest = Some(header.as_bytes());
            while let Some(pairs) = rest {
                let end = memchr(b';', pairs).unwrap_or(pairs.len());
                if let Some(value) = self.value(&pairs[..end]) {
                    is_duplicate |= *first.get_or_insert(value) != value;
                }
                rest = pairs.get(end + 1..);
            }
        }
        match first {
            None => Presented::Nothing,
            Some(_) if is_duplicate => Presented::Duplicate,
            Some(value) => {
                SessionId::parse_bytes(value).map_or(Presented::Malformed, Presented::Id)
            }
        }
    }

    /// The value of a pair in a `Cookie` header, if it is the session cookie's.
    ///
    /// The syntax is that of RFC 6265 and nothing else: pairs end at `;`, a name ends at the first
    /// `=`, white space around either is SP or HTAB, names are compared byte by byte, and neither
    /// quotes nor percent signs mean anything. A reader that takes more for our name than a browser
    /// does opens the prefix to everybody who can set a cookie of such a name.
    #[inline]
    fn value<'a>(&self, pair: &'a [u8]) -> Option<&'a [u8]> {
        let after_name = without_space(pair).strip_prefix(self.name.as_bytes())?;
        let mut value = without_space(without_space(after_name).strip_prefix(b"=")?);
        while let Some((last, rest)) = value.split_last()
            && is_space(*last)
        {
            value = rest;
        }
        Some(value)
    }

    /// Tells the client, and every cache on the way not to keep it.
    pub(super) fn answer(&self, notice: Notice, response: &mut HeaderMap) {
        let cookie = match notice {
            Notice::Nothing => return,
            Notice::Ended => self.cookie("", "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
            Notice::Issued(id, None) => self.cookie(&id.to_cookie(), ""),
            Notice::Issued(id, Some(lifetime)) => {
                let mut cookie = self.cookie(&id.to_cookie(), "; Max-Age=");
                let _ = write!(cookie, "{}", seconds(lifetime));
                cookie
            }
        };
        let mut value = HeaderValue::try_from(cookie)
            .expect("a checked name and base64url are a header's characters");
        // A log of headers shows no id.
        value.set_sensitive(true);
        response.append(header::SET_COOKIE, value);
        response.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }

    fn cookie(&self, value: &str, end: &str) -> String {
        [&self.name, "=", value, &self.attributes, end].concat()
    }
}

fn reserved_prefix(name: &str) -> Option<&'static str> {
    let begins = |prefix: &&str| {
        let beginning = name.get(..prefix.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(prefix))
    };
    RESERVED_PREFIXES.into_iter().find(begins)
}

/// Whether a byte is white space in a cookie.
fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Without white space at the beginning.
fn without_space(mut bytes: &[u8]) -> &[u8] {
    while let Some((first, rest)) = bytes.split_first()
        && is_space(*first)
    {
        bytes = rest;
    }
    bytes
}

/// In whole seconds: a cookie does not end before its session.
fn seconds(lifetime: Duration) -> u128 {
    lifetime.as_millis().div_ceil(1_000)
}
