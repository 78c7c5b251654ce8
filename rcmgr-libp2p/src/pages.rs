//! The chapters of the book about libp2p: their programs are tests.

#[doc = include_str!("../../docs/src/using/rust-libp2p.md")]
struct RustLibp2p;
#[doc = include_str!("../../docs/src/using/coming-from-go-libp2p.md")]
struct ComingFromGoLibp2p;
#[doc = include_str!("../../docs/src/using/moving-from-connection-limits.md")]
struct MovingFromConnectionLimits;
