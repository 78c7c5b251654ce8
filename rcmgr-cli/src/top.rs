//! `rcmgr top`: the live view of a server in a terminal.
//!
//! [`App`] has the state. It knows neither the terminal nor the server: [`live`] passes keys and
//! answers to it, and [`draw`] converts it to text. A separate thread asks the server, so that keys
//! work while an answer is pending.

mod address;
mod app;
mod client;
mod draw;
#[cfg(test)]
mod fixture;
mod live;
mod numbers;
mod options;
mod page;
mod rates;
mod refusing;
mod text;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

pub use options::Options;

use crate::output::{print, print_error};
use app::{Answer, App};
use client::{Client, Query};

/// The number of scopes that are printed once: the most that the live view returns.
const MOST_AT_ONCE: u64 = 1000;

/// The errors that end the command.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("rcmgr: {0}: {1}")]
    NoAnswer(String, String),
    #[error("rcmgr: cannot draw on the terminal: {0}")]
    Terminal(io::Error),
    #[error("rcmgr: cannot write the output: {0}")]
    Output(io::Error),
}

/// Runs the command. The exit status is 0 if the view was quit or printed, 1 if there was no answer
/// or no terminal.
pub fn run(options: &Options) -> ExitCode {
    let client = Client::new(options.address.clone());
    let app = App::new(options.interval, options.sort, options.search.clone());
    let shown = if options.once || !io::stdout().is_terminal() {
        once(&client, app, options.interval)
    } else {
        live::run(&client, app).map_err(Failure::Terminal)
    };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print_error(failure);
            ExitCode::FAILURE
        }
    }
}

/// Prints the state after one interval, so that there are rates.
fn once(client: &Client, mut app: App, interval: Duration) -> Result<(), Failure> {
    let query = Query {
        sort: app.sort,
        search: app.search.clone(),
        offset: 0,
        limit: MOST_AT_ONCE,
        scope: None,
    };
    for wait in [Duration::ZERO, interval] {
        thread::sleep(wait);
        let page = client.ask(&query);
        let page = page.map_err(|why| Failure::NoAnswer(client.shown().to_owned(), why))?;
        let (query, result) = (query.clone(), Ok(page));
        app.answer(Answer { query, result }, Instant::now());
    }
    print(draw::text(&app, client.shown())).map_err(Failure::Output)
}
