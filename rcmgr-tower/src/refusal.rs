//! Why a request was refused.

mod answer;

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use rcmgr_core::Error;

pub(crate) use answer::{Answer, BodyError, answer_http};

/// Why a request was refused.
///
/// The text is for operators: it names the scope that refused, the numbers, and what to change.
/// Clients do not see it, unless [`on_refusal`](crate::RequestScopes::on_refusal) says otherwise.
///
/// The body of a request yields it as its error when it is refused, so a handler finds it with
/// `error.downcast_ref::<Refusal>()`. It is also in the extensions of the response to a refused
/// request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The body is longer than the budget of a request: 413.
    BodyTooLong {
        /// Its length as declared, or as far as it has arrived, in bytes.
        length: u64,
        /// The most that a body may have.
        most: u64,
    },
    /// The body is larger than the limit of a scope, or than the part of it that its priority may
    /// use, so it would not fit even if nothing else held memory: 413.
    LargerThanLimit(Error),
    /// There is no room for the request or its body now: 503.
    NoRoom(Error),
    /// The body arrives too slowly: 408.
    TooSlow {
        /// How long the handler waited for the body in all.
        waited: Duration,
        /// How much has arrived, in bytes.
        length: u64,
    },
}

impl Refusal {
    /// The status of the answer over HTTP.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::BodyTooLong { .. } | Self::LargerThanLimit(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoRoom(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The error of the scope that refused, if one did.
    pub const fn error(&self) -> Option<&Error> {
        match self {
            Self::LargerThanLimit(error) | Self::NoRoom(error) => Some(error),
            Self::BodyTooLong { .. } | Self::TooSlow { .. } => None,
        }
    }

    /// Why a reservation for a body failed. With all that the request needs for it, the body needs
    /// `in_all` bytes.
    pub(crate) fn of_body(error: Error, in_all: u64) -> Self {
        match error {
            Error::LimitExceeded(mut reached) => {
                // The chunk may be small and the body large.
                let requested = reached.requested;
                reached.requested = in_all.max(requested);
                if reached.is_larger_than_limit() {
                    return Self::LargerThanLimit(reached.into());
                }
                reached.requested = requested;
                Self::NoRoom(reached.into())
            }
            error => Self::NoRoom(error),
        }
    }
}

impl From<Error> for Refusal {
    /// For a reservation that a handler made: [`LargerThanLimit`](Self::LargerThanLimit) if it would
    /// not fit even if nothing else held memory, otherwise [`NoRoom`](Self::NoRoom).
    fn from(error: Error) -> Self {
        Self::of_body(error, 0)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error().map(|error| error as _)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BodyTooLong { length, most } => write!(
                f,
                "the body of the request has {length} bytes or more, and at most {most} are \
                 allowed: raise the budget per request to accept it",
            ),
            Self::LargerThanLimit(error) => write!(
                f,
                "{error}. This is more than the limit allows at this priority: raise the memory \
                 limit of that scope, or the priority of the request",
            ),
            Self::NoRoom(error) => {
                write!(f, "{error}. ")?;
                f.write_str(match error {
                    Error::ScopeClosed { .. } => "The connection or the manager is closing",
                    _ => {
                        "The request may be tried again later. If this happens often, raise the \
                         limit of that scope"
                    }
                })
            }
            Self::TooSlow { waited, length } => write!(
                f,
                "the body of the request arrives too slowly: {length} bytes in {waited:?}",
            ),
        }
    }
}
