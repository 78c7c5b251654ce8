//! The view on a terminal, until it is quit.
//!
//! Whatever happens comes through one channel: keys, answers, and signals, each from a thread of
//! its own. Between two of them the view is drawn. The terminal is given back as it was on every
//! way out: the guard [`Screen`] does it, and a hook where there is a panic, in whichever thread.

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

use super::app::{Answer, App, Wish};
use super::client::{Client, Query};
use super::draw::draw;

/// How often times are brought up to date where nothing else happens.
const TICK: Duration = Duration::from_millis(500);

/// What happens.
enum Happening {
    Key(KeyEvent),
    /// The screen is to be drawn again.
    Redraw,
    Answer(Box<Answer>),
    /// There are no keys any more.
    NoKeys(io::Error),
    /// Somebody wants this to end.
    #[cfg(unix)]
    Signal(i32),
}

/// Shows the view until it is quit.
///
/// # Errors
///
/// If there is no terminal, or it goes away.
pub fn run(client: &Client, mut app: App) -> io::Result<()> {
    let (happens, happenings) = channel();
    #[cfg(unix)]
    watch_signals(happens.clone())?;
    let mut screen = Screen::take()?;
    watch_keys(happens.clone());
    let asker = Asker::start(client.clone(), happens)?;
    let ended = show(&mut screen, client.shown(), &mut app, &asker, &happenings)?;
    drop(screen);
    match ended {
        Ended::Quit => Ok(()),
        // As it would have been without a screen to give back.
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
    happenings: &Receiver<Happening>,
) -> io::Result<Ended> {
    loop {
        if !TAKEN.load(Ordering::SeqCst) {
            return Err(panicked());
        }
        screen.terminal.draw(|frame| {
            draw(app, place, Instant::now(), frame.area(), frame.buffer_mut());
        })?;
        // After drawing: what is asked depends on how much is on the screen.
        if let Some(query) = app.question(Instant::now()) {
            asker.ask(query)?;
        }
        let until_question = app.next_question().map_or(TICK, |at| {
            at.saturating_duration_since(Instant::now()).min(TICK)
        });
        match happenings.recv_timeout(until_question) {
            Ok(Happening::Key(key)) => match app.key(key) {
                Wish::Nothing => {}
                Wish::Quit => return Ok(Ended::Quit),
                Wish::Suspend => screen.suspend()?,
            },
            Ok(Happening::Answer(answer)) => app.answer(*answer, Instant::now()),
            Ok(Happening::NoKeys(error)) => return Err(error),
            #[cfg(unix)]
            Ok(Happening::Signal(signal)) => return Ok(Ended::Signal(signal)),
            Ok(Happening::Redraw) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(panicked()),
        }
    }
}

/// Whether the terminal is taken. Whoever gives it back does so once: a second time would put the
/// cursor where it was at first, over whatever has been printed since.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A whole change is written at once: else the terminal would show parts of it.
type Backend = CrosstermBackend<BufWriter<Stdout>>;

/// The terminal, taken until this is dropped.
struct Screen {
    terminal: Terminal<Backend>,
}

impl Screen {
    fn take() -> io::Result<Self> {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Else what is said of the panic would be lost.
            give_back();
            hook(info);
        }));
        let taken = Self::enter();
        if taken.is_err() {
            // It may have been taken half.
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

    /// Gives the terminal back and stops, until the shell lets this go on.
    fn suspend(&mut self) -> io::Result<()> {
        #[cfg(unix)]
        {
            give_back();
            signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
            // A new one, which knows that the screen is empty. To clear the old one, it would ask
            // the terminal where the cursor is, and whoever reads keys would take the answer.
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

/// There is nobody to tell where this fails.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Asks the server, a question at a time.
struct Asker {
    questions: Sender<Query>,
}

impl Asker {
    fn start(client: Client, happens: Sender<Happening>) -> io::Result<Self> {
        let (questions, asked) = channel();
        let work = move || {
            for query in asked {
                let result = client.ask(&query);
                let answer = Box::new(Answer { query, result });
                if happens.send(Happening::Answer(answer)).is_err() {
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

/// No thread ends otherwise.
fn panicked() -> io::Error {
    io::Error::other("a part of this has ended in a panic")
}

/// Reads keys until the process ends: reading can't be interrupted.
fn watch_keys(happens: Sender<Happening>) {
    thread::spawn(move || {
        loop {
            let happening = match event::read() {
                Ok(event) => match event.as_key_press_event() {
                    Some(key) => Happening::Key(key),
                    None => Happening::Redraw,
                },
                Err(error) => Happening::NoKeys(error),
            };
            let last = matches!(happening, Happening::NoKeys(_));
            if happens.send(happening).is_err() || last {
                return;
            }
        }
    });
}

#[cfg(unix)]
fn watch_signals(happens: Sender<Happening>) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    thread::spawn(move || {
        for signal in signals.forever() {
            if happens.send(Happening::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(())
}
