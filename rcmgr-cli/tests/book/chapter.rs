//! The checks of a chapter, in the order of its blocks: a command finds the files that blocks
//! before it made.

use std::path::Path;

use snapbox::filter::{Filter, FilterNewlines, FilterPaths};
use snapbox::{Data, IntoData};

use crate::blocks::{self, Block, Link, Span};
use crate::project;
use crate::sandbox::{self, Output, Sandbox};
use crate::sources;

/// Programs of this workspace, as a reader runs them.
const RUN: &str = "cargo run --release -- ";

/// Commands that take long. Tests of their own run them, so only the arguments are checked: up to
/// `--help`, clap reads them as it does without it.
const LONG: [&str; 2] = ["demo", "study"];

/// Checks a chapter. The error has a line for each fault.
pub fn check(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(project().join(path)).expect("the chapter is readable");
    let parts = blocks::read(&text);
    let sandbox = Sandbox::new();
    let mut faults = Vec::new();
    let mut found = |line: usize, result: Result<(), String>| {
        if let Err(fault) = result {
            faults.push(format!("{}:{line}: {fault}", path.display()));
        }
    };
    for block in &parts.blocks {
        found(block.line, check_block(path, block, &sandbox));
    }
    let is_index = path.ends_with("errors.md");
    for Span { line, text } in &parts.spans {
        found(*line, check_span(text, &sandbox));
        found(*line, has_metrics(text));
        if is_index {
            found(*line, is_message(text));
        }
    }
    for Link { line, target } in &parts.links {
        found(*line, leads_somewhere(path, &parts.anchors, target));
    }
    if path.ends_with("SUMMARY.md") {
        found(1, has_all_chapters(path, &parts.links));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\n"))
    }
}

fn check_block(path: &Path, block: &Block, sandbox: &Sandbox) -> Result<(), String> {
    match block.language.as_str() {
        "rust" if block.has("ignore") => Err("nothing compiles the program".to_owned()),
        "rust" => sources::is_doc_test(path),
        "sh" => commands(&block.text)
            .iter()
            .try_for_each(|command| succeeds(command, sandbox)),
        "console" => check_console(block, sandbox),
        "toml" if block.has("manifest") => is_manifest(&block.text),
        "toml" | "json" => is_limits_file(block, sandbox),
        "text" if block.has("asserted") => block.text.lines().try_for_each(sources::is_asserted),
        "text" if block.has("diagram") || block.has("formula") => Ok(()),
        other => Err(format!(
            "nothing checks a block {other:?} {:?}",
            block.attributes
        )),
    }
}

/// The commands of a block: without comments, and with continued lines joined.
fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", "");
    let lines = joined.lines().map(|line| match line.split_once(" #") {
        Some((command, _)) => command.trim().to_owned(),
        None => line.trim().to_owned(),
    });
    lines.filter(|line| !line.is_empty()).collect()
}

fn succeeds(command: &str, sandbox: &Sandbox) -> Result<(), String> {
    // CI runs these two by themselves, as a new user starts them.
    if sources::ci_has(command) {
        return Ok(());
    }
    let arguments = command.strip_prefix(RUN);
    // It would run until a signal, so only its arguments and files are checked.
    let of_rcmgr = arguments.or_else(|| command.strip_prefix("rcmgr "));
    if let Some(arguments) = of_rcmgr.and_then(|arguments| arguments.strip_prefix("guard "))
        && !arguments.starts_with("check ")
    {
        return run(&format!("rcmgr guard check {arguments}"), sandbox);
    }
    match arguments {
        Some(arguments) if LONG.iter().any(|long| arguments.starts_with(long)) => {
            run(&format!("rcmgr {arguments} --help"), sandbox)
        }
        Some(arguments) => run(&format!("rcmgr {arguments}"), sandbox),
        None if command.contains("cargo ") => sources::is_cargo_command(command),
        // `main` says that they are left out.
        None if command.starts_with("curl ") && !sandbox::has_curl() => Ok(()),
        None => run(command, sandbox),
    }
}

fn run(command: &str, sandbox: &Sandbox) -> Result<(), String> {
    let Output { status, text } = sandbox.run(command);
    if status == Some(0) {
        return Ok(());
    }
    Err(format!("{command:?} ended with status {status:?}:\n{text}"))
}

/// Runs each command of the block and compares what it prints. The exit status of the last one is
/// that of the attribute `exit`, or 0; the others succeed.
fn check_console(block: &Block, sandbox: &Sandbox) -> Result<(), String> {
    let (mut command, mut expected) = (None, String::new());
    let mut status = Some(0);
    for line in block.text.lines().map(Some).chain([None]) {
        let next = line.map(|line| line.strip_prefix("$ "));
        if let (Some(line), Some(None)) = (line, next) {
            expected.push_str(line);
            expected.push('\n');
            continue;
        }
        if let Some(command) = command.take() {
            if status != Some(0) {
                return Err(format!(
                    "the command before {command:?} ended with {status:?}"
                ));
            }
            let output = sandbox.run(command);
            compare(command, &output.text, &std::mem::take(&mut expected))?;
            status = output.status;
        } else if !expected.is_empty() {
            return Err("the block does not start with a command: `$ rcmgr ...`".to_owned());
        }
        command = next.flatten();
    }
    let wanted = block.value("exit").unwrap_or("0");
    if status.map(|status| status.to_string()).as_deref() != Some(wanted) {
        return Err(format!(
            "the last command ended with status {status:?}, not {wanted}"
        ));
    }
    Ok(())
}

