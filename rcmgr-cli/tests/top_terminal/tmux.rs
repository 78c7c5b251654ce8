//! A terminal that a test can type into and read.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The timeout of a wait. Only a very busy machine needs long.
const WITHIN: Duration = Duration::from_secs(60);

/// Runs a program, and prints its exit status and whether the terminal settings are restored.
const SCRIPT: &str = r#"
before=$(stty -g)
echo "before it"
"$@"
echo "status $?"
[ "$(stty -g)" = "$before" ] && echo "settings restored"
exec cat
"#;

/// A terminal with its own tmux server, which ends when this is dropped.
pub struct Tmux {
    socket: String,
}

/// Whether tmux is installed.
pub fn is_there() -> bool {
    let version = Command::new("tmux").arg("-V").output();
    version.is_ok_and(|output| output.status.success())
}

impl Tmux {
    /// A terminal in which `rcmgr top` runs with these arguments.
    pub fn top(width: u16, height: u16, arguments: &[&str]) -> Self {
        let program = [env!("CARGO_BIN_EXE_rcmgr"), "top"];
        Self::script(width, height, SCRIPT, &[&program, arguments].concat())
    }

    /// A terminal that runs a script.
    pub fn script(width: u16, height: u16, script: &str, arguments: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let tmux = Self {
            socket: format!("rcmgr-test-{}-{number}", std::process::id()),
        };
        let (width, height) = (width.to_string(), height.to_string());
        let start = [
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
        ];
        tmux.run(&[&start[..], &["sh", "-c", script, "sh"], arguments].concat());
        tmux
    }

    fn command(&self, arguments: &[&str]) -> Output {
        Command::new("tmux")
            // Use UTF-8, independent of the locale.
            .args(["-u", "-L", &self.socket])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .output()
            .expect("there is tmux")
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("it is UTF-8")
    }

    /// Presses keys, given by tmux's names.
    pub fn press(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// Types a text.
    pub fn type_in(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
    }

    pub fn resize(&self, width: u16, height: u16) {
        let (width, height) = (width.to_string(), height.to_string());
        self.run(&["resize-window", "-x", &width, "-y", &height]);
    }

    /// A property of the terminal, such as `#{pane_title}`.
    pub fn tell(&self, what: &str) -> String {
        self.run(&["display-message", "-p", what])
            .trim_end()
            .to_owned()
    }

    /// The text on the screen.
    pub fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// Waits until the screen satisfies a condition, and returns the screen.
    ///
    /// # Panics
    ///
    /// If the condition is not true in time.
    pub fn wait_for(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(begin.elapsed() < WITHIN, "no {what} on\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a text is on the screen.
    pub fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(text, |screen| screen.contains(text))
    }

    /// Waits until the program ends with this status, and checks that the terminal is restored.
    pub fn wait_for_end(&self, status: u8) {
        let ended = format!("status {status}\nsettings restored\n");
        let screen = self.wait_for_text(&ended);
        assert!(screen.starts_with("before it\n"), "{screen}");
        assert_eq!(self.tell("#{alternate_on} #{cursor_flag}"), "0 1");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.command(&["kill-server"]);
    }
}
