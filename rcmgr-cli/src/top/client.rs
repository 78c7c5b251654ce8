//! Asks the live view.

use std::time::Duration;

use ureq::http::StatusCode;
use ureq::{Agent, Body, Error};

use super::address::Address;
use super::options::Sort;
use super::page::Page;
use super::text::{cut, escaped};

/// An answer that takes longer is none.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A longer answer is not read: a thousand scopes are less than 2 MiB.
const MOST_BYTES: u64 = 8 << 20;
/// So many bytes of what comes with an error status are read, and columns shown.
const MOST_OF_A_COMPLAINT: (u64, usize) = (4096, 200);

/// Which scopes are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub sort: Sort,
    /// Empty for all.
    pub search: String,
    pub offset: u64,
    /// At most so many.
    pub limit: u64,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    address: Address,
}

impl Client {
    /// One that asks there. Nothing is sent yet.
    pub fn new(address: Address) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(LONGEST_WAIT))
            // Where somebody is to be asked who is not the one who was named, that is told.
            .max_redirects(0)
            .proxy(None)
            .http_status_as_error(false)
            // A server that went away and is back is found by a connection of its own.
            .max_idle_connections(0)
            .user_agent("rcmgr top")
            .build();
        Self {
            agent: agent.into(),
            address,
        }
    }

    /// Where is asked, for the screen.
    pub fn shown(&self) -> &str {
        self.address.shown()
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// Why there is none, to be shown as it is.
    pub fn ask(&self, query: &Query) -> Result<Page, String> {
        let request = self
            .agent
            .get(self.address.asked())
            .query("sort", query.sort.argument())
            .query("search", &query.search)
            .query("offset", query.offset.to_string())
            .query("limit", query.limit.to_string());
        let mut answer = request.call().map_err(|error| why(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(complaint(answer.status(), answer.body_mut()));
        }
        let body = answer.body_mut().with_config().limit(MOST_BYTES);
        let body = body.read_to_vec().map_err(|error| why(&error))?;
        serde_json::from_slice(&body).map_err(|error| {
            let error = escaped(&error.to_string());
            cut(
                &format!("this is no live view of rcmgr: {error}"),
                MOST_OF_A_COMPLAINT.1,
            )
        })
    }
}

/// What a server says that gives no page.
fn complaint(status: StatusCode, body: &mut Body) -> String {
    let (bytes, columns) = MOST_OF_A_COMPLAINT;
    let said = body
        .with_config()
        .limit(bytes)
        .lossy_utf8(true)
        .read_to_string();
    let said = said.unwrap_or_default();
    // Anything longer than a line is a page for browsers.
    let said = said.trim();
    let said = match said.contains(['\n', '<']) {
        true => "",
        false => said,
    };
    let status = status.to_string();
    let whole = match said {
        "" => format!("the server says {status}"),
        said => format!("the server says {status}: {}", escaped(said)),
    };
    cut(&whole, columns)
}

fn why(error: &Error) -> String {
    let text = match error {
        Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
                "the connection was closed before there was an answer".to_owned()
            }
            _ => error.to_string(),
        },
        Error::HostNotFound => "host not found".to_owned(),
        Error::Timeout(_) => format!("no answer within {} s", LONGEST_WAIT.as_secs()),
        Error::BodyExceedsLimit(most) => format!("the answer is longer than {most} bytes"),
        other => other.to_string(),
    };
    cut(&escaped(&text), MOST_OF_A_COMPLAINT.1)
}
