//! The program as a process, with its lines and its live view.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Much longer than any step takes, even on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A folder with the files of a proxy.
pub struct Folder(TempDir);

impl Folder {
    /// With a file `guard.toml`.
    pub fn new(guard: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("guard.toml", guard);
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, or replaces it in one step.
    pub fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    /// Starts the proxy with these arguments.
    pub fn start(&self, arguments: &str) -> Guard {
        self.start_in_shell(&format!("exec \"$RCMGR\" guard {arguments}"), Stdio::null())
    }

    /// Starts the proxy in a shell. `$RCMGR` is the program.
    pub fn start_in_shell(&self, command: &str, stdin: Stdio) -> Guard {
        Guard::new(self.shell(command, stdin))
    }

    /// A shell that starts the proxy.
    pub fn shell(&self, command: &str, stdin: Stdio) -> Child {
        Command::new("sh")
            .args(["-c", command])
            .env("RCMGR", env!("CARGO_BIN_EXE_rcmgr"))
            .current_dir(self.0.path())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell starts")
    }
}

fn pass_on(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            // The test may be over.
            let _ = to.send(line.expect("the output is text"));
        }
    });
}

/// A process that runs the proxy. It is killed at the end of the test.
pub struct Guard {
    child: Child,
    lines: Receiver<String>,
    /// All lines so far.
    seen: Vec<String>,
}

impl Guard {
    /// Reads the output of the process. Its stderr may have been closed.
    pub fn new(mut child: Child) -> Self {
        let (sender, lines) = channel();
        if let Some(stderr) = child.stderr.take() {
            pass_on(stderr, sender.clone());
        }
        pass_on(child.stdout.take().unwrap(), sender);
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line that contains this text, and returns it.
    pub fn line(&mut self, text: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("no line with {text:?}: {:#?}", self.seen),
            }
            let last = self.seen.last().unwrap();
            if last.contains(text) {
                return last.clone();
            }
        }
    }

    /// The addresses of the listeners. The proxy has started then.
    pub fn addresses(&mut self) -> Vec<SocketAddr> {
        self.line(" connections with ");
        let of_line = |line: &String| Some(line.split_once(" -> ")?.0.parse().unwrap());
        self.seen.iter().filter_map(of_line).collect()
    }

    /// The address of the only listener.
    pub fn address(&mut self) -> SocketAddr {
        let addresses = self.addresses();
        assert_eq!(addresses.len(), 1);
        addresses[0]
    }

    /// The address of the live view.
    pub fn view(&mut self) -> SocketAddr {
        let line = self.line("live view: ");
        let address = line.strip_prefix("live view: http://").unwrap();
        address.strip_suffix('/').unwrap().parse().unwrap()
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end of the process. Returns its status and the lines that are left.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        let end = Instant::now() + DEADLINE;
        let rest = loop {
            // The output ends with the process.
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.seen.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break self.seen.clone(),
                Err(error) => panic!("the process does not end: {error}: {:#?}", self.seen),
            }
        };
        (self.child.wait().unwrap(), rest)
    }

    /// How many of the lines so far contain this text.
    pub fn count(&mut self, text: &str) -> usize {
        self.seen.extend(self.lines.try_iter());
        self.seen.iter().filter(|line| line.contains(text)).count()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that is free. No other test uses its IP address.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [process, _] = (std::process::id() as u16).to_le_bytes();
    // Relaxed: a number.
    let ip = [127, 7, process, NEXT.fetch_add(1, Ordering::Relaxed)];
    TcpListener::bind((IpAddr::from(ip), 0))
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Waits until a condition holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Gets a page of the live view.
pub fn get(view: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(view).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(socket, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    body.to_owned()
}

/// The JSON of the live view.
pub fn json(view: SocketAddr) -> serde_json::Value {
    serde_json::from_str(&get(view, "/rcmgr.json")).unwrap()
}
