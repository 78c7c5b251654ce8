//! The chapters of the book about libp2p: their programs are tests.

#[doc = include_str!("../../docs/src/using/rust-libp2p.md")]
struct RustLibp2p;