fn compare(command: &str, printed: &str, expected: &str) -> Result<(), String> {
    let printed = FilterPaths.filter(FilterNewlines.filter(trimmed(printed).into_data()));
    let expected = FilterNewlines.filter(trimmed(expected).into_data());
    let printed = snapbox::filter::NormalizeToExpected::new()
        .redact()
        .normalize(printed, &expected);
    if printed == expected {
        return Ok(());
    }
    let show = |data: Data| data.render().unwrap_or_default();
    Err(format!(
        "{command:?} printed\n{}\nand the book says\n{}",
        show(printed),
        show(expected)
    ))
}

/// Without spaces at the ends of lines.
fn trimmed(text: &str) -> String {
    text.lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

fn is_manifest(text: &str) -> Result<(), String> {
    let manifest: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
    let entry = &manifest["dependencies"]["rcmgr"];
    // With features, the entry is a table.
    let version = entry.get("version").unwrap_or(entry);
    let own = env!("CARGO_PKG_VERSION");
    match version.as_str() {
        Some(version) if own.starts_with(version) => Ok(()),
        other => Err(format!("the version of rcmgr is {own}, not {other:?}")),
    }
}

fn is_limits_file(block: &Block, sandbox: &Sandbox) -> Result<(), String> {
    let unnamed = format!("unnamed.{}", block.language);
    let name = block.value("file").unwrap_or(&unnamed);
    sandbox.write(name, &block.text);
    // With this budget the warnings are the same on every machine.
    let check = match block.has("guard") {
        true => format!("ulimit -n 4096; rcmgr guard check {name}"),
        false => format!("rcmgr limits check {name} --memory 1GiB --fds 16384"),
    };
    let Output { status, text } = sandbox.run(&check);
    let wanted = if block.has("bad") { 1 } else { 0 };
    if status != Some(wanted) {
        return Err(format!(
            "{check:?} ended with status {status:?}, not {wanted}:\n{text}"
        ));
    }
    // A warning with a line says that a number in the block is not what it seems to be, except where
    // the number is below a default.
    let of_block = |line: &&str| {
        let rest = line
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(':'));
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            && line.contains(": warning: ")
            && !line.contains(", which cannot be reached: ")
    };
    let is_warned = block.has("warned");
    match text.lines().find(of_block) {
        Some(warning) if !is_warned => Err(warning.to_owned()),
        None if is_warned => Err("there is no warning".to_owned()),
        _ => Ok(()),
    }
}

/// The index of errors has the messages of the program: their words are in its sources, around the
/// numbers, the names in capitals, and what `...` leaves out.
fn is_message(text: &str) -> Result<(), String> {
    // A field, a call or a type is no message.
    if text.matches(' ').count() < 2 || text.starts_with(char::is_uppercase) {
        return Ok(());
    }
    let is_variable = |word: &str| {
        word.contains("...")
            || word.contains(|c: char| c.is_ascii_digit())
            || word.starts_with(|c: char| c.is_uppercase())
    };
    let words: Vec<_> = text.split(' ').collect();
    let fixed = words.split(|word| is_variable(word));
    let mut fixed = fixed.filter(|words| words.len() > 1);
    fixed.try_for_each(|words| sources::has(&words.join(" ")))
}

/// mdbook leaves out a chapter that the summary has no link to.
fn has_all_chapters(path: &Path, links: &[Link]) -> Result<(), String> {
    let folder = path.parent().expect("the summary is in a folder");
    for chapter in crate::chapters() {
        let Ok(chapter) = chapter.strip_prefix(folder) else {
            continue;
        };
        let is_linked = links.iter().any(|link| Path::new(&link.target) == chapter);
        if !is_linked && !path.ends_with(chapter) {
            return Err(format!("there is no link to {}", chapter.display()));
        }
    }
    Ok(())
}

/// The metrics that a query names exist. Counters have `_total` at the end only where they are read.
fn has_metrics(query: &str) -> Result<(), String> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let mut metrics = words.filter(|word| {
        word.starts_with("rcmgr_") || word.starts_with("libp2p_rcmgr_") && word.len() > 14
    });
    metrics.try_for_each(|metric| sources::has(metric.strip_suffix("_total").unwrap_or(metric)))
}

/// The file and the heading that a link names exist.
fn leads_somewhere(path: &Path, own: &[String], target: &str) -> Result<(), String> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let in_folder = path.parent().expect("a chapter is in a folder").join(file);
    let mut anchors = own.to_vec();
    if !file.is_empty() {
        let read = std::fs::read_to_string(project().join(in_folder));
        let text = read.map_err(|error| format!("the link to {target}: {error}"))?;
        anchors = blocks::read(&text).anchors;
    }
    if anchor.is_empty() || anchors.iter().any(|known| known == anchor) {
        return Ok(());
    }
    Err(format!("the link to {target} names no heading"))
}

/// The words before the first argument are a command. Help takes a mistyped one for an argument.
fn is_known(arguments: &str, sandbox: &Sandbox) -> Result<(), String> {
    let words = arguments
        .split(' ')
        .take_while(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()));
    let command = format!("rcmgr {}", words.collect::<Vec<_>>().join(" "));
    let help = sandbox.run(&format!("{command} --help")).text;
    if help.contains(&format!("Usage: {command} ")) {
        return Ok(());
    }
    // The last word may be a value, such as the name of a shell.
    run(&command, sandbox)
}

/// A command in the text is one that the program knows.
fn check_span(text: &str, sandbox: &Sandbox) -> Result<(), String> {
    let arguments = text
        .strip_prefix(RUN)
        .or_else(|| text.strip_prefix("rcmgr "));
    // Not a variable part such as `COMMAND`, nor a path.
    match arguments {
        Some(arguments) if arguments.starts_with(char::is_lowercase) => {
            let arguments = arguments.replace("...", "");
            run(&format!("rcmgr {arguments} --help"), sandbox)?;
            is_known(&arguments, sandbox)
        }
        _ => Ok(()),
    }
}
