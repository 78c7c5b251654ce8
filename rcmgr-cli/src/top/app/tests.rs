//! Tests of the state of the view.

use super::super::fixture::{page, scope};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn app() -> App {
    App::new(SECOND, Sort::Utilisation, String::new())
}

fn press(app: &mut App, keys: &str) {
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '\x08' => KeyCode::Backspace,
            key => KeyCode::Char(key),
        };
        assert_eq!(app.key(code.into()), Action::Nothing, "{key:?}");
    }
}

/// Sends a query, and answers it as a server with these scopes.
fn look(app: &mut App, names: &[&str], now: Instant) -> Query {
    let query = app.question(now).expect("something is asked");
    let mut answer = page(names.iter().map(|name| scope(name)));
    let first = (query.offset as usize).min(names.len());
    answer.offset = query.offset;
    answer.scopes.drain(..first);
    answer.scopes.truncate(query.limit as usize);
    let result = Ok(answer);
    let answer = Answer {
        query: query.clone(),
        result,
    };
    app.answer(answer, now);
    query
}

fn fail(app: &mut App, why: &str, now: Instant) {
    let query = app.question(now).expect("something is asked");
    let result = Err(why.to_owned());
    app.answer(Answer { query, result }, now);
}

fn selected(app: &App) -> &str {
    &app.selected_scope().expect("one is selected").name.shown
}

#[test]
fn one_query_at_a_time_is_sent_then_one_each_interval() {
    let mut app = app();
    let begin = Instant::now();
    assert!(app.question(begin).is_some());
    assert_eq!(app.question(begin + 5 * SECOND), None, "it waits");
    let query = app.query();
    let result = Ok(page([scope("a")]));
    app.answer(Answer { query, result }, begin + SECOND / 2);
    assert_eq!(app.question(begin + SECOND / 2), None);
    assert_eq!(app.next_question(), Some(begin + SECOND));
    assert!(app.question(begin + SECOND).is_some());
}

#[test]
fn a_failing_server_is_asked_again_and_the_last_page_stays() {
    let mut app = App::new(SECOND / 10, Sort::Utilisation, String::new());
    let begin = Instant::now();
    look(&mut app, &["a"], begin);
    assert_eq!(app.connection(begin), Connection::Live(Duration::ZERO));
    let failed = begin + SECOND;
    fail(&mut app, "connection refused", failed);
    // A failing server is asked at most once a second.
    assert_eq!(app.question(failed + SECOND / 2), None);
    fail(&mut app, "host not found", failed + SECOND);
    let state = app.connection(failed + 3 * SECOND);
    assert_eq!(state, Connection::Failing(3 * SECOND, "host not found"));
    assert_eq!(selected(&app), "a");
    look(&mut app, &["a"], failed + 2 * SECOND);
    let state = app.connection(failed + 2 * SECOND);
    assert_eq!(state, Connection::Live(Duration::ZERO));
}

#[test]
fn a_slow_answer_is_reported() {
    let mut app = app();
    let begin = Instant::now();
    assert_eq!(app.connection(begin), Connection::Reading);
    let _ = app.question(begin);
    let state = app.connection(begin + 3 * SECOND);
    assert_eq!(state, Connection::Waiting(3 * SECOND));
}

#[test]
fn when_paused_only_changed_settings_cause_a_query() {
    let mut app = app();
    let begin = Instant::now();
    look(&mut app, &["a"], begin);
    press(&mut app, "p");
    assert_eq!(app.next_question(), None);
    assert_eq!(app.question(begin + 60 * SECOND), None);
    press(&mut app, "s");
    let query = look(&mut app, &["a"], begin + 61 * SECOND);
    assert_eq!(query.sort, Sort::Memory);
    press(&mut app, "p");
    assert!(app.question(begin + 62 * SECOND).is_some());
}

