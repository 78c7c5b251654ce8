//! The number of requests that may wait.

use crate::{Folder, Run, squeezed};

const FILE: &str = "Waiters = 16\n[System]\nFD = 900\n";

#[test]
fn waiters_are_shown_with_the_line_that_sets_them() {
    let folder = Folder::new(
        "waiters",
        &[("16.toml", FILE), ("0.json", "{\"Waiters\": 0}")],
    );
    let shown = folder.limits(&["16.toml"]).good();
    assert!(
        shown.ends_with(
            "\nrequests that may wait  value  from\nWaiters                 16     16.toml:1\n"
        ),
        "{shown}"
    );
    // A later file wins, and what no file sets is left out of the table.
    let both = folder.limits(&["16.toml", "0.json"]);
    assert_eq!(squeezed(both.line("Waiters")), "Waiters 0 0.json:1");
    assert!(!folder.limits(&[]).good().contains("Waiters"));
    assert!(
        !folder
            .limits(&["16.toml", "--scope", "System"])
            .good()
            .contains("Waiters")
    );

    let explained = folder.limits(&["16.toml", "--explain"]);
    assert_eq!(squeezed(explained.line("Waiters")), "Waiters 16 16.toml:1");
    let json = folder.limits(&["16.toml", "--explain", "--json"]).good();
    let values: serde_json::Value = serde_json::from_str(&json).unwrap();
    let waiters = values.as_array().unwrap().last().unwrap();
    let expected = serde_json::json!({
        "scope": "", "field": "Waiters", "limit": 16, "from": "16.toml:1",
    });
    assert_eq!(*waiters, expected);
}

#[test]
fn written_files_have_waiters_before_their_tables() {
    let folder = Folder::new("waiters-written", &[("16.toml", FILE)]);
    let toml = folder.limits(&["16.toml", "--toml"]).good();
    let line = "Waiters = 16                  # 16.toml:1";
    assert_eq!(toml.lines().nth(2), Some(line), "{toml}");
    let json = folder.limits(&["--json"]).good();
    assert!(
        json.starts_with("{\n  \"Waiters\": 1024,\n  \"System\": {"),
        "{json}"
    );
    let of_one_scope = folder
        .limits(&["16.toml", "--json", "--scope", "System"])
        .good();
    assert!(!of_one_scope.contains("Waiters"), "{of_one_scope}");
}

#[test]
fn a_changed_number_of_waiters_is_one_difference() {
    let dry_run = format!("{FILE}[DryRun.System]\nFD = 5\n");
    let files = [("16.toml", FILE), ("none.toml", ""), ("dry.toml", &dry_run)];
    let folder = Folder::new("waiters-diff", &files);
    let run = folder.limits(&["diff", "none.toml", "dry.toml"]);
    let expected = "System.FD: 1000 -> 900\n\
                    Waiters: 1024 -> 16\n\
                    DryRun: added\n\
                    DryRun.System.FD: 1000 -> 5\n";
    assert_eq!(run, Run::new(1, expected, ""));
    assert_eq!(
        folder.limits(&["diff", "16.toml", "16.toml"]),
        Run::new(0, "", "")
    );
}

#[test]
fn waiters_in_a_table_are_a_mistake_with_its_line() {
    let files = [("late.toml", "[System]\nFD = 9\nWaiters = 5\n")];
    let folder = Folder::new("waiters-late", &files);
    let error = folder.limits(&["check", "late.toml"]).wrong_file();
    assert_eq!(
        error,
        "late.toml:3: System.Waiters: this number is for all scopes: write Waiters at the top of \
         the file, before the tables\n"
    );
}
