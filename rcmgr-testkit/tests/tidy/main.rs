//! Holds the rules about the sources that prose alone lets drift.
//!
//! Each rule is a function over sources in a file of its own, with tests that break it in small sources. The tests here apply the rules to this workspace.

mod bits;
mod book;
mod circles;
mod floors;
mod heads;
mod imports;
mod log_tests;
mod loom_cfg;
mod modules;
mod orderings;
mod readme;
mod source;
mod tokens;
mod unsafe_code;

use source::Finding;

/// Fails with one line for each finding.
fn assert_none(rule: &str, findings: Vec<Finding>) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(
        lines.is_empty(),
        "{rule}: {} finding(s)\n{}",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn modules_import_each_other_in_no_circle() {
    let findings = source::crates()
        .iter()
        .flat_map(|sources| circles::check(sources, circles::ALLOWED))
        .collect();
    assert_none(circles::RULE, findings);
}

#[test]
fn imports_in_the_engine_point_down() {
    let engine = source::of_crate("rcmgr-atomic");
    assert_none(
        floors::RULE,
        floors::check(&engine, floors::FLOORS, circles::ALLOWED),
    );
}

#[test]
fn imports_in_the_proxy_point_down() {
    let proxy = source::of_crate("rcmgr-guard");
    assert_none(
        floors::RULE,
        floors::check(&proxy, floors::OF_THE_PROXY, circles::ALLOWED),
    );
}

#[test]
fn imports_in_the_crate_for_libp2p_point_down() {
    let libp2p = source::of_crate("rcmgr-libp2p");
    assert_none(
        floors::RULE,
        floors::check(&libp2p, floors::OF_LIBP2P, circles::ALLOWED),
    );
}

#[test]
fn unsafe_code_stands_in_lifetime_alone() {
    assert_none(unsafe_code::RULE, unsafe_code::check(&source::all()));
}

#[test]
fn shifts_and_masks_stand_in_words_alone() {
    let engine = source::of_crate("rcmgr-atomic");
    assert_none(bits::RULE, bits::check(&engine, bits::EXCEPTIONS));
}

#[test]
fn only_the_shim_and_the_list_of_internals_depend_on_loom() {
    assert_none(loom_cfg::RULE, loom_cfg::check(&source::all()));
}

#[test]
fn tests_that_listen_to_the_log_have_a_process_of_their_own() {
    for folder in source::members() {
        let files = source::texts(&format!("{folder}/tests"), ".rs");
        let found: Vec<_> = log_tests::check(&files)
            .into_iter()
            // The rule itself names the calls.
            .filter(|path| !path.ends_with("tidy/log_tests.rs"))
            .collect();
        assert!(found.is_empty(), "{}: {found:?}", log_tests::RULE);
    }
}

#[test]
fn every_file_opens_with_its_purpose() {
    assert_none(heads::RULE, heads::check(&source::all()));
}

#[test]
fn no_file_is_long_without_a_reason() {
    assert_none(heads::LENGTH_RULE, heads::check_length(&source::all()));
}

#[test]
fn every_ordering_stronger_than_relaxed_has_its_reason() {
    let engine = source::of_crate("rcmgr-atomic");
    assert_none(orderings::RULE, orderings::check(&engine));
}

#[test]
fn names_in_the_tables_of_the_book_exist_in_the_code() {
    assert_none(book::RULE, book::check(&book::chapters(), &book::code()));
}

#[test]
fn the_first_program_of_readme_is_short() {
    let path = "README.md";
    assert_none(readme::RULE, readme::check(path, &source::text(path)));
}
