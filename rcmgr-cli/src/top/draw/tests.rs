//! Tests of the drawn screens.

mod views;
mod whole;

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::KeyCode;
use ratatui::style::Color;
use serde_json::json;

use super::*;
use crate::top::app::Answer;
use crate::top::fixture::{page, scope};
use crate::top::options::Sort;
use crate::top::page::{Detail, Page, Scope};

const PLACE: &str = "http://127.0.0.1:9500";

fn app_of(page: Page, now: Instant) -> App {
    let mut app = App::new(Duration::from_secs(1), Sort::Utilisation, String::new());
    answer(&mut app, Ok(page), now);
    app
}

fn answer(app: &mut App, result: Result<Page, String>, now: Instant) {
    let query = app.question(now).expect("something is asked");
    app.answer(Answer { query, result }, now);
}

/// The cells of a screen.
fn drawn(app: &mut App, now: Instant, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let frame = terminal.draw(|frame| draw(app, PLACE, now, frame.area(), frame.buffer_mut()));
    frame.unwrap().buffer.clone()
}

/// The lines as a terminal shows them: a wide character also covers the next cell.
fn lines(buffer: &Buffer) -> Vec<String> {
    let line = |y| {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line += symbol;
            x += u16::try_from(symbol.width()).unwrap().max(1);
        }
        line.trim_end().to_owned()
    };
    (0..buffer.area.height).map(line).collect()
}

fn busy() -> Page {
    let mut full = scope("peer:192.0.2.7");
    full.used.conns_inbound = 8;
    full.limit.conns_inbound = 8.into();
    full.limit.conns = 16.into();
    full.peak.conns_inbound = 8;
    full.refusals.conns_inbound = 1234;
    full.used.memory = 12 << 20;
    full.peak.memory = 13 << 20;
    full.limit.memory = (16 << 20).into();
    let mut plain = scope("protocol:/ipfs/kad/1.0.0.peer:192.0.2.7");
    plain.used.streams_outbound = 3;
    plain.used.memory = 1536;
    plain.limit.streams = 512.into();
    let mut page = page([full, plain]);
    let system = page.system.as_mut().unwrap();
    system.used.memory = 300 << 20;
    system.limit.memory = (1 << 30).into();
    system.used.fd = 70;
    page
}

#[test]
fn a_wide_screen_shows_everything() {
    let now = Instant::now();
    let mut app = app_of(busy(), now);
    let mut later = busy();
    later.scopes[0].refusals.conns_inbound += 5;
    answer(&mut app, Ok(later), now + Duration::from_secs(2));
    let screen = lines(&drawn(&mut app, now + Duration::from_secs(2), 150, 32));
    let expected = "\
rcmgr top  127.0.0.1:9500                                                                                                    4 scopes  answers in 0 ms
sorted by utilisation
REFUSED NOW  2.5/s
2.5/s  peer:192.0.2.7  8/8  PeerDefault.ConnsInbound
SCOPE                                             FULL         MEMORY   CONNS  STREAMS  FD  REFUSED    NOW           LAST MINUTE  PEAK MEMORY
system                                   ━━──────  29%  300 MiB/1 GiB       0        0  70        0    0/s                     ▃          0 B
transient                                            -            0 B       0        0   0        0    0/s                                0 B
──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
peer:192.0.2.7                           ━━━━━━━━ 100%      12/16 MiB  8/8 in        0   0    1,239  2.5/s                     █       13 MiB
protocol:/ipfs/kad/1.0.0.peer:192.0.2.7  ━───────   0%       1.50 KiB       0    3/512   0        0    0/s                     ▁          0 B












── peer:192.0.2.7 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
Memory           ━━━━━━━━━───  12 MiB of 16 MiB   75%  peak 13 MiB  refused 0        0/s
FD                                  0 no limit         peak 0       refused 0        0/s
Conns            ━━━━━━──────       8 of 16       50%
ConnsInbound     ━━━━━━━━━━━━       8 of 8       100%  peak 8       refused 1,239  2.5/s
ConnsOutbound                       0 no limit         peak 0       refused 0        0/s
Streams                             0 no limit
StreamsInbound                      0 no limit         peak 0       refused 0        0/s
StreamsOutbound                     0 no limit         peak 0       refused 0        0/s
q quit  ? help  Enter details  / search  s sort  p pause  i server";
    assert_eq!(screen.join("\n"), expected);
}

