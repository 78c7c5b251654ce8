//! The page of the book about an engine of one's own has the program of the example.

#[test]
fn the_page_has_the_program_of_the_example() {
    let example = include_str!("../examples/own_engine.rs");
    let page = include_str!("../../docs/src/inside/own-engine.md");
    // Without the comment at the head.
    let (_, program) = example.split_once("\n\n").unwrap();
    let block = format!("```rust\n{program}```\n");
    assert!(page.contains(&block), "copy the example into the page");
}