#[test]
fn a_search_is_sent_while_typing_and_cancelled_by_esc() {
    let mut app = app();
    let now = Instant::now();
    look(&mut app, &["a"], now);
    press(&mut app, "/pq");
    assert_eq!(look(&mut app, &["pq"], now).search, "pq");
    press(&mut app, "\x08\n");
    assert_eq!(app.mode, Mode::Normal);
    assert_eq!(look(&mut app, &["p"], now).search, "p");
    press(&mut app, "/x\x1b");
    assert_eq!(app.search, "p");
    assert_eq!(app.question(now), None, "the same again");
    // A second Esc has no search to cancel.
    assert_eq!(app.key(KeyCode::Esc.into()), Action::Quit);
    press(&mut app, "/");
    press(&mut app, &"ü".repeat(500));
    assert!(app.search.len() <= LONGEST_SEARCH);
    let clear = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
    assert_eq!(app.key(clear), Action::Nothing);
    assert_eq!(app.search, "");
}

#[test]
fn an_answer_to_outdated_settings_is_dropped() {
    let mut app = app();
    let now = Instant::now();
    let query = app.question(now).unwrap();
    press(&mut app, "/b");
    let result = Ok(page([scope("a")]));
    app.answer(Answer { query, result }, now);
    assert_eq!(app.selected_scope().map(|scope| &*scope.name.shown), None);
    assert_eq!(look(&mut app, &["b"], now).search, "b");
    assert_eq!(selected(&app), "b");
}

#[test]
fn a_view_opens_by_its_key_and_closes_by_the_same_or_esc() {
    let mut app = app();
    let now = Instant::now();
    look(&mut app, &["a", "b"], now);
    for (key, view) in [('\n', View::Details), ('i', View::Server)] {
        for close in [key, '\x1b'] {
            press(&mut app, &key.to_string());
            assert_eq!(app.view, view);
            press(&mut app, &close.to_string());
            assert_eq!(app.view, View::Scopes);
        }
    }
    // A search or another order is about the list.
    press(&mut app, "\ns");
    assert_eq!(app.view, View::Scopes);
    press(&mut app, "i/");
    assert_eq!(app.view, View::Scopes);
}

