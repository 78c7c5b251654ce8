//! A server in a process of its own: the bench's program again. Its limits and its CPU time are its
//! own.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use cpu_time::ProcessTime;

/// The name of the server, in the process of a server.
pub fn server_name() -> Option<String> {
    let mut arguments = env::args().skip(1);
    let serve = arguments.next().is_some_and(|first| first == "serve");
    serve.then(|| arguments.next().unwrap_or_default())
}

/// In the process of the server: prints its address, answers each line of the standard input with
/// the CPU time so far, and ends the process when the input is closed.
pub fn obey(address: SocketAddr) {
    println!("{address}");
    thread::spawn(|| {
        for line in io::stdin().lines() {
            if line.is_err() {
                break;
            }
            println!("{}", ProcessTime::now().as_duration().as_nanos());
        }
        process::exit(0);
    });
}

/// The process of a server, and what it prints.
pub struct Child {
    pub address: SocketAddr,
    process: process::Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// Starts the server of this name.
    pub fn start(name: &str) -> io::Result<Self> {
        Self::spawn(Command::new(env::current_exe()?).args(["serve", name]))
    }

    /// Starts it under Valgrind, which counts its instructions.
    #[allow(dead_code, reason = "one of the benches")]
    pub fn start_counted(name: &str) -> io::Result<Self> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        command.arg(env::current_exe()?).args(["serve", name]);
        Self::spawn(command.stderr(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> io::Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let mut stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        Ok(Self {
            address: line.trim().parse().map_err(io::Error::other)?,
            stdin: process.stdin.take(),
            process,
            stdout,
        })
    }

    /// The CPU time so far, which includes the kernel's work for it.
    pub fn cpu(&mut self) -> io::Result<Duration> {
        let mut stdin = self.stdin.as_ref().expect("it is open until the end");
        stdin.write_all(b"\n")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let time = line.trim().parse().map_err(io::Error::other)?;
        Ok(Duration::from_nanos(time))
    }

    /// Ends the server. Under Valgrind, returns how many instructions it took.
    pub fn end(mut self) -> io::Result<Option<f64>> {
        drop(self.stdin.take());
        let mut report = String::new();
        if let Some(mut stderr) = self.process.stderr.take() {
            stderr.read_to_string(&mut report)?;
        }
        // A server that failed has a number of instructions, too.
        if !self.process.wait()?.success() {
            return Err(io::Error::other(format!("the server failed: {report}")));
        }
        let mut lines = report.lines();
        let collected = lines.find_map(|line| line.split_once("Collected : "));
        Ok(collected.and_then(|(_, count)| count.trim().parse().ok()))
    }
}

/// The value in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}
