//! The processes of the benchmark: their CPUs, their CPU time, and what they count.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// What another process of this program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Victim,
    Attackers,
}

impl Role {
    pub fn named(name: &str) -> io::Result<Self> {
        let roles = [Self::Victim, Self::Attackers];
        let role = roles.into_iter().find(|role| role.name() == name);
        role.ok_or_else(|| io::Error::other(format!("no role has the name {name}")))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Victim => "victim",
            Self::Attackers => "attackers",
        }
    }

    fn cpu(self) -> usize {
        match self {
            Self::Victim => 0,
            Self::Attackers => 1,
        }
    }
}

/// The calling thread, and the threads that it starts, run on the CPU of the attackers.
pub fn take_second_cpu() -> io::Result<()> {
    take_cpu(Role::Attackers.cpu())
}

fn take_cpu(id: usize) -> io::Result<()> {
    match core_affinity::set_for_current(core_affinity::CoreId { id }) {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "this process may not choose CPU {id}: try --shared"
        ))),
    }
}

/// A process in another role. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(role: Role, arguments: &[String], is_shared: bool) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = match role {
            Role::Attackers if !is_shared => {
                let mut chrt = Command::new("chrt");
                chrt.args(["--idle", "0"]).arg(program);
                chrt
            }
            _ => Command::new(program),
        };
        let place = if is_shared { "shared" } else { "placed" };
        command.args(["--role", role.name(), place]).args(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("a process without pipes");
        Ok(Self {
            stdin: child.stdin.take().ok_or_else(missing)?,
            stdout: BufReader::new(child.stdout.take().ok_or_else(missing)?),
            child,
        })
    }

    /// The next line of its output.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stdout.read_line(&mut line)? {
            0 => Err(io::Error::other("a process of the benchmark has ended")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    /// What it counts: refusals, or attacks.
    pub fn count(&mut self) -> io::Result<u64> {
        writeln!(self.stdin)?;
        self.line()?.parse().map_err(io::Error::other)
    }

    /// The CPU time of its threads.
    pub fn cpu(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let on_cpu = text.split(' ').next().and_then(|first| first.parse().ok());
            nanoseconds += on_cpu.unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In another role: takes the place that the arguments name. Returns the other arguments.
pub fn take_place<'a>(role: Role, arguments: &'a [&'a str]) -> io::Result<&'a [&'a str]> {
    let (place, rest) = arguments
        .split_first()
        .ok_or_else(|| io::Error::other("a role without a place"))?;
    if *place == "placed" {
        take_cpu(role.cpu())?;
    }
    Ok(rest)
}

/// In another role: answers each line of standard input with `count`, on a thread of its own.
pub fn answer_with(count: impl Fn() -> u64 + Send + Sync + 'static) {
    let count = Arc::new(count);
    std::thread::spawn(move || {
        for _ in io::stdin().lines() {
            println!("{}", count());
        }
    });
}
