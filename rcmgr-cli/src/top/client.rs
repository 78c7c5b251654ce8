//! The HTTP client of the live view.

use std::time::Duration;

use ureq::http::StatusCode;
use ureq::{Agent, Body, Error};

use super::address::Address;
use super::options::Sort;
use super::page::Page;
use super::text::{escaped, first_words};

/// The timeout of a request.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The longest answer, in bytes: a thousand scopes take less than 2 MiB.
const MOST_BYTES: u64 = 8 << 20;
/// The bytes that are read from the body of an error response, and the columns of it that are
/// shown.
const MOST_OF_A_COMPLAINT: (u64, usize) = (4096, 200);

/// The scopes to request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub sort: Sort,
    /// Empty for all scopes.
    pub search: String,
    pub offset: u64,
    /// The largest number of scopes.
    pub limit: u64,
    /// The name of a scope to request in detail. Only servers that say what refuses know this.
    pub scope: Option<String>,
}

/// The client.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    address: Address,
}

impl Client {
    /// A client of this address. It sends nothing yet.
    pub fn new(address: Address) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(LONGEST_WAIT))
            // Report redirects instead of following them to another host.
            .max_redirects(0)
            .proxy(None)
            .http_status_as_error(false)
            // Use a new connection for each request, so that a restarted server is found.
            .max_idle_connections(0)
            .user_agent("rcmgr top")
            .build();
        Self {
            agent: agent.into(),
            address,
        }
    }

    /// The URL for the screen.
    pub fn shown(&self) -> &str {
        self.address.shown()
    }

    /// Sends a query and waits for the answer.
    ///
    /// # Errors
    ///
    /// The reason, as text for the screen.
    pub fn ask(&self, query: &Query) -> Result<Page, String> {
        let mut request = self
            .agent
            .get(self.address.asked())
            .query("sort", query.sort.argument())
            .query("search", &query.search)
            .query("offset", query.offset.to_string())
            .query("limit", query.limit.to_string());
        if let Some(name) = &query.scope {
            request = request.query("scope", name);
        }
        let mut answer = request.call().map_err(|error| why(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(complaint(answer.status(), answer.body_mut()));
        }
        let body = answer.body_mut().with_config().limit(MOST_BYTES);
        let body = body.read_to_vec().map_err(|error| why(&error))?;
        serde_json::from_slice(&body).map_err(|error| {
            let error = escaped(&error.to_string());
            let whole = format!("this is not a live view of rcmgr: {error}");
            first_words(&whole, MOST_OF_A_COMPLAINT.1)
        })
    }
}

/// The text for an error response.
fn complaint(status: StatusCode, body: &mut Body) -> String {
    let (bytes, columns) = MOST_OF_A_COMPLAINT;
    let said = body
        .with_config()
        .limit(bytes)
        .lossy_utf8(true)
        .read_to_string();
    let said = said.unwrap_or_default();
    // A body of several lines is a page for browsers.
    let said = said.trim();
    let said = match said.contains(['\n', '<']) {
        true => "",
        false => said,
    };
    let status = status.to_string();
    let whole = match said {
        "" => format!("the server answered {status}"),
        said => format!("the server answered {status}: {}", escaped(said)),
    };
    first_words(&whole, columns)
}

fn why(error: &Error) -> String {
    let text = match error {
        Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
                "the connection was closed before the answer".to_owned()
            }
            _ => error.to_string(),
        },
        Error::HostNotFound => "host not found".to_owned(),
        Error::Timeout(_) => format!("no answer within {} s", LONGEST_WAIT.as_secs()),
        Error::BodyExceedsLimit(most) => format!("the answer is longer than {most} bytes"),
        other => other.to_string(),
    };
    first_words(&escaped(&text), MOST_OF_A_COMPLAINT.1)
}
