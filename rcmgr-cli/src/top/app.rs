//! The state of the view: data, selection and settings. Drawing and requests are elsewhere.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::client::Query;
use super::options::{LONGEST_SEARCH, Sort};
use super::page::{Detail, Name, Page, Scope};
use super::rates::Rates;

/// The number of scopes in one request: more than a terminal has lines.
const LIMIT: u64 = 300;
/// The shortest time between two requests to a failing server, whatever the interval.
const SOONEST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// An action of a key that the caller has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Continue.
    Nothing,
    Quit,
    /// Stop the process, until the shell continues it.
    Suspend,
}

/// The mode, which decides the meaning of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    Normal,
    /// The user is typing a search. Holds the search before.
    Search(String),
    Help,
}

/// What the largest part of the screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The scopes.
    Scopes,
    /// All numbers of the selected scope.
    Details,
    /// The state of the server, and the refusals by address.
    Server,
}

/// An answer of the server, with its query.
#[derive(Debug)]
pub struct Answer {
    pub query: Query,
    pub result: Result<Page, String>,
}

/// The state of the connection to the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Connection<'a> {
    /// The first request is pending.
    Reading,
    /// The server answers; the time of the last answer.
    Live(Duration),
    /// A request has been pending for this time.
    Waiting(Duration),
    /// Requests have failed for this time, with the last reason.
    Failing(Duration, &'a str),
}

/// The state of the view.
#[derive(Debug)]
pub struct App {
    interval: Duration,
    pub mode: Mode,
    pub sort: Sort,
    pub search: String,
    pub paused: bool,
    pub view: View,
    /// Whether the scopes without limits are in one row, where they are all at the end.
    pub folds: bool,
    /// The latest page.
    pub page: Option<Page>,
    pub rates: Rates,
    /// The scope that was asked for in detail, or `None` if it does not exist.
    pub detail: Option<Option<Detail>>,
    /// The index of the selected scope among the matching scopes.
    pub selected: u64,
    /// The index of the first scope on the screen.
    pub top: u64,
    /// The number of scopes that fit on the screen.
    rows: u64,
    /// The name of the selected scope, which stays selected when its index changes. `None` at the
    /// top: there the first scope stays selected.
    follows: Option<Name>,
    /// The latest query and its time.
    asked: Option<(Query, Instant)>,
    waiting: bool,
    /// The time that the last answer took.
    took: Duration,
    /// The start of the failure, and the last reason.
    failing: Option<(Instant, String)>,
}

impl App {
    /// A view without data.
    pub fn new(interval: Duration, sort: Sort, search: String) -> Self {
        Self {
            interval,
            mode: Mode::Normal,
            sort,
            search,
            paused: false,
            view: View::Scopes,
            folds: true,
            page: None,
            rates: Rates::new(interval),
            detail: None,
            selected: 0,
            top: 0,
            rows: 1,
            follows: None,
            asked: None,
            waiting: false,
            took: Duration::ZERO,
            failing: None,
        }
    }

    /// The selected scope, if it is in the page.
    pub fn selected_scope(&self) -> Option<&Scope> {
        self.at(self.selected)
    }

    /// The scope at an index among the matching scopes, if it is in the page and not folded.
    pub fn at(&self, place: u64) -> Option<&Scope> {
        let page = self.page.as_ref()?;
        if place >= self.reachable() {
            return None;
        }
        let place = usize::try_from(place.checked_sub(page.offset)?).ok()?;
        page.scopes.get(place)
    }

    /// The number of matching scopes.
    pub fn matched(&self) -> u64 {
        self.page.as_ref().map_or(0, |page| page.matched)
    }

    /// The index of the row for all scopes without limits, if they are folded. Only the order by
    /// utilisation has them all at the end. A search unfolds them, so that all it found is seen.
    pub fn fold(&self) -> Option<u64> {
        let page = self.page.as_ref()?;
        if !self.folds || self.sort != Sort::Utilisation || !self.search.is_empty() {
            return None;
        }
        let first = page.scopes.iter().position(|scope| !scope.is_limited())?;
        let fold = page.offset + first as u64;
        // If the page begins without limits, the first one without is not known, or there is no
        // other scope. One scope is a row already.
        (first > 0 && page.matched > fold + 1).then_some(fold)
    }

    /// The number of scopes that the list shows.
    pub fn reachable(&self) -> u64 {
        let reachable = self.page.as_ref().map_or(0, Page::reachable);
        self.fold().unwrap_or(reachable)
    }

