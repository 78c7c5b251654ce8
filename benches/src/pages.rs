//! The page of the book about an engine of one's own: its programs are tests.

#[doc = include_str!("../../docs/src/inside/own-engine.md")]
struct OwnEngine;
