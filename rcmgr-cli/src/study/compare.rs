//! `rcmgr study --compare`: the rows of two runs that differ by more than noise.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use rcmgr_study::{Compared, Comparison, NoReport, Report, Verdict};

use super::layout::{lined, nanos, write_table};
use crate::output::{print, terminal_columns};

/// The columns to leave out on a narrow terminal, in this order.
const DROPPABLE: [usize; 2] = [5, 2];

/// The longest description of a condition, in characters.
const LONGEST: usize = 200;

/// The characters that are shown before the first difference of two long descriptions.
const CONTEXT: usize = 20;

/// The reason why two files are not compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("cannot read {}: {why}", path.display())]
    Read { path: PathBuf, why: io::Error },
    #[error("{}: this is no report of rcmgr study --json: {why}", path.display())]
    NoReport { path: PathBuf, why: NoReport },
    #[error("{} and {} share no case: there is nothing to compare", before.display(), after.display())]
    NoSharedCase { before: PathBuf, after: PathBuf },
    #[error("cannot write the output: {0}")]
    Print(#[from] io::Error),
}

/// Compares two files. The exit status is 0 if no row differs by more than noise, and 1 if one does, or if
/// there is nothing to compare.
pub fn run(before: &Path, after: &Path) -> Result<ExitCode, CompareError> {
    let reports = (read(before)?, read(after)?);
    let comparison = Comparison::of(&reports.0, &reports.1, reports.1.method.seed);
    // Status 0 would say that the runs are the same.
    if comparison.rows.is_empty() {
        return Err(CompareError::NoSharedCase {
            before: before.to_owned(),
            after: after.to_owned(),
        });
    }
    print(text(&comparison, terminal_columns()))?;
    let differs = comparison
        .rows
        .iter()
        .any(|row| row.verdict.is_difference());
    Ok(match differs {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn read(path: &Path) -> Result<Report, CompareError> {
    let text = fs::read_to_string(path).map_err(|why| CompareError::Read {
        path: path.to_owned(),
        why,
    })?;
    Report::from_json(&text).map_err(|why| CompareError::NoReport {
        path: path.to_owned(),
        why,
    })
}

fn text(comparison: &Comparison, columns: Option<usize>) -> String {
    let mut text = String::new();
    let header = [
        "case",
        "engine",
        "before",
        "after",
        "after / before",
        "99 %",
        "verdict",
    ];
    let mut table = lined(header, 2);
    let mut is_empty = true;
    for row in comparison
        .rows
        .iter()
        .filter(|row| row.verdict.is_difference())
    {
        is_empty = false;
        let mark = if row.simulated { " (simulated)" } else { "" };
        table.add_row([
            row.case.clone(),
            format!("{}{mark}", row.engine),
            nanos(row.before),
            nanos(row.after),
            format!("{:.2}", row.ratio()),
            row.interval.map_or("-".to_owned(), |[low, high]| {
                format!("{low:.2} to {high:.2}")
            }),
            match row.unequal_rounds {
                true => format!("{}, unequal rounds", row.verdict),
                false => row.verdict.to_string(),
            },
        ]);
    }
    if !is_empty {
        write_table(&mut text, table, columns, &DROPPABLE);
    }
    notes(&mut text, comparison);
    text
}

fn notes(text: &mut String, comparison: &Comparison) {
    let mut line = |line: String| writeln!(text, "{line}").expect("text takes anything");
    let count = |verdict| comparison.count(verdict);
    line(format!(
        "{} cases in both runs: {} slower, {} faster, {} the same within noise, {} with too few rounds to tell",
        comparison.rows.len(),
        count(Verdict::Slower),
        count(Verdict::Faster),
        count(Verdict::Same),
        count(Verdict::TooFewRounds),
    ));
    for (only, run) in [
        (comparison.only_before, "first"),
        (comparison.only_after, "second"),
    ] {
        if only > 0 {
            line(format!("note: only in the {run} run: {}", cases(only)));
        }
    }
    for condition in &comparison.conditions {
        let [before, after] = shown([&condition.before, &condition.after]);
        line(format!(
            "note: the {} differs: {before}; {after}",
            condition.name
        ));
    }
    if count(Verdict::TooFewRounds) > 0 {
        line("note: a case needs five rounds in each run: see --rounds".to_owned());
    }
    let is_unequal = |row: &&Compared| row.unequal_rounds && row.verdict != Verdict::TooFewRounds;
    let unequal = comparison.rows.iter().filter(is_unequal).count();
    if unequal > 0 {
        line(format!(
            "note: over three times as many rounds in one run as in the other: {}. By chance, up to five in 100 \
             such cases differ",
            cases(unequal),
        ));
    }
    line(
        "note: times are ns/op. A case differs if the 95 % confidence intervals of the runs do not overlap, \
         and the 99 % interval of their ratio does not contain 1; by chance, at most about one case in 100 \
         does, if both runs have about as many rounds. A simulated case differs if its times do by more than 10 %"
            .to_owned(),
    );
}

/// A number of cases. Those that are not shown count, too.
fn cases(count: usize) -> String {
    match count {
        1 => "1 case".to_owned(),
        count => format!("{count} cases"),
    }
}

/// Two values from files: in quotes, escaped, and cut to the part in which they differ.
fn shown(values: [&str; 2]) -> [String; 2] {
    let [one, other] = values.map(str::chars);
    let same = one
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count();
    let is_long = values.iter().any(|value| value.chars().count() > LONGEST);
    let from = if is_long {
        same.saturating_sub(CONTEXT)
    } else {
        0
    };
    values.map(|value| {
        let part: String = value.chars().skip(from).take(LONGEST).collect();
        let before = if from > 0 { "..." } else { "" };
        let after = if value.chars().count() > from + LONGEST {
            "..."
        } else {
            ""
        };
        format!("{before}{part:?}{after}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_to_the_part_in_which_they_differ() {
        let same = "flags ".repeat(50);
        let [one, other] = ["fast", "slow"].map(|end| format!("{same}{end}"));
        let [one, other] = shown([&one, &other]);
        assert_eq!(one, format!("...\"{}fast\"", &same[same.len() - CONTEXT..]));
        assert!(other.ends_with("slow\""), "{other}");
        assert_eq!(shown(["a\n", "b"]), ["\"a\\n\"", "\"b\""]);
        let [long, short] = shown([&"x".repeat(300), "y"]);
        assert_eq!(long, format!("{:?}...", "x".repeat(LONGEST)));
        assert_eq!(short, "\"y\"");
    }
}
