//! README and the chapters of the book: their programs are tests.

#[doc = include_str!("../../README.md")]
struct Readme;
#[doc = include_str!("../../docs/src/introduction.md")]
struct Introduction;
#[doc = include_str!("../../docs/src/first-program.md")]
struct FirstProgram;
#[doc = include_str!("../../docs/src/concepts.md")]
struct Concepts;
#[doc = include_str!("../../docs/src/limits.md")]
struct ChoosingLimits;
#[doc = include_str!("../../docs/src/engine.md")]
struct TheEngine;
#[doc = include_str!("../../docs/src/limitations.md")]
struct Limitations;
#[doc = include_str!("../../docs/src/development.md")]
struct Development;
#[doc = include_str!("../../docs/src/traces.md")]
struct Traces;
