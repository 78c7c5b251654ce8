//! What waiting leaves in memory: nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use allocation_counter::measure;
use rcmgr_atomic::{Direction, Endpoint, Priority, ReserveWhenAvailable, UsesFd};

use super::support::{connection, hold, manager, with_limits};

const REQUESTS: usize = if cfg!(debug_assertions) {
    100_000
} else {
    1_000_000
};

fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    Pin::new(future).poll(&mut context).is_pending()
}

#[test]
fn a_million_waits_one_after_the_other_leave_memory_as_before() {
    let manager = with_limits(|limits| {
        limits.system.memory = 100.into();
        limits.system.conns_inbound = 1.into();
    });
    let system = Arc::new(manager.view_system());
    let held = hold(&system, 100);
    let connection = connection(&manager);
    let wait = |number: usize| match number % 3 {
        0 => {
            let scope = system.clone();
            let mut waiting = ReserveWhenAvailable::new(scope, 50, Priority::Always);
            assert!(is_pending(&mut waiting));
        }
        1 => {
            let (direction, uses_fd) = (Direction::Inbound, UsesFd::Yes);
            let endpoint = Endpoint::None;
            let mut waiting = manager.open_connection_when_available(direction, uses_fd, endpoint);
            assert!(is_pending(&mut waiting));
        }
        _ => {
            let span = connection.begin_span().unwrap();
            let mut waiting = ReserveWhenAvailable::new(&span, 50, Priority::Always);
            assert!(is_pending(&mut waiting));
        }
    };
    (0..3).for_each(wait);
    let allocated = measure(|| (0..REQUESTS).for_each(wait));
    assert_eq!(allocated.bytes_current, 0, "{allocated:?}");
    drop(held);
    assert!(manager.waiting().is_empty());
}

#[test]
fn a_million_requests_that_wait_at_once_leave_memory_as_before() {
    let manager = manager();
    let system = Arc::new(manager.view_system());
    let held = hold(&system, 100);
    let connection = connection(&manager);
    // The first one makes what waiting takes once.
    let request = |number: usize| {
        let (size, priority) = (1 + number as u64 % 50, Priority::Level(number as u8 | 128));
        let mut waiting = ReserveWhenAvailable::new(&connection, size, priority);
        assert!(is_pending(&mut waiting));
        waiting
    };
    drop(request(0));
    let mut each = 0;
    let allocated = measure(|| {
        let mut waiting = Vec::new();
        let inside = measure(|| {
            waiting.reserve_exact(REQUESTS);
            waiting.extend((0..REQUESTS).map(request));
        });
        each = inside.bytes_current / REQUESTS as i64;
        assert_eq!(manager.waiting()[0].requests, REQUESTS as u64);
        // From both ends, so that heads and others leave.
        while waiting.pop().is_some() {
            let at = waiting.len() / 2;
            if at > 0 {
                drop(waiting.swap_remove(at));
            }
        }
    });
    println!("{REQUESTS} requests that wait: {each} bytes each, with the future");
    assert_eq!(allocated.bytes_current, 0, "{allocated:?}");
    assert!(each < 1_024, "{each} bytes");
    drop(held);
    assert!(manager.waiting().is_empty());
}
