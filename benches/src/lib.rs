//! Benchmarks of rcmgr. They are run by `cargo bench`; see `benches/`.
