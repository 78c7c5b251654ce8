//! A test that listens to the log has a process of its own: what it hears must not depend on the
//! tests beside it.

pub const RULE: &str = "a test that listens to the log has a process of its own";

/// Paths of the files with such tests whose tests do not ask for a process of their own.
pub fn check(files: &[(String, String)]) -> Vec<&str> {
    let listens = |text: &str| {
        ["set_default(", "with_default(", "set_global_default("]
            .iter()
            .any(|call| text.contains(&format!("subscriber::{call}")))
    };
    let has_process = |text: &str| text.contains("if passed_in_own_process(");
    files
        .iter()
        .filter(|(_, text)| listens(text) && !has_process(text))
        .map(|(path, _)| path.as_str())
        .collect()
}

#[test]
fn a_test_that_listens_beside_others_is_found() {
    let listens = "fn t() { let _guard = tracing::subscriber::set_default(log); }";
    let alone = format!("fn t() {{ if passed_in_own_process(\"t\") {{ return; }} }} {listens}");
    let file = |text: &str| [("tests/a.rs".to_owned(), text.to_owned())];
    assert_eq!(check(&file(listens)), ["tests/a.rs"]);
    assert_eq!(check(&file(&alone)), [""; 0]);
    assert_eq!(check(&file("fn t() {}")), [""; 0]);
}
