//! README and the chapters of the book: their programs are tests.

#[doc = include_str!("../../README.md")]
struct Readme;
#[doc = include_str!("../../docs/src/operating/errors.md")]
struct Errors;
#[doc = include_str!("../../docs/src/operating/metrics.md")]
struct Metrics;
#[doc = include_str!("../../docs/src/operating/traces.md")]
struct Traces;
#[doc = include_str!("../../docs/src/using/concepts.md")]
struct Concepts;
#[doc = include_str!("../../docs/src/using/first-program.md")]
struct FirstProgram;
#[doc = include_str!("../../docs/src/using/limits-addresses.md")]
struct LimitsAddresses;
#[doc = include_str!("../../docs/src/using/limits-choosing.md")]
struct LimitsChoosing;
#[doc = include_str!("../../docs/src/using/limits-files.md")]
struct LimitsFiles;
#[doc = include_str!("../../docs/src/using/limits.md")]
struct Limits;
#[doc = include_str!("../../docs/src/using/manager.md")]
struct Manager;
#[doc = include_str!("../../docs/src/using/operations.md")]
struct Operations;
#[doc = include_str!("../../docs/src/using/protecting-a-server.md")]
struct ProtectingAServer;
#[doc = include_str!("../../docs/src/using/waiting.md")]
struct Waiting;
