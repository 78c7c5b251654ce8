//! Two runs of the study compared: the rows that differ by more than noise.

use std::fmt;

use rcmgr_machine::Machine;

use crate::report::{Report, Row};
use crate::stats::ratio_interval;

/// The least number of rounds of each run. All rounds of one run are slower than all of the other one by
/// chance in one of 126 comparisons with five rounds, and in one of ten with three.
const LEAST_ROUNDS: usize = 5;

/// The confidence of the interval of a ratio. With it and the intervals of both rows, at most about one in a
/// hundred cases without a difference seems to have one, with five rounds as with many, if both runs have about as
/// many: 0.6 to 0.9 of 100 with five beside five, 1.0 to 1.1 with five beside 15.
const CONFIDENCE: f64 = 0.99;

/// Up to this many times as many rounds are about as many. With five rounds beside 50, two in a hundred cases
/// without a difference seem to have one, and over four beside 1000.
const ABOUT_AS_MANY: usize = 3;

/// Simulated rows have no rounds. The work between accesses is measured, so smaller differences mean nothing.
const SIMULATED_NOISE: f64 = 0.1;

/// Two runs, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The rows of cases that both runs have, in the order of the second run.
    pub rows: Vec<Compared>,
    /// The number of rows that only the first run has.
    pub only_before: usize,
    /// The number of rows that only the second run has.
    pub only_after: usize,
    /// The conditions that differ, such as the processor: each with its value in both runs.
    pub conditions: Vec<Condition>,
}

/// A case in two runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The case, such as `memory, sharing path, 2 threads`.
    pub case: String,
    /// The engine.
    pub engine: String,
    /// Whether both rows are simulated.
    pub simulated: bool,
    /// The time per operation in the first run, in nanoseconds.
    pub before: f64,
    /// The time per operation in the second run, in nanoseconds.
    pub after: f64,
    /// The 99 % confidence interval of `after / before`. `None` for simulated rows, and after a single round.
    pub interval: Option<[f64; 2]>,
    /// Whether one run has more than three times as many rounds of this case as the other. Then chance makes
    /// a difference more often than in one of 100 cases.
    pub unequal_rounds: bool,
    /// The conclusion.
    pub verdict: Verdict,
}

/// The conclusion about a case in two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An operation takes less time in the second run, by more than noise.
    Faster,
    /// An operation takes more time in the second run, by more than noise.
    Slower,
    /// The difference may be noise.
    Same,
    /// One of the runs has fewer than five rounds: chance separates them too often.
    TooFewRounds,
}

/// A condition that differs between two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its name, such as `processor`, or `simulated machine's ns.hit`.
    pub name: String,
    /// Its value in the first run.
    pub before: String,
    /// Its value in the second run.
    pub after: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Same => "same",
            Self::TooFewRounds => "too few rounds",
        })
    }
}

impl Verdict {
    /// Whether the rows differ by more than noise.
    pub const fn is_difference(self) -> bool {
        matches!(self, Self::Faster | Self::Slower)
    }
}

impl Comparison {
    /// Compares two runs. Rows differ by more than noise if each has at least five rounds, if their 95 %
    /// confidence intervals do not overlap, and if the 99 % interval of their ratio, by a bootstrap with this
    /// seed, does not contain 1. With about as many rounds in both runs, up to three times as many, at most
    /// about one case in 100 differs by chance. Simulated rows differ if their times do by more than 10 %.
    pub fn of(before: &Report, after: &Report, seed: u64) -> Self {
        let mut rows = Vec::new();
        for (list, row) in after.all_rows() {
            let mut others = before.all_rows();
            let other = others.find(|(other, of)| *other == list && of.is_same_case(row));
            if let Some((_, other)) = other {
                rows.push(Compared::of(other, row, seed));
            }
        }
        Self {
            only_before: before.all_rows().count().saturating_sub(rows.len()),
            only_after: after.all_rows().count().saturating_sub(rows.len()),
            rows,
            conditions: conditions(before, after),
        }
    }

    /// The number of rows with this conclusion.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows
            .iter()
            .filter(|row| row.verdict == verdict)
            .count()
    }
}

impl Compared {
    /// The time of the second run relative to the first one.
    pub fn ratio(&self) -> f64 {
        self.after / self.before
    }