    /// The number of rows of the list. One row stands for all that is not shown.
    pub fn rows_of_list(&self) -> u64 {
        let reachable = self.reachable();
        reachable + u64::from(reachable < self.matched())
    }

    /// The state of the connection at a time.
    pub fn connection(&self, now: Instant) -> Connection<'_> {
        let since = |begin: Instant| now.saturating_duration_since(begin);
        let waits = match &self.asked {
            Some((_, asked)) if self.waiting => since(*asked),
            _ => Duration::ZERO,
        };
        match &self.failing {
            Some((begin, why)) => Connection::Failing(since(*begin), why),
            None if waits >= Duration::from_secs(1) => Connection::Waiting(waits),
            None if self.page.is_none() => Connection::Reading,
            None => Connection::Live(self.took),
        }
    }

    /// Whether the last request failed.
    pub const fn failing(&self) -> bool {
        self.failing.is_some()
    }

    /// The query to send now, if any. The caller must send it.
    pub fn question(&mut self, now: Instant) -> Option<Query> {
        let query = self.query();
        let due = match &self.asked {
            None => true,
            // One query at a time.
            Some(_) if self.waiting => false,
            // Changed settings are asked at once, even when paused.
            Some((asked, _)) if *asked != query => true,
            Some((_, at)) => !self.paused && now >= *at + self.pause(),
        };
        due.then(|| {
            self.asked = Some((query.clone(), now));
            self.waiting = true;
            query
        })
    }

    /// The time of the next query, if no event comes before.
    pub fn next_question(&self) -> Option<Instant> {
        match &self.asked {
            Some((_, at)) if !self.waiting && !self.paused => Some(*at + self.pause()),
            _ => None,
        }
    }

    fn pause(&self) -> Duration {
        match self.failing {
            Some(_) => self.interval.max(SOONEST_AFTER_FAILURE),
            None => self.interval,
        }
    }

    fn query(&self) -> Query {
        if let Some(name) = self.asks_in_detail() {
            return Query {
                sort: self.sort,
                search: String::new(),
                offset: 0,
                limit: 1,
                scope: Some(name),
            };
        }
        let [first, last] = match &self.asked {
            Some((asked, _)) => [asked.offset, asked.offset + asked.limit],
            None => [0, LIMIT],
        };
        // Keep the range of the last query as long as it contains the screen.
        let offset = if first <= self.top && self.top.saturating_add(self.rows) <= last {
            first
        } else {
            // Center the range around the screen.
            self.top.saturating_sub(LIMIT.saturating_sub(self.rows) / 2)
        };
        Query {
            sort: self.sort,
            search: self.search.clone(),
            offset,
            limit: LIMIT,
            scope: None,
        }
    }

    /// The name of the scope to ask for in detail, if the server can tell more.
    fn asks_in_detail(&self) -> Option<String> {
        let tells_more = self.page.as_ref()?.refusing.is_some();
        let scope = self.selected_scope()?;
        (self.view == View::Details && tells_more).then(|| scope.name.exact.clone())
    }

    /// Takes an answer of the server.
    pub fn answer(&mut self, answer: Answer, now: Instant) {
        self.waiting = false;
        let asked = self.asked.as_ref().map_or(now, |(_, at)| *at);
        match answer.result {
            Ok(mut page) => {
                self.failing = None;
                self.took = now.saturating_duration_since(asked);
                if answer.query.scope.is_some() {
                    return self.answer_in_detail(page, now);
                }
                // The settings have changed since: drop this answer, the next query has the new
                // settings.
                if answer.query.sort != self.sort || answer.query.search != self.search {
                    return;
                }
                // Do not trust the numbers of the server.
                let most = usize::try_from(answer.query.limit).unwrap_or(usize::MAX);
                page.scopes.truncate(most);
                page.offset = answer.query.offset;
                page.matched = page.matched.min(u64::from(u32::MAX));
                self.detail = None;
                // The page may have moved or shrunk: update the selection.
                self.rates.look(&page, now);
                self.page = Some(page);
                self.find_followed();
                self.stay_inside();
            }
            Err(why) => {
                let begin = self.failing.take().map_or(now, |(begin, _)| begin);
                self.failing = Some((begin, why));
                // What was refused per second before is not what is refused now.
                self.rates.forget();
            }
        }
    }

    /// Takes an answer about one scope. The list stays as it is.
    fn answer_in_detail(&mut self, mut page: Page, now: Instant) {
        let detail = page.scope.take();
        self.rates
            .look_at(detail.as_ref().map(|detail| &detail.scope), &page, now);
        self.detail = Some(detail);
        if let Some(before) = self.page.take() {
            page.scopes = before.scopes;
            (page.matched, page.offset) = (before.matched, before.offset);
            page.reachable = before.reachable;
        }
        self.page = Some(page);
    }

    fn find_followed(&mut self) {
        let (Some(name), Some(page)) = (&self.follows, &self.page) else {
            return;
        };
        // Cut names may be equal: prefer the scope at the same index.
        if self
            .selected_scope()
            .is_some_and(|scope| scope.name == *name)
        {
            return;
        }
        let found = page.scopes.iter().position(|scope| scope.name == *name);
        if let Some(at) = found {
            self.selected = page.offset + at as u64;
        }
    }

    /// Sets the number of scopes that fit on the screen.
    pub fn set_rows(&mut self, rows: u64) {
        self.rows = rows.max(1);
        self.stay_inside();
    }

    /// Keeps the selection among the matching scopes and on the screen.
    fn stay_inside(&mut self) {
        let count = self.rows_of_list();
        self.selected = self.selected.min(count.saturating_sub(1));
        // Scroll as little as possible so that the selection is visible and the screen is full.
        let last_top = count.saturating_sub(self.rows);
        let lowest = (self.selected + 1).saturating_sub(self.rows);
        self.top = self.top.clamp(lowest, self.selected).min(last_top);
    }

    /// Handles a key.
    pub fn key(&mut self, key: KeyEvent) -> Action {
        // These work in every mode.
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Action::Quit,
                KeyCode::Char('z') => return Action::Suspend,
                _ => {}
            }
        }
        match &self.mode {
            Mode::Search(before) => {
                let before = before.clone();
                self.key_in_search(key, before);
                Action::Nothing
            }
            Mode::Help => {
                self.mode = Mode::Normal;
                Action::Nothing
            }
            Mode::Normal => self.key_in_normal(key),
        }
    }

    fn key_in_normal(&mut self, key: KeyEvent) -> Action {
        match key.code {
            KeyCode::Esc if self.view != View::Scopes => self.view = View::Scopes,
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
            KeyCode::Up | KeyCode::Char('k') => self.select(self.selected.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.select(self.selected + 1),
            KeyCode::PageUp => self.select(self.selected.saturating_sub(self.rows)),
            KeyCode::PageDown => self.select(self.selected + self.rows),
            KeyCode::Home | KeyCode::Char('g') => self.select(0),
            KeyCode::End | KeyCode::Char('G') => self.select(u64::MAX),
            KeyCode::Char('/') => {
                self.view = View::Scopes;
                self.mode = Mode::Search(self.search.clone());
            }
            KeyCode::Char('s') => {
                self.view = View::Scopes;
                self.sort = self.sort.next();
                self.back_to_top();
            }
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('f') => self.set_folds(!self.folds),
            // The row for all scopes without limits has no details: Enter shows the scopes.
            KeyCode::Enter if self.fold() == Some(self.selected) => self.set_folds(false),
            KeyCode::Enter => self.switch(View::Details),
            KeyCode::Char('i') => self.switch(View::Server),
            KeyCode::Char('?' | 'h') => self.mode = Mode::Help,
            _ => {}
        }
        Action::Nothing
    }

    fn key_in_search(&mut self, key: KeyEvent, before: String) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => self.mode = Mode::Normal,
            KeyCode::Esc => {
                self.search = before;
                self.mode = Mode::Normal;
            }
            KeyCode::Backspace => drop(self.search.pop()),
            KeyCode::Char('u') if control => self.search.clear(),
            KeyCode::Char(char) if !control => {
                if self.search.len() + char.len_utf8() <= LONGEST_SEARCH {
                    self.search.push(char);
                }
            }
            _ => return,
        }
        self.back_to_top();
    }

    fn select(&mut self, place: u64) {
        self.selected = place;
        self.stay_inside();
        // At the top, the first scope stays selected, whichever it is.
        let followed = self.selected_scope().filter(|_| self.selected > 0);
        self.follows = followed.map(|scope| scope.name.clone());
    }

    /// Shows a view, or the scopes again.
    fn switch(&mut self, to: View) {
        self.view = if self.view == to { View::Scopes } else { to };
    }

    fn set_folds(&mut self, folds: bool) {
        self.folds = folds;
        self.stay_inside();
    }

    fn back_to_top(&mut self) {
        self.select(0);
    }
}
