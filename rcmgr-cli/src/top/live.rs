//! Runs the view on a terminal.
//!
//! Keys, answers and signals come through one channel, each from its own thread. The view is drawn
//! after each of them. The terminal is restored on every exit: by the guard [`Screen`], and by a
//! hook if any thread panics.

use std::io::{self, BufWriter, Stdout, stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, KeyEvent};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::app::{Action, Answer, App};
use super::client::{Client, Query};
use super::draw::draw;

/// The time between two redraws when no event comes.
const TICK: Duration = Duration::from_millis(500);

/// An event of the main loop.
enum Event {
    Key(KeyEvent),
    /// Draw the screen again.
    Redraw,
    Answer(Box<Answer>),
    /// Keys can no longer be read.
    NoKeys(io::Error),
    /// A signal that ends the program.
    #[cfg(unix)]
    Signal(i32),
}

/// Shows the view until it is quit.
///
/// # Errors
///
/// If there is no terminal, or it fails.
pub fn run(client: &Client, mut app: App) -> io::Result<()> {
    let (sender, events) = channel();
    #[cfg(unix)]
    watch_signals(sender.clone())?;
    let mut screen = Screen::take()?;
    watch_keys(sender.clone());
    let asker = Asker::start(client.clone(), sender)?;
    let ended = show(&mut screen, client.shown(), &mut app, &asker, &events)?;
    drop(screen);
    match ended {
        Ended::Quit => Ok(()),
        // The terminal is restored: now do what the signal does by default.
        #[cfg(unix)]
        Ended::Signal(signal) => signal_hook::low_level::emulate_default_handler(signal),
    }
}

enum Ended {
    Quit,
    #[cfg(unix)]
    Signal(i32),
}

fn show(
    screen: &mut Screen,
    place: &str,
    app: &mut App,
    asker: &Asker,
    events: &Receiver<Event>,
) -> io::Result<Ended> {
    loop {
        if !TAKEN.load(Ordering::SeqCst) {
            return Err(panicked());
        }
        screen.terminal.draw(|frame| {
            draw(app, place, Instant::now(), frame.area(), frame.buffer_mut());
        })?;
        // Ask after drawing, because the query depends on the size of the screen.
        if let Some(query) = app.question(Instant::now()) {
            asker.ask(query)?;
        }
        let until_question = app.next_question().map_or(TICK, |at| {
            at.saturating_duration_since(Instant::now()).min(TICK)
        });
        match events.recv_timeout(until_question) {
            Ok(Event::Key(key)) => match app.key(key) {
                Action::Nothing => {}
                Action::Quit => return Ok(Ended::Quit),
                Action::Suspend => screen.suspend()?,
            },
            Ok(Event::Answer(answer)) => app.answer(*answer, Instant::now()),
            Ok(Event::NoKeys(error)) => return Err(error),
            #[cfg(unix)]
            Ok(Event::Signal(signal)) => return Ok(Ended::Signal(signal)),
            Ok(Event::Redraw) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(panicked()),
        }
    }
}

/// Whether the terminal is taken. It must be restored only once: a second time would move the
/// cursor to its first position, over text that was printed since.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A backend that writes each frame at once, so that the terminal never shows a part of it.
type Backend = CrosstermBackend<BufWriter<Stdout>>;

/// The terminal in raw mode, until this is dropped.
struct Screen {
    terminal: Terminal<Backend>,
}

impl Screen {
    fn take() -> io::Result<Self> {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Restore the terminal first; otherwise the panic message would be lost.
            give_back();
            hook(info);
        }));
        let taken = Self::enter();
        if taken.is_err() {
            // Undo a partial change.
            give_back();
        }
        taken.map(|terminal| Self { terminal })
    }

    fn enter() -> io::Result<Terminal<Backend>> {
        TAKEN.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen)?;
        Terminal::new(Backend::new(BufWriter::with_capacity(64 << 10, stdout())))
    }

    /// Restores the terminal and stops the process, until the shell continues it.
    fn suspend(&mut self) -> io::Result<()> {
        #[cfg(unix)]
        {
            give_back();
            signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
            // Create a new terminal, which assumes an empty screen. Clearing the old one would
            // query the cursor position from the terminal, and the key thread would read the
            // response.
            self.terminal = Self::enter()?;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Restores the terminal. Errors are ignored, because there is no place to report them.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// The thread that asks the server, one query at a time.
struct Asker {
    questions: Sender<Query>,
}

impl Asker {
    fn start(client: Client, sender: Sender<Event>) -> io::Result<Self> {
        let (questions, asked) = channel();
        let work = move || {
            for query in asked {
                let result = client.ask(&query);
                let answer = Box::new(Answer { query, result });
                if sender.send(Event::Answer(answer)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().spawn(work)?;
        Ok(Self { questions })
    }

    fn ask(&self, query: Query) -> io::Result<()> {
        self.questions.send(query).map_err(|_| panicked())
    }
}

/// The error for a closed channel: a thread only ends early if it panics.
fn panicked() -> io::Error {
    io::Error::other("a thread of this program panicked")
}

/// Starts the thread that reads keys. It runs until the process ends, because reading cannot be
/// interrupted.
fn watch_keys(sender: Sender<Event>) {
    thread::spawn(move || {
        loop {
            let happening = match event::read() {
                Ok(event) => match event.as_key_press_event() {
                    Some(key) => Event::Key(key),
                    None => Event::Redraw,
                },
                Err(error) => Event::NoKeys(error),
            };
            let last = matches!(happening, Event::NoKeys(_));
            if sender.send(happening).is_err() || last {
                return;
            }
        }
    });
}

#[cfg(unix)]
fn watch_signals(sender: Sender<Event>) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    thread::spawn(move || {
        for signal in signals.forever() {
            if sender.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(())
}
