//! A process that holds idle connections: the clients of a proxy and its server, so that the file
//! descriptors of both are not those of the benchmark.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::backend::{Backends, Service};
use crate::load::{Sources, hold};
use crate::process::Process;

/// A handle on such a process.
pub struct Holder {
    process: Process,
    /// The address of its echo server.
    pub backend: SocketAddr,
}

impl Holder {
    pub fn start() -> io::Result<Self> {
        let mut process = Process::role("holder", &[])?;
        let backend = process.line()?.parse().map_err(io::Error::other)?;
        Ok(Self { process, backend })
    }

    /// Opens connections to a proxy. Their numbers count from `first`.
    pub fn hold(
        &mut self,
        to: SocketAddr,
        sources: Sources,
        first: usize,
        count: usize,
    ) -> io::Result<()> {
        let sources = match sources {
            Sources::Shared => "shared",
            Sources::Different => "different",
            Sources::One => "one",
        };
        let answer = self
            .process
            .ask(&format!("{to} {sources} {first} {count}"))?;
        match answer.as_str() {
            "held" => Ok(()),
            error => Err(io::Error::other(error.to_owned())),
        }
    }
}

/// The role of the process.
pub fn run() -> Result<(), Box<dyn Error>> {
    let backends = Backends::start()?;
    println!("{}", backends.address(Service::Echo));
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    let mut held = Vec::new();
    for line in io::stdin().lines() {
        match runtime.block_on(obey(&line?)) {
            Ok(more) => {
                held.extend(more);
                println!("held");
            }
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}

async fn obey(line: &str) -> Result<Vec<TcpStream>, Box<dyn Error>> {
    let words: Vec<_> = line.split(' ').collect();
    let &[to, sources, first, count] = &*words else {
        return Err(format!("an unknown order: {line}").into());
    };
    let sources = match sources {
        "shared" => Sources::Shared,
        "different" => Sources::Different,
        _ => Sources::One,
    };
    Ok(hold(to.parse()?, sources, first.parse()?, count.parse()?).await?)
}
