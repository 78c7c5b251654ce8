//! What these tests share.

use rcmgr_atomic::{
    Connection, Direction, Endpoint, Error, LimitExceeded, Limits, Manager, PeerId, ScopeClass,
    Stream, UsesFd,
};

/// The scopes that are always there.
pub const BUILT_IN: [ScopeClass; 4] = [
    ScopeClass::System,
    ScopeClass::Transient,
    ScopeClass::AllowlistedSystem,
    ScopeClass::AllowlistedTransient,
];

pub fn manager(tighten: impl FnOnce(&mut Limits)) -> Manager {
    let mut limits = Limits::unlimited();
    tighten(&mut limits);
    Manager::new(limits).unwrap()
}

pub fn peer() -> PeerId {
    "tenant-7".parse().unwrap()
}

pub fn connection(manager: &Manager) -> Connection {
    manager
        .open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)
        .unwrap()
}

pub fn stream(manager: &Manager) -> Stream {
    manager.open_stream(&peer(), Direction::Inbound).unwrap()
}

pub fn refused(error: Error) -> LimitExceeded {
    match error {
        Error::LimitExceeded(refused) => refused,
        other => panic!("not a limit: {other}"),
    }
}
