//! The simulated study: its options, and its report on the terminal.

use std::fmt::Write;
use std::fs;
use std::str::FromStr;

use comfy_table::Table;
use rcmgr_machine::Machine;
use rcmgr_study::{SimulatedReport, SimulatedRow, Workload};

use super::table::{lined, nanos, ratio, section, write_table};

/// The argument of `--simulate`: the numbers of cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores(pub Vec<usize>);

impl FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "expected cores=N,N,... with numbers from 1 to {}",
                Machine::MAX_CORES
            )
        };
        let numbers = text.strip_prefix("cores=").ok_or_else(wrong)?;
        let number = |text: &str| match text.parse() {
            Ok(cores @ 1..=Machine::MAX_CORES) => Ok(cores),
            _ => Err(wrong()),
        };
        let mut cores: Vec<usize> = numbers.split(',').map(number).collect::<Result<_, _>>()?;
        cores.sort_unstable();
        cores.dedup();
        Ok(Self(cores))
    }
}

/// The argument of `--machine`: a name, or a file.
pub fn machine(text: &str) -> Result<Machine, String> {
    if let Some(machine) = Machine::shipped(text) {
        return Ok(machine);
    }
    if text.ends_with(".toml") {
        let content = fs::read_to_string(text).map_err(|error| error.to_string())?;
        return Machine::from_toml(&content).map_err(|error| error.to_string());
    }
    let shipped = Machine::all_shipped();
    let names: Vec<_> = shipped.iter().map(|one| one.name.as_str()).collect();
    Err(format!(
        "expected the name of a file that ends with .toml, or one of {}",
        names.join(", ")
    ))
}

/// The columns to leave out on a narrow terminal, in this order.
const DROPPABLE: [usize; 4] = [12, 9, 8, 7];

/// The report: a table for each workload, and the hottest words of the rows with the most cores.
pub fn text(report: &SimulatedReport, columns: Option<usize>) -> String {
    let mut text = String::new();
    for &workload in Workload::ALL {
        let rows = || report.rows.iter().filter(|row| row.workload == workload);
        if rows().next().is_none() {
            continue;
        }
        let about = format!("{} Simulated.", workload.about());
        section(&mut text, workload.as_str(), &about, columns);
        let mut table = lined(
            [
                "sharing",
                "cores",
                "engine",
                "ns/op",
                "scaling",
                "real",
                "waiting",
                "p50",
                "p99",
                "accesses",
                "transfers",
                "failed CAS",
                "work",
            ],
            3,
        );
        for row in rows() {
            add_row(&mut table, report, row);
        }
        write_table(&mut text, table, columns, &DROPPABLE);
        let most = rows().map(|row| row.threads).max();
        let mut words = lined(
            [
                "sharing",
                "engine",
                "waiting",
                "transfers",
                "failed CAS",
                "lines",
                "word",
            ],
            2,
        );
        let mut is_empty = true;
        for row in rows().filter(|row| Some(row.threads) == most && row.threads > 1) {
            for word in row.hottest.iter().filter(|word| word.waiting >= 0.01) {
                is_empty = false;
                words.add_row([
                    row.sharing.to_string(),
                    row.engine.clone(),
                    percent(word.waiting),
                    format!("{:.2}", word.transfers_per_op),
                    format!("{:.2}", word.failed_cas_per_op),
                    word.lines.to_string(),
                    word.name.clone(),
                ]);
            }
        }
        if !is_empty {
            let about = format!("where {} cores wait for lines.", most.unwrap_or(0));
            section(&mut text, "hottest words", &about, columns);
            write_table(&mut text, words, columns, &[5, 4]);
        }
    }
    notes(&mut text, report);
    text
}

fn add_row(table: &mut Table, report: &SimulatedReport, row: &SimulatedRow) {
    let one = report.row(row.workload, &row.engine, row.sharing, 1);
    let real = |row: &SimulatedRow| row.real_ns_per_op;
    table.add_row([
        row.sharing.to_string(),
        row.threads.to_string(),
        row.engine.clone(),
        nanos(row.ns_per_op),
        ratio(one.map(|one| one.ns_per_op / row.ns_per_op)),
        ratio(one.and_then(|one| Some(real(one)? / real(row)?))),
        percent(row.waiting),
        nanos(row.p50_ns as f64),
        nanos(row.p99_ns as f64),
        format!("{:.1}", row.accesses_per_op),
        format!("{:.2}", row.transfers_per_op),
        format!("{:.2}", row.failed_cas_per_op),
        nanos(row.work_ns),
    ]);
}

fn notes(text: &mut String, report: &SimulatedReport) {
    let mut note = |note: String| {
        writeln!(text, "note: {note}").expect("text takes anything");
    };
    for left_out in &report.left_out {
        note(format!("left out: {}: {}", left_out.what, left_out.why));
    }
    note(
        "all rows are simulated: values are real, times are those of cache lines on the machine, and \
         the work between accesses is measured on one real thread"
            .to_owned(),
    );
    note(
        "accesses, transfers of lines, failed CAS and work (in ns) are per operation; waiting is the \
         share of all cores' time in which they wait for lines; scaling is the throughput relative \
         to one core, real that of real threads (--beside-real)"
            .to_owned(),
    );
    let machine = &report.machine;
    note(format!(
        "{}: {} Seed {}.",
        machine.name, machine.about, report.seed
    ));
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_sorted_and_counted_once() {
        assert_eq!("cores=8,1,8".parse(), Ok(Cores(vec![1, 8])));
        for wrong in [
            "8",
            "cores=",
            "cores=0",
            "cores=129",
            "cores=1,,2",
            "threads=1",
        ] {
            let error = wrong.parse::<Cores>().unwrap_err();
            assert!(error.starts_with("expected cores=N"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_machine_is_a_name_or_a_file() {
        assert_eq!(machine("desktop").unwrap().name, "desktop");
        let unknown = machine("abacus").unwrap_err();
        assert!(unknown.contains("desktop, one-socket"), "{unknown}");
        assert!(machine("none/here.toml").is_err());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        let mut own = Machine::shipped("desktop").unwrap();
        own.name = "own".to_owned();
        fs::write(&path, own.to_toml()).unwrap();
        assert_eq!(machine(path.to_str().unwrap()), Ok(own));
        fs::write(&path, "name = 7").unwrap();
        assert!(
            machine(path.to_str().unwrap())
                .unwrap_err()
                .contains("name")
        );
    }
}