#[test]
fn on_a_narrow_screen_columns_are_left_out_and_the_rate_stays() {
    let now = Instant::now();
    let mut app = app_of(busy(), now);
    let mut later = busy();
    later.scopes[0].refusals.conns_inbound += 133_564;
    let now = now + Duration::from_secs(1);
    answer(&mut app, Ok(later), now);
    let screen = lines(&drawn(&mut app, now, 44, 16));
    let expected = "\
127.0.0.1:9500     4 scopes  answers in 0 ms
sorted by utilisation
REFUSED NOW  134k/s
134k/s  peer:192.0.2.7  ConnsInbound
SCOPE                  FULL  REFUSED     NOW
system                  29%        0     0/s
transient                 -        0     0/s
────────────────────────────────────────────
peer:192.0.2.7         100%     135k  134k/s
protocol:/…:192.0.2.7    0%        0     0/s





q quit  ? help  Enter details  / search";
    assert_eq!(screen.join("\n"), expected);
}

#[test]
fn on_a_small_screen_the_lines_are_for_scopes() {
    let now = Instant::now();
    let mut app = app_of(busy(), now);
    let screen = lines(&drawn(&mut app, now, 20, 5));
    let expected = "     answers in 0 ms
SCOPE            NOW
peer:192.0.2.7     -
protoco….0.2.7     -
q quit  ? help";
    assert_eq!(screen.join("\n"), expected);
}

#[test]
fn no_size_is_too_small() {
    let now = Instant::now();
    let mut app = app_of(busy(), now);
    let reading = App::new(Duration::from_secs(1), Sort::Name, "x".repeat(100));
    let mut failing = app_of(page([]), now);
    answer(
        &mut failing,
        Err("x".repeat(300)),
        now + Duration::from_secs(1),
    );
    for app in [&mut app, &mut { reading }, &mut failing] {
        for key in [' ', '?', ' ', '\n', 'i', '/'] {
            let code = if key == '\n' {
                KeyCode::Enter
            } else {
                KeyCode::Char(key)
            };
            app.key(code.into());
            for (width, height) in
                (0..40).flat_map(|width| (0..26).map(move |height| (width, height)))
            {
                drawn(app, now, width, height);
            }
        }
    }
}

fn from_json(name: &str, number: u64) -> Page {
    let counters = json!({"memory": number, "fd": number, "streams-inbound": number,
        "streams-outbound": number, "conns-inbound": number, "conns-outbound": number});
    let limit = json!({"memory": 1, "fd": 0, "streams": "unlimited", "streams-inbound": number,
        "streams-outbound": 1, "conns": number, "conns-inbound": 1, "conns-outbound": 1});
    let scope = json!({"name": name, "used": counters, "peak": counters, "refusals": counters,
        "limit": limit});
    let page = json!({"total": number, "matched": number, "offset": number, "system": scope,
        "scopes": [scope, scope]});
    serde_json::from_value(page).expect("it is a page")
}

#[test]
fn a_name_sends_nothing_to_the_terminal() {
    let hostile = "p\x1b[2J\x1b]0;title\x07\r\n\u{9b}31m\u{202e}evil\u{200b}";
    let now = Instant::now();
    for search in ["", hostile] {
        let mut app = app_of(from_json(hostile, 1), now);
        app.search = search.to_owned();
        for (width, height) in [(200, 40), (80, 24), (30, 8)] {
            let buffer = drawn(&mut app, now, width, height);
            for cell in &buffer.content {
                let shown = cell.symbol();
                assert!(!shown.contains(char::is_control), "{shown:?}");
                assert_eq!(escaped(shown), shown, "it is seen");
            }
            let screen = lines(&buffer).join("\n");
            assert!(screen.contains("p\\u{1b}"), "{screen}");
        }
    }
}

