//! The contention study of rcmgr: what an operation costs, alone and when threads meet, in this
//! engine and in others that do the same work.
//!
//! | to learn about | see |
//! | --- | --- |
//! | what is done | [`Workload`], [`Sharing`], [`Place`]: together a [`Case`] |
//! | what does it | [`Engine`], [`engines`] |
//! | how it is measured | [`study`], [`throughput`] |
//! | what comes out | [`Report`], [`Row`] |
//!
//! Another resource manager takes part with one more line in the list of [`engines`]: the
//! workloads are written for any [`ResourceManager`](rcmgr_core::ResourceManager).

#![forbid(unsafe_code)]

mod case;
mod engine;
mod engines;
mod machine;
mod measure;
mod mutex;
mod options;
mod pin;
mod plan;
mod report;
mod setting;
mod stats;
mod study;

pub use case::{Case, Place, SIZE, Sharing, UnknownName, Workload};
pub use engine::{Engine, Setup, Unexpected, Worker};
pub use engines::{connection, engines, stream, stream_through};
pub use machine::Machine;
pub use measure::{Slice, throughput};
pub use mutex::MutexResourceManager;
pub use options::Options;
pub use report::{EngineInfo, LeftOut, Method, Ratio, Report, Row};
pub use setting::{PROTOCOL, SERVICE, Setting, SteppedClock, peer, plenty};
pub use stats::{median, spread};
pub use study::{Progress, StudyError, study};
