//! The engines on a simulated machine. Each has the name of the real one, and the same sources.

use rcmgr_atomic_simulated::{Builder, Manager};
use rcmgr_machine::AtomicU64;

use super::combining::Combining;
use super::floor::Floor;
use super::managed::Managed;
use crate::engine::Engine;
use crate::mutex_simulated::MutexResourceManager;
use crate::setting::Setting;

/// The engines that can be simulated, in the order of the report.
pub fn simulated_engines() -> Vec<Box<dyn Engine>> {
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
            about: "the design of go-libp2p: a mutex for each scope, like that of parking_lot",
            has_limits: true,
            manager: MutexResourceManager::of,
        }),
        super::sloppy::<AtomicU64>(),
        super::striped::<AtomicU64>(),
        Box::new(Combining::<AtomicU64>::new()),
    ]
}

fn atomic(setting: &Setting, tune: impl Fn(Builder) -> Builder) -> Manager {
    let builder = Manager::builder()
        .limits(setting.limits.clone())
        .clock(setting.clock.clone());
    tune(builder).build().expect("the default addresses work")
}