#[test]
fn wide_names_leave_the_columns_in_their_places() {
    let now = Instant::now();
    let names = [
        "日本語のプロトコル名はとても長いので切られます",
        "plain",
        "🦀",
    ];
    let scopes = names.map(|name| Scope {
        limit: busy().scopes[0].limit,
        ..scope(name)
    });
    let mut app = app_of(page(scopes), now);
    for width in [30, 50, 80, 160] {
        let screen = lines(&drawn(&mut app, now, width, 24));
        let header = screen
            .iter()
            .find(|line| line.starts_with("SCOPE"))
            .unwrap();
        let column = header.find("MEMORY").map(|at| at + "MEMORY".len());
        for name in ["日本語", "plain", "🦀"] {
            let line = screen.iter().find(|line| line.starts_with(name)).unwrap();
            if let Some(column) = column {
                let end = line.find("0 B/16 MiB").unwrap() + "0 B/16 MiB".len();
                assert_eq!(line[..end].width(), column, "{line}");
            }
        }
    }
}

#[test]
fn impossible_numbers_are_shown() {
    let now = Instant::now();
    let mut app = app_of(from_json("a", u64::MAX), now);
    for (width, height) in [(300, 40), (80, 24), (20, 5)] {
        let screen = lines(&drawn(&mut app, now, width, height)).join("\n");
        assert!(screen.contains(">9999%"), "{screen}");
    }
}

#[test]
fn scopes_near_their_limit_have_a_colour() {
    let now = Instant::now();
    let scopes = [("fine", 74), ("high", 75), ("full", 95)].map(|(name, used)| {
        let mut scope = scope(name);
        scope.used.fd = used;
        scope.limit.fd = 100.into();
        scope
    });
    let mut app = app_of(page(scopes), now);
    let buffer = drawn(&mut app, now, 80, 12);
    let screen = lines(&buffer);
    for (name, bar, number) in [
        ("fine", Color::Green, Color::Reset),
        ("high", Color::Yellow, Color::Yellow),
        ("full", Color::Red, Color::Red),
    ] {
        let y = screen
            .iter()
            .position(|line| line.starts_with(name))
            .unwrap();
        let colour = |sought: char| {
            let x = screen[y].chars().position(|char| char == sought).unwrap();
            buffer[(x as u16, y as u16)].fg
        };
        assert_eq!((colour('━'), colour('%')), (bar, number), "{name}");
    }
}

#[test]
fn without_an_answer_the_last_page_stays_and_the_reason_is_shown() {
    let now = Instant::now();
    let mut app = app_of(busy(), now);
    let failed = now + Duration::from_secs(1);
    answer(&mut app, Err("connection refused".to_owned()), failed);
    let later = failed + Duration::from_secs(130);
    let screen = lines(&drawn(&mut app, later, 100, 12));
    assert!(
        screen[0].ends_with("no answer for 2 min: connection refused"),
        "{screen:?}"
    );
    assert!(screen[6].starts_with("peer:192.0.2.7"), "{screen:?}");
    // A long reason leaves no space for other text.
    let mut app = app_of(busy(), now);
    answer(&mut app, Err("word 12345 ".repeat(20)), failed);
    let screen = lines(&drawn(&mut app, failed, 60, 12));
    let reason = "no answer: word 12345 word 12345 word 12345 word 12345 word …";
    assert_eq!(
        screen[0].trim_start(),
        reason[..reason.len() - " word …".len()].to_owned() + " …"
    );
}

#[test]
fn the_plain_text_cuts_no_name() {
    let now = Instant::now();
    let name = "x".repeat(200);
    let mut many = page([scope(&name), scope("b")]);
    many.matched = 9;
    let text = text(&app_of(many, now), PLACE);
    assert!(text.contains(&name));
    assert!(text.ends_with("\nand 7 more\n"));
    assert!(text.lines().all(|line| line.trim_end() == line));
}
