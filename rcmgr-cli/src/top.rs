//! `rcmgr top`: the live view of a server, in a terminal.
//!
//! What is shown is [`App`], which knows neither terminal nor server: [`live`] hands it keys and
//! answers, and [`draw`] makes text of it. A thread of its own asks the server, so that keys work
//! while an answer is waited for.

mod address;
mod app;
mod client;
mod draw;
#[cfg(test)]
mod fixture;
mod live;
mod options;
mod page;
mod rates;
mod text;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Instant;

pub use options::Options;

use crate::output::{complain, print};
use app::{Answer, App};
use client::{Client, Query};

/// A view asked once has so many scopes, which is as many as it may.
const MOST_AT_ONCE: u64 = 1000;

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("rcmgr: {0}: {1}")]
    NoAnswer(String, String),
    #[error("rcmgr: can't draw on the terminal: {0}")]
    Terminal(io::Error),
    #[error("rcmgr: can't write the output: {0}")]
    Output(io::Error),
}

/// Shows the view. The exit status is 0 if it was quit or printed, 1 if there was no answer or no
/// terminal.
pub fn run(options: &Options) -> ExitCode {
    let client = Client::new(options.address.clone());
    let app = App::new(options.interval, options.sort, options.search.clone());
    let shown = if options.once || !io::stdout().is_terminal() {
        once(&client, app)
    } else {
        live::run(&client, app).map_err(Failure::Terminal)
    };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(failure);
            ExitCode::FAILURE
        }
    }
}

fn once(client: &Client, mut app: App) -> Result<(), Failure> {
    let query = Query {
        sort: app.sort,
        search: app.search.clone(),
        offset: 0,
        limit: MOST_AT_ONCE,
    };
    let page = client.ask(&query);
    let page = page.map_err(|why| Failure::NoAnswer(client.shown().to_owned(), why))?;
    let result = Ok(page);
    app.answer(Answer { query, result }, Instant::now());
    print(draw::text(&app, client.shown())).map_err(Failure::Output)
}