    fn of(before: &Row, after: &Row, seed: u64) -> Self {
        let threads = match after.threads {
            1 => "1 thread".to_owned(),
            threads => format!("{threads} threads"),
        };
        let mut case = format!("{}, sharing {}, {threads}", after.workload, after.sharing);
        if let Some(scopes) = after.scopes {
            case += &format!(", {scopes} scopes");
        }
        if let Some(peers) = after.peers {
            case += &format!(", {peers} live peers");
        }
        let interval = ratio_interval(&after.ns_of_rounds, &before.ns_of_rounds, CONFIDENCE, seed);
        Self {
            case,
            engine: after.engine.clone(),
            simulated: after.simulated,
            before: before.ns_per_op,
            after: after.ns_per_op,
            interval: interval.filter(|_| !after.simulated),
            unequal_rounds: before.rounds.max(after.rounds)
                > before
                    .rounds
                    .min(after.rounds)
                    .saturating_mul(ABOUT_AS_MANY),
            verdict: match is_difference(before, after, interval) {
                None => Verdict::TooFewRounds,
                Some(false) => Verdict::Same,
                Some(true) if after.ns_per_op < before.ns_per_op => Verdict::Faster,
                Some(true) => Verdict::Slower,
            },
        }
    }
}

/// Whether two rows differ by more than noise. `None` if there are too few rounds.
fn is_difference(before: &Row, after: &Row, ratio: Option<[f64; 2]>) -> Option<bool> {
    if after.simulated {
        return Some((after.ns_per_op / before.ns_per_op - 1.0).abs() > SIMULATED_NOISE);
    }
    if before.rounds.min(after.rounds) < LEAST_ROUNDS {
        return None;
    }
    let ([low, high], [least, most]) = (before.interval?, after.interval?);
    let is_apart = high < least || most < low;
    let [low, high] = ratio?;
    Some(is_apart && !(low..=high).contains(&1.0))
}

