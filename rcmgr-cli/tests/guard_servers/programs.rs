//! Programs of others, as child processes.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::process::eventually;

/// The path of a program: daemons may be in a folder that is not in `PATH`.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut files = folders.map(|folder| folder.join(program));
    files.find(|file| file.is_file())
}

/// The programs that are not installed.
pub fn missing(programs: &'static [&'static str]) -> Vec<&'static str> {
    let programs = programs.iter().copied();
    programs.filter(|program| find(program).is_none()).collect()
}

pub fn command(program: &str) -> Command {
    Command::new(find(program).expect("it is installed"))
}

/// A process that ends with the test.
pub struct Process(pub Child);

impl Process {
    /// Starts a server that listens on this address.
    pub fn serve(command: &mut Command, on: SocketAddr) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut server = Self(command.spawn().expect("it starts"));
        eventually("it listens", || {
            assert_eq!(server.0.try_wait().unwrap(), None, "it runs");
            TcpStream::connect(on).is_ok()
        });
        server
    }

    /// Starts Redis without a file of its data.
    pub fn redis(on: SocketAddr, folder: &Path) -> Self {
        let mut command = command("redis-server");
        command.args([
            "--bind",
            &on.ip().to_string(),
            "--port",
            &on.port().to_string(),
        ]);
        command.args(["--save", "", "--protected-mode", "no"]);
        Self::serve(command.current_dir(folder), on)
    }

    /// Starts a client, whose output is read at its end.
    pub fn client(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self(command.spawn().expect("it starts"))
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for the end with success. Returns the output.
    pub fn output(mut self) -> String {
        eventually("the client ends", || self.has_ended());
        let mut output = String::new();
        let stdout = self.0.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut output).unwrap();
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}: {output}");
        output
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