#[test]
fn only_a_server_that_knows_details_is_asked_for_them() {
    let mut app = app();
    let now = Instant::now();
    look(&mut app, &["a", "b"], now);
    press(&mut app, "\n");
    assert_eq!(app.question(now), None, "an earlier server");
    let query = app.question(now + SECOND).unwrap();
    assert_eq!(query.scope, None);
    let mut known = page([scope("a"), scope("b")]);
    known.refusing = Some(serde_json::from_str(r#"{"seconds": null}"#).unwrap());
    let result = Ok(known.clone());
    app.answer(Answer { query, result }, now + SECOND);
    let query = app.question(now + SECOND).unwrap();
    assert_eq!(query.scope.as_deref(), Some("a"));
    // The scope has gone: the list stays as it is.
    let mut gone = known;
    gone.scopes.clear();
    gone.matched = 0;
    let result = Ok(gone);
    app.answer(Answer { query, result }, now + SECOND);
    assert_eq!((selected(&app), app.matched()), ("a", 2));
    assert!(matches!(app.detail, Some(None)));
    // Another scope is asked for at once.
    press(&mut app, "j");
    let query = app.question(now + SECOND).unwrap();
    assert_eq!(query.scope.as_deref(), Some("b"));
}

#[test]
fn a_scope_that_was_looked_at_does_not_change_the_rates_of_the_others() {
    let mut app = app();
    let begin = Instant::now();
    let with = |count| {
        let mut known = page(["a", "b"].map(scope));
        known.refusing = Some(serde_json::from_str(r#"{"seconds": null}"#).unwrap());
        for scope in &mut known.scopes {
            scope.refusals.memory = count;
        }
        known
    };
    let answer = |app: &mut App, mut page: Page, now| {
        let query = app.question(now).expect("something is asked");
        if query.scope.is_some() {
            let scope = page.scopes.remove(0);
            page.scope = Some(Detail {
                scope,
                origins: Default::default(),
                waiting: Vec::new(),
            });
            page.scopes.clear();
        }
        app.answer(
            Answer {
                query,
                result: Ok(page),
            },
            now,
        );
    };
    answer(&mut app, with(0), begin);
    press(&mut app, "\n");
    for second in 1..=9 {
        answer(
            &mut app,
            with(10 * u64::from(second)),
            begin + second * SECOND,
        );
    }
    assert_eq!(app.rates.of(&scope("a")), Some(10.0));
    assert_eq!(app.rates.of(&scope("b")), None, "it was read once");
    press(&mut app, "\x1b");
    answer(&mut app, with(100), begin + 10 * SECOND);
    assert_eq!(
        app.rates.of(&scope("b")),
        Some(10.0),
        "over the ten seconds"
    );
}

#[test]
fn keys_quit_in_every_mode() {
    let control = |char| KeyEvent::new(KeyCode::Char(char), KeyModifiers::CONTROL);
    for open in ["", "/x", "?"] {
        let mut app = app();
        press(&mut app, open);
        assert_eq!(app.key(control('c')), Action::Quit);
        assert_eq!(app.key(control('z')), Action::Suspend);
    }
    assert_eq!(app().key(KeyCode::Char('q').into()), Action::Quit);
    let mut helped = app();
    press(&mut helped, "?q");
    assert_eq!(helped.mode, Mode::Normal, "any key ends the help");
}

#[test]
fn the_selection_stays_inside_and_on_the_screen() {
    let mut app = app();
    let now = Instant::now();
    app.set_rows(3);
    press(&mut app, "jkGg");
    look(&mut app, &["a", "b", "c", "d", "e"], now);
    press(&mut app, "k");
    assert_eq!((selected(&app), app.top), ("a", 0));
    press(&mut app, "jjj");
    assert_eq!((selected(&app), app.top), ("d", 1));
    app.key(KeyCode::PageDown.into());
    assert_eq!((selected(&app), app.top), ("e", 2));
    app.key(KeyCode::PageUp.into());
    assert_eq!((selected(&app), app.top), ("b", 1));
    press(&mut app, "G");
    assert_eq!((selected(&app), app.top), ("e", 2));
    app.set_rows(10);
    assert_eq!((selected(&app), app.top), ("e", 0));
    look(&mut app, &["a", "b"], now + SECOND);
    assert_eq!(selected(&app), "b");
    look(&mut app, &[], now + 2 * SECOND);
    assert_eq!((app.selected, app.top), (0, 0));
}

#[test]
fn the_selection_follows_its_scope_except_at_the_top() {
    let mut app = app();
    let now = Instant::now();
    app.set_rows(2);
    look(&mut app, &["a", "b", "c", "d"], now);
    look(&mut app, &["b", "a", "c", "d"], now + SECOND);
    assert_eq!(selected(&app), "b", "the first, whatever it is");
    press(&mut app, "j");
    look(&mut app, &["b", "d", "c", "a"], now + 2 * SECOND);
    assert_eq!((selected(&app), app.top), ("a", 2));
    look(&mut app, &["b", "d", "c"], now + 3 * SECOND);
    assert_eq!(
        selected(&app),
        "c",
        "it has gone: its place is what is left"
    );
}

#[test]
fn scrolling_far_down_requests_these_scopes() {
    let names: Vec<_> = (0..1000)
        .map(|number| format!("peer:{number:03}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut app = app();
    let now = Instant::now();
    app.set_rows(20);
    assert_eq!(look(&mut app, &names, now).offset, 0);
    press(&mut app, "G");
    assert_eq!(app.selected_scope().map(|scope| &*scope.name.shown), None);
    assert_eq!(look(&mut app, &names, now).offset, 980 - 140);
    assert_eq!(selected(&app), "peer:999");
    assert_eq!(app.question(now), None);
    press(&mut app, "kkk");
    assert_eq!(app.question(now), None, "these are known");
    press(&mut app, "g");
    assert_eq!(look(&mut app, &names, now).offset, 0);
}

#[test]
fn impossible_numbers_do_no_harm() {
    let mut app = app();
    let now = Instant::now();
    let query = app.question(now).unwrap();
    let mut answer = page((0..2000).map(|_| scope("a")));
    (answer.matched, answer.offset, answer.total) = (u64::MAX, u64::MAX, u64::MAX);
    let result = Ok(answer);
    app.answer(Answer { query, result }, now);
    assert_eq!(selected(&app), "a");
    press(&mut app, "Gjjk");
    app.key(KeyCode::PageDown.into());
    let query = app.question(now).unwrap();
    assert!(query.offset > 1_000_000_000);
    let result = Ok(page([]));
    app.answer(Answer { query, result }, now);
    assert_eq!(app.selected, 0);
}
