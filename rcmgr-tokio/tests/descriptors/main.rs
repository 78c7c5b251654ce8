//! File descriptors that run out, and a reserve of them. The limit of descriptors is the process's,
//! so these tests have a process of their own, and run one after the other.

#![cfg(target_os = "linux")]

#[path = "../accept/log.rs"]
mod log;
mod out;
mod reserve;

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};

/// The right to change the limit of descriptors. It is restored at the end.
struct Limit {
    soft: u64,
    hard: u64,
    /// They have the numbers that were free between others.
    fillers: Vec<File>,
    _alone: MutexGuard<'static, ()>,
}

impl Limit {
    /// Waits until no other test has it.
    fn alone() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (soft, hard) = rlimit::Resource::NOFILE.get().unwrap();
        Self {
            soft,
            hard,
            fillers: Vec::new(),
            _alone: alone,
        }
    }

    fn set(&self, soft: u64) {
        rlimit::Resource::NOFILE.set(soft, self.hard).unwrap();
    }

    /// Lets the process open `count` descriptors more than it has now. Returns how many it may have.
    fn leave(&mut self, count: u64) -> u64 {
        // The limit is one of numbers: a new descriptor has the first free number, which must be lower.
        // So there must be no free number between others.
        self.set(self.soft);
        loop {
            let file = File::open("/dev/null").unwrap();
            // With this number, all lower ones are taken, and no higher one is.
            if file.as_raw_fd() as u64 + 1 == open() {
                break;
            }
            self.fillers.push(file);
        }
        let allowed = open() + count;
        self.set(allowed);
        allowed
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        self.set(self.soft);
    }
}

/// Runs a test on a runtime that has no other thread. The test has the limit alone from before the
/// runtime opens its descriptors until it has closed them.
fn run(test: impl AsyncFnOnce(&mut Limit)) {
    let mut limit = Limit::alone();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(test(&mut limit));
    drop(runtime);
    drop(limit);
}

/// How many descriptors are open, the one of this question not counted.
fn open() -> u64 {
    std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1
}

/// As many open files as there can be, at most `most`.
fn open_files(most: usize) -> Vec<File> {
    let opened = (0..most).map_while(|_| File::open("/dev/null").ok());
    opened.collect()
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Clients that are connected, and not accepted yet.
async fn clients(count: usize, address: SocketAddr) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    clients
}
