//! A manager that is chosen at run time.

use std::sync::Arc;

use rcmgr_atomic::dynamic::{DynResourceManager, erase};
use rcmgr_atomic::{
    ConnectionScope, Direction, Endpoint, Priority, ResourceManager, ResourceScope, StreamScope,
    UsesFd,
};

use crate::support::{manager, peer};

#[test]
fn a_manager_chosen_at_run_time_does_the_same() {
    fn serve<M: ResourceManager>(manager: &M) -> rcmgr_atomic::Result<u64> {
        let connection =
            manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
        connection.set_peer(&peer())?;
        let stream = manager.open_stream(&peer(), Direction::Inbound)?;
        stream.set_protocol("/ping")?;
        let span = stream.begin_span()?;
        let inner = span.begin_span()?;
        let _held = inner.reserve(10, Priority::Always)?;
        Ok(manager.stat().system.memory)
    }
    let atomic = manager(|_| {});
    let dynamic: Arc<DynResourceManager> = erase(atomic.clone());
    assert_eq!(serve(&dynamic), Ok(10));
    assert_eq!(serve(&atomic), Ok(10));
    assert!(atomic.stat().system.is_zero());
}
