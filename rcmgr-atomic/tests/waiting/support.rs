//! What these tests share.

use rcmgr_atomic::{
    Connection, Direction, Endpoint, Error, Limits, Manager, MemoryGuard, PeerId, Priority,
    ReserveWhenAvailable, Scope, UsesFd,
};
use tokio_test::task::{Spawn, spawn};

/// A manager whose system scope may hold 100 bytes.
pub fn manager() -> Manager {
    with_limits(|limits| limits.system.memory = 100.into())
}

/// A manager with no limits but those that `set` sets.
pub fn with_limits(set: impl FnOnce(&mut Limits)) -> Manager {
    let mut limits = Limits::unlimited();
    set(&mut limits);
    Manager::new(limits).unwrap()
}

pub fn peer(name: &str) -> PeerId {
    name.parse().unwrap()
}

pub fn connection(manager: &Manager) -> Connection {
    let opened = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None);
    opened.unwrap()
}

pub fn wait(scope: &Scope, size: u64) -> Spawn<ReserveWhenAvailable<&Scope>> {
    wait_at(scope, size, Priority::Always)
}

pub fn wait_at(
    scope: &Scope,
    size: u64,
    priority: Priority,
) -> Spawn<ReserveWhenAvailable<&Scope>> {
    spawn(scope.reserve_when_available(size, priority))
}

pub fn hold(scope: &Scope, size: u64) -> MemoryGuard<&Scope> {
    scope.reserve(size, Priority::Always).unwrap()
}

pub fn is_closed(error: &Error) -> bool {
    matches!(error, Error::ScopeClosed { .. })
}

/// Checks that nothing waits, and that nothing is in use but what services hold.
pub fn nothing_is_left(manager: &Manager) {
    assert!(manager.waiting().is_empty(), "{:?}", manager.waiting());
    assert_eq!(manager.addresses().stat().permits, 0);
    for scope in manager.scopes() {
        assert!(scope.stat.is_zero(), "{}: {}", scope.id, scope.stat);
    }
    let totals = manager.wait_totals();
    let begun: u64 = totals.iter().map(|totals| totals.begun).sum();
    let ends = totals
        .iter()
        .map(|totals| totals.granted + totals.refused + totals.given_up);
    assert_eq!(begun, ends.sum::<u64>(), "each wait ends once");
}
