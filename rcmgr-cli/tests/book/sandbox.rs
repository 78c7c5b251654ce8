//! A folder where the commands of a chapter run, with the servers and files that they expect.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, UsesFd};

use crate::trace;
use crate::view::View;

/// The address of a live view in the book.
const VIEW: &str = "http://127.0.0.1:9500";

/// The address of `limits_router` in the book, and its token.
const ADMIN: &str = "https://server.example/admin";

/// The folder of a server's configuration in the book.
const ETC: &str = "/etc/echo/";

pub struct Sandbox {
    folder: tempfile::TempDir,
    view: View,
}

/// What a command printed, on stdout and stderr, and its exit status.
pub struct Output {
    pub status: Option<i32>,
    pub text: String,
}

/// Whether curl is installed, which some commands of the book use.
pub fn has_curl() -> bool {
    Command::new("curl").arg("--version").output().is_ok()
}

impl Sandbox {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is a folder for temporary files");
        let path = folder.path();
        fs::create_dir_all(path.join(&ETC[1..])).expect("the folder is writable");
        let bin = path.join("bin");
        fs::create_dir(&bin).expect("the folder is writable");
        // The program, under the name that the book uses.
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rcmgr"), bin.join("rcmgr"))
            .expect("the folder is writable");
        // An answer that is an error is the failure of a command.
        fs::write(path.join(".curlrc"), "fail-with-body\n").expect("the folder is writable");
        for (name, text) in &*trace::FILES {
            fs::write(path.join(name), text).expect("the folder is writable");
        }
        Self {
            view: View::serve(&served(), None),
            folder,
        }
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("the folder is writable");
    }

    /// Runs a command of the book: its addresses and folders are those of the sandbox.
    pub fn run(&self, command: &str) -> Output {
        let folder = self.folder.path();
        let view = format!("http://{}", self.view.address);
        let command = command
            .replace(VIEW, &view)
            .replace(ADMIN, &format!("{view}/admin"))
            .replace(ETC, &format!("{}{ETC}", folder.display()));
        let path = env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", folder.join("bin").display()))
            .env("TOKEN", crate::view::TOKEN)
            .env("CURL_HOME", folder)
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .output()
            .expect("there is a shell");
        let text = String::from_utf8(output.stdout).expect("the output is UTF-8");
        Output {
            status: output.status.code(),
            text: shown(&text, folder, &view),
        }
    }
}

/// The output with the addresses and folders of the book.
fn shown(text: &str, folder: &Path, view: &str) -> String {
    text.replace(&format!("{}/", folder.display()), "")
        .replace(view, VIEW)
}

/// The manager of the live view.
fn served() -> Manager {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 4.into();
    let manager = Manager::new(limits).expect("the limits are valid");
    let open = || manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    // They stay open as long as the test runs.
    std::mem::forget((0..6).map(|_| open()).collect::<Vec<_>>());
    manager
}
