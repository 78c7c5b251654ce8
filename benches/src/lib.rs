//! The contention study of rcmgr: the cost of an operation on one thread and under contention, in
//! this engine and in others that do the same work.
//!
//! | to learn about | see |
//! | --- | --- |
//! | the work | [`Workload`], [`Sharing`], [`Place`]: together a [`Case`] |
//! | the implementations | [`Engine`], [`engines`] |
//! | the measurement | [`study`], [`throughput`] |
//! | the result | [`Report`], [`Row`] |
//! | the same on a machine with more cores | [`simulate`] |
//! | its scaling as two numbers | [`Law`] |
//! | two runs compared | [`Comparison`] |
//!
//! An engine of one's own takes part in [`study_with`] and [`simulate_with`]. It is a way to count, with
//! [`counting`]; a whole [`ResourceManager`](rcmgr_core::ResourceManager), with [`managed`]; or an
//! [`Engine`] that implements the workloads itself.

#![forbid(unsafe_code)]

mod case;
mod compare;
mod engine;
mod engines;
mod machine;
mod measure;
mod mutex;
mod mutex_simulated;
mod options;
#[cfg(doctest)]
mod pages;
mod pin;
mod plan;
mod report;
mod scalability;
mod setting;
mod simulation;
mod stats;
mod study;

pub use case::{Case, Place, SIZE, Sharing, UnknownName, Workload};
pub use compare::{Compared, Comparison, Condition, Verdict};
pub use engine::{Engine, Setup, Unexpected, Worker};
pub use engines::{
    Gauge, Word, connection, counting, engines, managed, simulated_engines, stream, stream_through,
};
pub use machine::Machine;
pub use measure::{Slice, throughput};
pub use mutex::MutexResourceManager;
pub use options::Options;
pub use report::{
    Beside, Curve, EngineInfo, HotWord, LeftOut, Method, NoReport, Order, Ratio, Report, Row,
    Simulated,
};
pub use scalability::Law;
pub use setting::{PROTOCOL, SERVICE, Setting, SteppedClock, peer, plenty};
pub use simulation::{SimulationOptions, calibrate, simulate, simulate_with};
pub use stats::{interval, median, ratio_interval, spread};
pub use study::{Progress, StudyError, study, study_with};
