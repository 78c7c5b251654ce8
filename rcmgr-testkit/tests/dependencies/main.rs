//! The dependencies of each crate, and whether it can be published.
//!
//! `deny.toml` has the licences and bans. All checks work offline, from `cargo metadata` and
//! `cargo tree`.

mod bans;
mod layers;
mod licences;
mod publishing;
mod workspace;

use workspace::Workspace;

/// Fails with one line for each problem.
fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn licences_are_those_that_deny_toml_allows() {
    let workspace = Workspace::read();
    assert_none(&licences::check(
        &workspace.of_published(),
        &licences::Rules::read(),
    ));
}

#[test]
fn sources_and_bans_are_as_deny_toml_says() {
    let workspace = Workspace::read();
    assert_none(&bans::check(&workspace, &bans::Rules::read()));
}

#[test]
fn each_crate_keeps_to_its_layer() {
    assert_none(&layers::check(layers::LAYERS, layers::tree));
}

#[test]
fn each_published_crate_is_ready_to_publish() {
    let workspace = Workspace::read();
    let members = workspace.members();
    assert_none(&publishing::check(&members));
    assert_eq!(publishing::unpublished(&members), publishing::UNPUBLISHED);
}

#[test]
fn no_dependency_needs_a_newer_rust_than_the_workspace() {
    let workspace = Workspace::read();
    let oldest = workspace.rust_version();
    assert_none(&publishing::check_rust_version(workspace.all(), &oldest));
}
