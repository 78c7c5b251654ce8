//! Usage and refusals over time, with a fixed number of points.

use ahash::{HashMap, HashMapExt};
use rcmgr_core::ScopeStat;
use serde::Serialize;

use crate::counters::six;
use crate::trace::{Event, EventKind};

/// Usage and refusals of one scope over time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OverTime {
    /// The scope's name.
    pub name: String,
    /// For each part of the time, the highest value of each of the six counters, in the order of
    /// [`Report::system`](super::Report::system). All parts have the same length.
    pub usage: Vec<[u64; 6]>,
    /// For each part of the time, the highest number of streams of both directions together.
    pub streams: Vec<u64>,
    /// For each part of the time, the highest number of connections of both directions together.
    pub conns: Vec<u64>,
    /// For each part of the time, the number of requests that the scope refused.
    pub refused: Vec<u64>,
}

/// Follows scopes between the known start and end of a trace.
#[derive(Debug)]
pub struct Follower {
    begin: i64,
    nanos: u64,
    points: usize,
    scopes: HashMap<Box<str>, Followed>,
}

#[derive(Debug)]
struct Followed {
    at: usize,
    now: ScopeStat,
    over_time: OverTime,
}

impl Follower {
    /// Follows the scopes with these names between two times.
    pub fn new(names: impl Iterator<Item = String>, begin: i64, end: i64, points: usize) -> Self {
        let followed = |name: String| {
            let over_time = OverTime {
                name: name.clone(),
                usage: vec![[0; 6]; points],
                streams: vec![0; points],
                conns: vec![0; points],
                refused: vec![0; points],
            };
            let now = ScopeStat::ZERO;
            (
                name.into(),
                Followed {
                    at: 0,
                    now,
                    over_time,
                },
            )
        };
        let mut scopes = HashMap::new();
        scopes.extend(names.map(followed));
        Self {
            begin,
            nanos: end.abs_diff(begin).saturating_add(1),
            points,
            scopes,
        }
    }

    /// Takes the next event.
    pub fn push(&mut self, time: i64, event: &Event) {
        let since = u128::from(time.saturating_sub(self.begin).max(0).unsigned_abs());
        let at = since * self.points as u128 / u128::from(self.nanos);
        // The file may have grown since the first pass.
        let at = usize::try_from(at)
            .unwrap_or(usize::MAX)
            .min(self.points - 1);
        if event.kind == EventKind::Start {
            for scope in self.scopes.values_mut() {
                scope.go_to(at);
                scope.now = ScopeStat::ZERO;
            }
            return;
        }
        let Some(scope) = self.scopes.get_mut(event.scope_name()) else {
            return;
        };
        scope.go_to(at);
        match event.kind {
            EventKind::DestroyScope | EventKind::CreateScope => scope.now = ScopeStat::ZERO,
            _ => event.set_totals(&mut scope.now),
        }
        if event.kind.is_refusal() {
            scope.over_time.refused[scope.at] += 1;
        }
        scope.see();
    }

    /// The results, in the order of these names.
    pub fn finish(mut self, names: impl Iterator<Item = String>) -> Vec<OverTime> {
        let last = self.points - 1;
        let mut finished = |name: String| {
            let mut scope = self.scopes.remove(name.as_str())?;
            scope.go_to(last);
            Some(scope.over_time)
        };
        names.filter_map(&mut finished).collect()
    }
}

impl Followed {
    /// Advances to a part of the time; usage does not change. Events with an earlier time do not
    /// move back.
    fn go_to(&mut self, at: usize) {
        while self.at < at {
            self.at += 1;
            self.see();
        }
    }

    fn see(&mut self) {
        let (over_time, at) = (&mut self.over_time, self.at);
        for (most, now) in over_time.usage[at].iter_mut().zip(six(&self.now)) {
            *most = (*most).max(now);
        }
        over_time.streams[at] = over_time.streams[at].max(self.now.streams());
        over_time.conns[at] = over_time.conns[at].max(self.now.conns());
    }
}
