//! The engines of the study.

mod apart;
mod chain;
mod combining;
mod floor;
mod gauge;
mod managed;
mod opening;
mod semaphore;
mod simulated;
mod sloppy;
mod striped;
mod word;
mod workers;

#[cfg(test)]
mod bounds;

use std::sync::atomic::AtomicU64;

use rcmgr_atomic::{Builder, Manager};
use rcmgr_core::NullResourceManager;

use crate::engine::Engine;
use crate::mutex::MutexResourceManager;
use crate::setting::Setting;
use combining::Combining;
use floor::Floor;
use managed::Managed;
use semaphore::Semaphores;
use sloppy::Sloppy;
use striped::Striped;

pub use gauge::{Gauge, counting};
pub use managed::managed;
pub use opening::{connection, stream, stream_through};
pub use simulated::simulated_engines;
pub use word::Word;

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
            about: "the design of go-libp2p: a mutex for each scope, which waits as Go's does",
            has_limits: true,
            manager: MutexResourceManager::of,
        }),
        Box::new(Semaphores),
        sloppy::<AtomicU64>(),
        striped::<AtomicU64>(),
        Box::new(Combining::<AtomicU64>::new()),
        Box::new(Managed {
            name: "null",
            about: "NullResourceManager, which accepts everything and counts nothing",
            has_limits: false,
            manager: |_| NullResourceManager,
        }),
    ]
}

fn sloppy<W: Word>() -> Box<dyn Engine> {
    counting::<Sloppy<W>>(
        "sloppy",
        "sloppy counters without names or handles: each thread keeps up to eight requests of spare \
         room. Never over a limit, but room that other threads keep is refused",
    )
}

fn striped<W: Word>() -> Box<dyn Engine> {
    counting::<Striped<W>>(
        "striped",
        "striped adders without names or handles, like LongAdder; the limit is checked by the sum of \
         all cells. Never over a limit, but threads that ask for the last room at the same time may \
         refuse each other",
    )
}

fn atomic(setting: &Setting, tune: impl Fn(Builder) -> Builder) -> Manager {
    let builder = Manager::builder()
        .limits(setting.limits.clone())
        .clock(setting.clock.clone());
    tune(builder).build().expect("the default addresses work")
}
