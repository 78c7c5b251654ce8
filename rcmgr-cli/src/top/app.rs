//! What is shown and chosen, apart from how it is drawn and where it is from.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::client::Query;
use super::options::{LONGEST_SEARCH, Sort};
use super::page::{Page, Scope};
use super::rates::Rates;

/// So many scopes are asked for at once: more than a terminal has lines.
const LIMIT: u64 = 300;
/// A server that fails is not asked more often, whatever the interval.
const SOONEST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What a key asks for that this alone can't do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To go on.
    Nothing,
    Quit,
    /// To be stopped, until the shell lets it go on.
    Suspend,
}

/// What keys mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    Normal,
    /// A search is typed; what was searched before.
    Search(String),
    Help,
}

/// An answer, and what was asked.
#[derive(Debug)]
pub struct Answer {
    pub query: Query,
    pub result: Result<Page, String>,
}

/// How it stands with the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Connection<'a> {
    /// It was asked for the first time.
    Reading,
    /// It answers within so long.
    Live(Duration),
    /// It has not answered for so long.
    Waiting(Duration),
    /// There was no answer for so long, and why.
    Failing(Duration, &'a str),
}

/// The view.
#[derive(Debug)]
pub struct App {
    interval: Duration,
    pub mode: Mode,
    pub sort: Sort,
    pub search: String,
    pub paused: bool,
    /// Whether more is told of the selected scope, where there is room.
    pub details: bool,
    /// The last that was answered.
    pub page: Option<Page>,
    pub rates: Rates,
    /// The place of the selected scope among those that match.
    pub selected: u64,
    /// The place of the first that is on the screen.
    pub top: u64,
    /// How many fit on the screen.
    rows: u64,
    /// What is selected stays so when it changes its place, except where the first one is.
    follows: Option<String>,
    /// What was last asked, and when; whether that was answered.
    asked: Option<(Query, Instant)>,
    waiting: bool,
    /// How long the last answer took.
    took: Duration,
    /// Since when there was no answer, and why.
    failing: Option<(Instant, String)>,
}

impl App {
    /// A view that has seen nothing yet.
    pub fn new(interval: Duration, sort: Sort, search: String) -> Self {
        Self {
            interval,
            mode: Mode::Normal,
            sort,
            search,
            paused: false,
            details: true,
            page: None,
            rates: Rates::new(interval),
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

    /// The scope that is selected, if it is known.
    pub fn selected_scope(&self) -> Option<&Scope> {
        self.at(self.selected)
    }

    /// The scope at a place among those that match, if it is known.
    pub fn at(&self, place: u64) -> Option<&Scope> {
        let page = self.page.as_ref()?;
        let place = usize::try_from(place.checked_sub(page.offset)?).ok()?;
        page.scopes.get(place)
    }

    /// How many scopes match.
    pub fn matched(&self) -> u64 {
        self.page.as_ref().map_or(0, |page| page.matched)
    }

    /// How it stands with the server at a time.
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

    /// What to ask now, if anything. Whoever calls this asks it.
    pub fn question(&mut self, now: Instant) -> Option<Query> {
        let query = self.query();
        let due = match &self.asked {
            None => true,
            Some(_) if self.waiting => false,
            Some((asked, _)) if *asked != query => true,
            Some((_, at)) => !self.paused && now >= *at + self.pause(),
        };
        due.then(|| {
            self.asked = Some((query.clone(), now));
            self.waiting = true;
            query
        })
    }

    /// When something is to be asked, if nothing happens before.
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
        let [first, last] = match &self.asked {
            Some((asked, _)) => [asked.offset, asked.offset + asked.limit],
            None => [0, LIMIT],
        };
        // Others are asked for only where what is on the screen is not among them.
        let offset = if first <= self.top && self.top.saturating_add(self.rows) <= last {
            first
        } else {
            self.top.saturating_sub(LIMIT.saturating_sub(self.rows) / 2)
        };
        Query {
            sort: self.sort,
            search: self.search.clone(),
            offset,
            limit: LIMIT,
        }
    }

    /// Takes in what the server said.
    pub fn answer(&mut self, answer: Answer, now: Instant) {
        self.waiting = false;
        let asked = self.asked.as_ref().map_or(now, |(_, at)| *at);
        match answer.result {
            Ok(mut page) => {
                self.failing = None;
                self.took = now.saturating_duration_since(asked);
                // Something else is wanted by now, and asked for next.
                if answer.query.sort != self.sort || answer.query.search != self.search {
                    return;
                }
                // What comes from elsewhere may say anything.
                let most = usize::try_from(answer.query.limit).unwrap_or(usize::MAX);
                page.scopes.truncate(most);
                page.offset = answer.query.offset;
                page.matched = page.matched.min(u64::from(u32::MAX));
                self.rates.look(&page, now);
                self.page = Some(page);
                self.find_followed();
                self.stay_inside();
            }
            Err(why) => {
                let begin = self.failing.take().map_or(now, |(begin, _)| begin);
                self.failing = Some((begin, why));
            }
        }
    }

    fn find_followed(&mut self) {
        let (Some(name), Some(page)) = (&self.follows, &self.page) else {
            return;
        };
        // Names that were cut may be the same: the one where it was is it.
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

    /// Sets how many scopes fit on the screen.
    pub fn set_rows(&mut self, rows: u64) {
        self.rows = rows.max(1);
        self.stay_inside();
    }

    /// The selected one is there, and on the screen.
    fn stay_inside(&mut self) {
        let matched = self.matched();
        self.selected = self.selected.min(matched.saturating_sub(1));
        let last_top = matched.saturating_sub(self.rows);
        let lowest = (self.selected + 1).saturating_sub(self.rows);
        self.top = self.top.clamp(lowest, self.selected).min(last_top);
    }

    /// Does what a key asks for.
    pub fn key(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Wish::Quit,
                KeyCode::Char('z') => return Wish::Suspend,
                _ => {}
            }
        }
        match &self.mode {
            Mode::Search(before) => {
                let before = before.clone();
                self.key_in_search(key, before);
                Wish::Nothing
            }
            Mode::Help => {
                self.mode = Mode::Normal;
                Wish::Nothing
            }
            Mode::Normal => self.key_in_normal(key),
        }
    }

    fn key_in_normal(&mut self, key: KeyEvent) -> Wish {
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Quit,
            KeyCode::Up | KeyCode::Char('k') => self.select(self.selected.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.select(self.selected + 1),
            KeyCode::PageUp => self.select(self.selected.saturating_sub(self.rows)),
            KeyCode::PageDown => self.select(self.selected + self.rows),
            KeyCode::Home | KeyCode::Char('g') => self.select(0),
            KeyCode::End | KeyCode::Char('G') => self.select(u64::MAX),
            KeyCode::Char('/') => self.mode = Mode::Search(self.search.clone()),
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                self.back_to_top();
            }
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Enter => self.details = !self.details,
            KeyCode::Char('?' | 'h') => self.mode = Mode::Help,
            _ => {}
        }
        Wish::Nothing
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
        // At the top, whatever is first is looked at.
        let followed = self.selected_scope().filter(|_| self.selected > 0);
        self.follows = followed.map(|scope| scope.name.clone());
    }

    fn back_to_top(&mut self) {
        self.select(0);
    }
}
