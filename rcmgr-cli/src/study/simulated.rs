//! The simulated study: its options, and the parts of the report that only it has.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use rcmgr_machine::Machine;
use rcmgr_study::{Order, Report, Workload};

use super::layout::{lined, nanos, section, write_table};

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

/// The argument of `--machine`.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    pub machine: Machine,
    /// The file that it comes from. A shipped machine has none.
    pub file: Option<PathBuf>,
}

/// The argument of `--machine`: a name, or a file.
pub fn machine(text: &str) -> Result<Chosen, String> {
    if let Some(machine) = Machine::shipped(text) {
        return Ok(Chosen {
            machine,
            file: None,
        });
    }
    if text.ends_with(".toml") {
        let content = fs::read_to_string(text).map_err(|error| error.to_string())?;
        return Ok(Chosen {
            machine: Machine::from_toml(&content).map_err(|error| error.to_string())?,
            file: Some(text.into()),
        });
    }
    let shipped = Machine::all_shipped();
    let names: Vec<_> = shipped.iter().map(|one| one.name.as_str()).collect();
    Err(format!(
        "expected the name of a file that ends with .toml, or one of {}",
        names.join(", ")
    ))
}

/// The columns to leave out on a narrow terminal, in this order.
const DROPPABLE: [usize; 3] = [8, 3, 7];

/// The causes of the simulated times of a workload, and the words that the most cores wait for.
pub fn causes(text: &mut String, report: &Report, workload: Workload, columns: Option<usize>) {
    let rows = report.rows.iter().filter(|row| row.workload == workload);
    let rows: Vec<_> = rows
        .filter_map(|row| Some((row, row.simulation.as_ref()?)))
        .collect();
    let Some(most) = rows.iter().map(|(row, _)| row.threads).max() else {
        return;
    };
    let about = format!("the causes of the simulated times of {workload}, for each operation.");
    section(text, "causes", &about, columns);
    let header = [
        "sharing",
        "threads",
        "engine",
        "accesses",
        "transfers",
        "failed CAS",
        "waiting",
        "waiting, ns",
        "work, ns",
    ];
    let mut table = lined(header, 3);
    for (row, of) in &rows {
        table.add_row([
            row.sharing.to_string(),
            row.threads.to_string(),
            row.engine.clone(),
            format!("{:.1}", of.accesses_per_op),
            format!("{:.2}", of.transfers_per_op),
            format!("{:.2}", of.failed_cas_per_op),
            percent(of.waiting),
            nanos(of.waiting_ns_per_op),
            nanos(of.work_ns),
        ]);
    }
    write_table(text, table, columns, &DROPPABLE);

    let header = [
        "sharing",
        "engine",
        "waiting",
        "waiting, ns",
        "transfers",
        "failed CAS",
        "lines",
        "word",
    ];
    let mut words = lined(header, 2);
    let mut is_empty = true;
    for (row, of) in rows
        .iter()
        .filter(|(row, _)| row.threads == most && most > 1)
    {
        for word in of.hottest.iter().filter(|word| word.waiting >= 0.01) {
            is_empty = false;
            words.add_row([
                row.sharing.to_string(),
                row.engine.clone(),
                percent(word.waiting),
                nanos(word.waiting_ns_per_op),
                format!("{:.2}", word.transfers_per_op),
                format!("{:.2}", word.failed_cas_per_op),
                word.lines.to_string(),
                word.name.clone(),
            ]);
        }
    }
    if !is_empty {
        let about = format!("where {most} cores wait for lines.");
        section(text, "hottest words", &about, columns);
        write_table(text, words, columns, &[6, 5, 3]);
    }
}

/// The scaling of the simulation beside that of real threads, and the orders of engines that differ.
pub fn beside_reality(text: &mut String, report: &Report, columns: Option<usize>) {
    let (cases, orders) = (report.model.len(), report.orders.len());
    if cases == 0 && orders == 0 {
        return;
    }
    let about = match cases {
        0 => "the order of the engines.",
        _ => {
            "throughput relative to one thread, real / simulated; the marked ones differ by more than 0.25 and 20 %."
        }
    };
    section(text, "model beside reality", about, columns);
    let line = |text: &mut String, line: String| {
        writeln!(text, "{line}").expect("text takes anything");
    };
    if cases > 0 {
        let off = report.model.iter().filter(|one| one.is_off).count();
        scalings(text, report, columns);
        line(
            text,
            format!("note: {off} of {cases} simulated scalings are off"),
        );
    }
    let others = report.orders.iter().filter(|order| order.is_off);
    let off = others.clone().count();
    line(
        text,
        format!("note: {off} of {orders} orders of engines differ"),
    );
    for order in others {
        let Order {
            workload,
            sharing,
            threads,
            real,
            simulated,
            ..
        } = order;
        let [real, simulated] = [real, simulated].map(|names| names.join(", "));
        line(
            text,
            format!(
                "note: another order of engines, {workload}, sharing {sharing}, {threads} threads: real {real}; simulated {simulated}",
            ),
        );
    }
}

/// The table of all scalings.
fn scalings(text: &mut String, report: &Report, columns: Option<usize>) {
    let engines = report.engines.iter().map(|engine| engine.name.clone());
    let engines: Vec<_> = engines
        .filter(|name| report.model.iter().any(|one| one.engine == *name))
        .collect();
    let header = ["workload", "sharing", "threads"].map(str::to_owned);
    let mut table = lined(header.into_iter().chain(engines.iter().cloned()), 3);
    let mut cases: Vec<_> = report
        .model
        .iter()
        .map(|one| (one.workload, one.sharing, one.threads))
        .collect();
    cases.sort_unstable();
    cases.dedup();
    for case in cases {
        let cell = |engine: &String| {
            let mut all = report.model.iter();
            let one = all.find(|one| {
                one.engine == *engine && (one.workload, one.sharing, one.threads) == case
            });
            // The marks are bold letters where the table is a part of a page in Markdown.
            one.map_or("-".to_owned(), |one| {
                let mark = if one.is_off { "**" } else { "" };
                format!("{mark}{:.2} / {:.2}{mark}", one.real, one.simulated)
            })
        };
        let (workload, sharing, threads) = case;
        let names = [
            workload.to_string(),
            sharing.to_string(),
            threads.to_string(),
        ];
        table.add_row(names.into_iter().chain(engines.iter().map(cell)));
    }
    write_table(text, table, columns, &[]);
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
        assert_eq!(machine("desktop").unwrap().machine.name, "desktop");
        let unknown = machine("abacus").unwrap_err();
        assert!(unknown.contains("desktop, one-socket"), "{unknown}");
        assert!(machine("none/here.toml").is_err());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        let mut own = Machine::shipped("desktop").unwrap();
        own.name = "own".to_owned();
        fs::write(&path, own.to_toml()).unwrap();
        let chosen = Chosen {
            machine: own,
            file: Some(path.clone()),
        };
        assert_eq!(machine(path.to_str().unwrap()), Ok(chosen));
        fs::write(&path, "name = 7").unwrap();
        assert!(
            machine(path.to_str().unwrap())
                .unwrap_err()
                .contains("name")
        );
    }
}
