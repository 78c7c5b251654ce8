//! The engines of the study.

mod chain;
mod floor;
mod managed;
mod opening;
mod semaphore;
mod simulated;
mod workers;

use std::sync::atomic::AtomicU64;

use rcmgr_atomic::{Builder, Manager};
use rcmgr_core::NullResourceManager;

use crate::engine::Engine;
use crate::mutex::MutexResourceManager;
use crate::setting::Setting;
use floor::Floor;
use managed::Managed;
use semaphore::Semaphores;

pub use opening::{connection, stream, stream_through};
pub use simulated::simulated_engines;

/// All engines, in the order of the report.
pub fn engines() -> Vec<Box<dyn Engine>> {
    vec![
        Box::new(Floor::<AtomicU64>::new()),
        Box::new(Managed {
            name: "atomic",
            about: "rcmgr-atomic with its defaults",
            has_limits: true,
            manager: |setting| atomic(setting, |builder| builder),
        }),
        Box::new(Managed {
            name: "atomic-exact",
            about: "rcmgr-atomic without prepaid credit: every reservation charges every scope",
            has_limits: true,
            manager: |setting| atomic(setting, |builder| builder.prepaid_credit(0, 0)),
        }),
        Box::new(Managed {
            name: "mutex",
            about: "the design of go-libp2p: a parking_lot mutex for each scope",
            has_limits: true,
            manager: MutexResourceManager::of,
        }),
        Box::new(Semaphores),
        Box::new(Managed {
            name: "null",
            about: "NullResourceManager, which accepts everything and counts nothing",
            has_limits: false,
            manager: |_| NullResourceManager,
        }),
    ]
}

fn atomic(setting: &Setting, tune: impl Fn(Builder) -> Builder) -> Manager {
    let builder = Manager::builder()
        .limits(setting.limits.clone())
        .clock(setting.clock.clone());
    tune(builder).build().expect("the default addresses work")
}
