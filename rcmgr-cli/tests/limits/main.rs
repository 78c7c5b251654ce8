//! Runs `rcmgr limits`.

mod addresses;
mod check;
mod diff;
mod origins;
mod show;
mod waiters;
mod written;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Fixed defaults, so that no test depends on the machine.
const DEFAULTS: [&str; 6] = ["--preset", "libp2p", "--memory", "1GiB", "--fds", "1000"];

const PEER: &str = "Peer.12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

const SERVER: &str = r#"[System]
Memory = "512 MiB"
FD = 900

[PeerDefault]
Conns = 16
ConnsInbound = "unlimited"

[Peer.12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5]
Conns = 64
"#;

/// The working directory of the program, with files. It is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str, files: &[(&str, &str)]) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("limits-{test}"));
        fs::create_dir_all(&path).expect("a folder can be made");
        for (name, text) in files {
            fs::write(path.join(name), text).expect("a file can be written");
        }
        Self(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcmgr"));
        command.arg("limits").args(arguments).current_dir(&self.0);
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(
            self.command(arguments)
                .output()
                .expect("the program starts"),
        )
    }

    /// Runs with [`DEFAULTS`].
    fn limits(&self, arguments: &[&str]) -> Run {
        self.run(&[arguments, &DEFAULTS].concat())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug, PartialEq)]
struct Run {
    status: i32,
    out: String,
    err: String,
}

impl Run {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the output is text");
        Self {
            status: output.status.code().expect("no signal ended it"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    fn new(status: i32, out: &str, err: &str) -> Self {
        Self {
            status,
            out: out.into(),
            err: err.into(),
        }
    }

    /// The stdout of a run that must succeed.
    fn good(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.out
    }

    /// The stderr of a run with a wrong argument.
    fn wrong_use(self) -> String {
        assert_eq!((self.status, self.out.as_str()), (2, ""), "{self:?}");
        self.err
    }

    /// The stderr of a run with a wrong file.
    fn wrong_file(self) -> String {
        assert_eq!((self.status, self.out.as_str()), (1, ""), "{self:?}");
        self.err
    }

    fn line(&self, beginning: &str) -> &str {
        let found = self.out.lines().find(|line| line.starts_with(beginning));
        found.unwrap_or_else(|| panic!("no {beginning} in {self:?}"))
    }
}

/// A line with single spaces between its columns.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn server(test: &str) -> Folder {
    Folder::new(test, &[("server.toml", SERVER)])
}