/// The conditions that differ.
fn conditions(before: &Report, after: &Report) -> Vec<Condition> {
    type Value = fn(&Report) -> String;
    let values: [(&'static str, Value); 12] = [
        ("version of rcmgr", |of| of.method.version.clone()),
        ("compiler", |of| of.method.rustc.clone()),
        ("target", |of| of.method.target.clone()),
        ("compiler flags", |of| of.method.rustflags.clone()),
        ("seed", |of| of.method.seed.to_string()),
        ("debug build", |of| of.method.debug_build.to_string()),
        ("processor", |of| or_unknown(of.machine.cpu.as_deref())),
        ("cores", |of| of.machine.cores.to_string()),
        ("operating system", |of| of.machine.os.clone()),
        ("frequency governor", |of| {
            or_unknown(of.machine.governor.as_deref())
        }),
        ("operations of a simulated core", |of| {
            let operations = of.method.simulated_operations;
            operations.map_or("none".to_owned(), |operations| operations.to_string())
        }),
        ("simulated machine", |of| {
            let machine = of.simulated_machine.as_ref();
            machine.map_or("none".to_owned(), |machine| machine.name.clone())
        }),
    ];
    let both = [before, after];
    let mut all: Vec<_> = values
        .into_iter()
        .filter_map(|(name, value)| differing(name, both.map(value)))
        .collect();
    // Of lists, only the parts that differ: a reader would not find them in the whole.
    let [old, new] = both.map(|of| &of.method.crates);
    let only = |of: &[String], others: &[String]| -> String {
        let only: Vec<_> = of.iter().filter(|one| !others.contains(one)).collect();
        only.iter()
            .map(|one| one.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    all.extend(differing("crates", [only(old, new), only(new, old)]));
    if let [Some(old), Some(new)] = both.map(|of| of.simulated_machine.as_ref()) {
        let [old, new] = [old, new].map(fields);
        let fields = old
            .into_iter()
            .zip(new)
            .filter_map(|((field, old), (_, new))| {
                differing(&format!("simulated machine's {field}"), [old, new])
            });
        all.extend(fields);
    }
    all
}

fn differing(name: &str, [before, after]: [String; 2]) -> Option<Condition> {
    (before != after).then(|| Condition {
        name: name.to_owned(),
        before,
        after,
    })
}

/// What the times of a simulated machine depend on.
fn fields(machine: &Machine) -> Vec<(String, String)> {
    let topology = [
        ("cores_per_cluster", machine.cores_per_cluster),
        ("clusters_per_socket", machine.clusters_per_socket),
        ("sockets", machine.sockets),
    ];
    let topology = topology.map(|(field, number)| (field.to_owned(), number.to_string()));
    let loads = ("loads_take".to_owned(), machine.loads_take.to_string());
    let costs = machine.ns.fields();
    let costs = costs.map(|(field, ns)| (format!("ns.{field}"), ns.to_string()));
    topology.into_iter().chain([loads]).chain(costs).collect()
}

fn or_unknown(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty())
        .unwrap_or("unknown")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Sharing, Workload};
    use crate::report::tests::{report, row, simulated};

    const STEADY: [f64; 6] = [10.0, 10.1, 9.9, 10.05, 9.95, 10.0];

    fn times(factor: f64) -> Vec<f64> {
        STEADY.map(|ns| ns * factor).to_vec()
    }

    /// The conclusion about one row with these times in two runs.
    fn verdict(before: &[f64], after: &[f64]) -> Verdict {
        let [before, after] =
            [before, after].map(|rounds| report(vec![row(Workload::Span, "atomic", 2, rounds)]));
        let comparison = Comparison::of(&before, &after, 1);
        assert_eq!(
            (
                comparison.rows.len(),
                comparison.only_before,
                comparison.only_after
            ),
            (1, 0, 0)
        );
        comparison.rows[0].verdict
    }

    #[test]
    fn rows_differ_if_their_intervals_do_not_overlap() {
        assert_eq!(verdict(&STEADY, &STEADY), Verdict::Same);
        assert_eq!(verdict(&STEADY, &times(1.1)), Verdict::Slower);
        assert_eq!(verdict(&STEADY, &times(0.9)), Verdict::Faster);
        assert_eq!(verdict(&STEADY, &times(1.005)), Verdict::Same);
        // The same medians as above, but the rounds vary more.
        let noisy = [9.0, 12.0, 11.0, 10.0, 13.0, 11.0];
        assert_eq!(verdict(&STEADY, &noisy), Verdict::Same);
    }

    /// Rounds of one distribution, compared again and again.
    #[test]
    fn rows_without_a_difference_seldom_seem_to_have_one() {
        let mut random = fastrand::Rng::with_seed(1);
        let comparisons = 200;
        for (before, after) in [(7, 7), (5, 15)] {
            let found = (0..comparisons).filter(|_| {
                let mut rounds =
                    |count| -> Vec<f64> { (0..count).map(|_| 10.0 + random.f64()).collect() };
                verdict(&rounds(before), &rounds(after)).is_difference()
            });
            let found = found.count();
            assert!(found <= comparisons / 50, "{before}, {after}: {found}");
        }
    }

    #[test]
    fn more_than_three_times_as_many_rounds_are_unequal() {
        let rounds =
            |count: usize| -> Vec<f64> { (0..count).map(|one| 10.0 + one as f64).collect() };
        let unequal = |before, after| {
            let [before, after] = [before, after]
                .map(|count| report(vec![row(Workload::Span, "atomic", 2, &rounds(count))]));
            Comparison::of(&before, &after, 1).rows[0].unequal_rounds
        };
        assert!(!unequal(5, 15) && !unequal(15, 5));
        assert!(unequal(5, 16) && unequal(16, 5));
    }

    #[test]
    fn few_rounds_do_not_tell_a_difference_from_chance() {
        let twice = times(2.0);
        assert_eq!(verdict(&STEADY[..4], &twice), Verdict::TooFewRounds);
        assert_eq!(verdict(&STEADY, &twice[..1]), Verdict::TooFewRounds);
        assert_eq!(verdict(&STEADY[..5], &twice[..5]), Verdict::Slower);
    }

    #[test]
    fn simulated_rows_differ_from_ten_percent_on() {
        let verdict = |after| {
            let [before, after] =
                [20.0, after].map(|ns| report(vec![simulated(Workload::Span, "atomic", 2, ns)]));
            let compared = &Comparison::of(&before, &after, 1).rows[0];
            assert!(compared.simulated && compared.interval.is_none());
            compared.verdict
        };
        assert_eq!(verdict(21.0), Verdict::Same);
        assert_eq!(verdict(23.0), Verdict::Slower);
        assert_eq!(verdict(17.0), Verdict::Faster);
    }

    #[test]
    fn only_rows_of_the_same_case_are_compared() {
        let span = row(Workload::Span, "atomic", 2, &STEADY);
        let with = |change: fn(&mut Row)| {
            let mut other = span.clone();
            change(&mut other);
            other
        };
        let others = [
            with(|row| row.threads = 4),
            with(|row| row.sharing = Sharing::None),
            with(|row| row.workload = Workload::Stream),
            with(|row| row.engine = "mutex".to_owned()),
            with(|row| row.peers = Some(10)),
            simulated(Workload::Span, "atomic", 2, 10.0),
        ];
        let before = report(vec![span.clone()]);
        let after = report(others.to_vec());
        let comparison = Comparison::of(&before, &after, 1);
        assert!(comparison.rows.is_empty());
        assert_eq!((comparison.only_before, comparison.only_after), (1, 6));
        // The same row in another list is of another case.
        let mut scopes = report(Vec::new());
        scopes.by_scopes.push(span);
        assert!(Comparison::of(&before, &scopes, 1).rows.is_empty());
    }

    #[test]
    fn conditions_that_differ_are_named_with_both_values() {
        let before = report(vec![row(Workload::Span, "atomic", 1, &STEADY)]);
        let mut after = before.clone();
        assert!(Comparison::of(&before, &after, 1).conditions.is_empty());
        after.machine.cpu = Some("Another Processor".to_owned());
        after.method.rustc = "rustc 2.0".to_owned();
        let conditions = Comparison::of(&before, &after, 1).conditions;
        let names: Vec<_> = conditions.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["compiler", "processor"]);
        assert_eq!(conditions[1].before, "unknown");
        assert_eq!(conditions[1].after, "Another Processor");
    }

    /// The conditions that differ after the change of a simulated run: name, before and after.
    fn changed(change: fn(&mut Report)) -> Vec<[String; 3]> {
        let mut before = report(vec![simulated(Workload::Span, "atomic", 1, 10.0)]);
        before.method.simulated_operations = Some(400);
        before.method.crates = vec!["a 1".to_owned(), "b 1".to_owned()];
        let mut after = before.clone();
        change(&mut after);
        let conditions = Comparison::of(&before, &after, 1).conditions;
        let parts = |one: Condition| [one.name, one.before, one.after];
        conditions.into_iter().map(parts).collect()
    }

    fn machine_of(report: &mut Report) -> &mut Machine {
        report.simulated_machine.as_mut().unwrap()
    }

    #[test]
    fn only_the_fields_of_a_simulated_machine_that_differ_are_conditions() {
        assert!(changed(|_| {}).is_empty());
        let all = changed(|of| {
            let machine = machine_of(of);
            machine.clusters_per_socket = 1;
            machine.sockets = 2;
            machine.loads_take = true;
            machine.ns.wake_latency = 1.5;
            of.method.seed = 7;
            of.method.simulated_operations = None;
            of.method.crates[1] = "b 2".to_owned();
        });
        let [old, wake] = {
            let desktop = Machine::shipped("desktop").unwrap();
            [
                desktop.clusters_per_socket.to_string(),
                desktop.ns.wake_latency.to_string(),
            ]
        };
        let expected = [
            ["seed", "1", "7"],
            ["operations of a simulated core", "400", "none"],
            ["crates", "b 1", "b 2"],
            ["simulated machine's clusters_per_socket", &old, "1"],
            ["simulated machine's sockets", "1", "2"],
            ["simulated machine's loads_take", "false", "true"],
            ["simulated machine's ns.wake_latency", &wake, "1.5"],
        ];
        assert_eq!(all, expected);
        let names = changed(|of| machine_of(of).name = "mine".to_owned());
        assert_eq!(names, [["simulated machine", "desktop", "mine"]]);
        let none = changed(|of| of.simulated_machine = None);
        assert_eq!(none, [["simulated machine", "desktop", "none"]]);
    }
}
