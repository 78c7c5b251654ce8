//! The first program of README protects an accept loop in a few lines.

use crate::source::Finding;

pub const RULE: &str =
    "the first program of README has at most 12 lines, hidden ones included, and one `use`";

const MAX_LINES: usize = 12;

/// Parts that the program must have.
const PARTS: [&str; 3] = ["use rcmgr::prelude::*;", ".accept()", ".open_connection("];

pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let begins = |line: &str| line.starts_with("```rust");
    let before = text.lines().take_while(|line| !begins(line)).count();
    let program: Vec<&str> = text
        .lines()
        .skip(before + 1)
        .take_while(|line| !line.starts_with("```"))
        .filter(|line| !line.trim().is_empty())
        .collect();
    let lacks = |part: &&str| !program.iter().any(|line| line.contains(*part));
    let uses = program
        .iter()
        .filter(|line| line.trim_start_matches("# ").starts_with("use "));
    let mut problems: Vec<String> = PARTS
        .into_iter()
        .filter(lacks)
        .map(|part| format!("it lacks `{part}`"))
        .collect();
    if program.len() > MAX_LINES {
        problems.push(format!("it has {} lines", program.len()));
    }
    if uses.count() != 1 {
        problems.push("it does not have one `use`".to_owned());
    }
    let finding = |message| Finding {
        path: path.to_owned(),
        line: before + 1,
        message,
    };
    problems.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# x\n\n```rust,no_run\nuse rcmgr::prelude::*;\n";
    const BODY: &str = "l.accept();\nm.open_connection();\n";

    fn check_program(program: &str) -> Vec<String> {
        let findings = check(
            "README.md",
            &format!("{program}```\n\n```rust\nuse other;\n```\n"),
        );
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_program_that_is_long_or_lacks_a_part_is_found() {
        assert_eq!(check_program(&format!("{HEAD}{BODY}")), [""; 0]);
        let long = format!("{HEAD}{BODY}{}", "f();\n".repeat(10));
        assert_eq!(check_program(&long), ["README.md:3: it has 13 lines"]);
        let two = format!("{HEAD}{BODY}# use std::fmt;\n");
        assert_eq!(
            check_program(&two),
            ["README.md:3: it does not have one `use`"]
        );
        assert_eq!(check_program(HEAD).len(), 2);
    }
}
