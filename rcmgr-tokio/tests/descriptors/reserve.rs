//! File descriptors that stay in reserve.

use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_core::{LimitValue, Limits};
use rcmgr_testkit::passed_in_own_process;
use rcmgr_tokio::{Guarded, Refusal};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::log::Warnings;
use crate::{clients, listener, open, open_files, run};

const RESERVE: u64 = 32;

/// Accepts the connections that have arrived.
async fn accept_all(listener: &Guarded<TcpListener>) -> Vec<rcmgr_tokio::GuardedStream<TcpStream>> {
    let mut streams = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), listener.accept()).await {
        streams.push(stream);
    }
    streams
}

#[test]
fn the_limit_of_descriptors_is_lowered_to_what_is_free_less_the_reserve() {
    if passed_in_own_process(
        "reserve::the_limit_of_descriptors_is_lowered_to_what_is_free_less_the_reserve",
    ) {
        return;
    }
    run(async |limit| {
        let warnings = Warnings::default();
        let _guard = tracing::subscriber::set_default(warnings.clone());
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let (listener, address) = listener().await;
        let _clients = clients(30, address).await;
        let listener = Guarded::new(listener, manager.clone()).descriptors_in_reserve(RESERVE);
        limit.leave(RESERVE + 10);
        let (at_start, allowed) = (open(), open() + RESERVE + 10);

        let streams = accept_all(&listener).await;
        assert_eq!(streams.len(), 10);
        // The others are ordinary refusals of the system scope.
        let system = manager.view_system();
        assert_eq!(system.limit().fd, LimitValue::Limited(10));
        assert_eq!(system.refusals().fd, 20);
        let [warned] = <[String; 1]>::try_from(warnings.take()).unwrap();
        for part in [
            "from unlimited to 10".to_owned(),
            format!("{allowed} may be open"),
            format!("{at_start} were open at start"),
            format!("{RESERVE} stay in reserve"),
        ] {
            assert!(warned.contains(&part), "{warned}: {part}");
        }
        // The reserve is there.
        let files = open_files(100);
        assert_eq!(files.len() as u64, RESERVE);
    });
}

#[test]
fn after_a_change_of_the_limits_the_new_one_is_lowered_too() {
    if passed_in_own_process("reserve::after_a_change_of_the_limits_the_new_one_is_lowered_too") {
        return;
    }
    run(async |limit| {
        let warnings = Warnings::default();
        let _guard = tracing::subscriber::set_default(warnings.clone());
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let (listener, address) = listener().await;
        let mut waiting = clients(3, address).await;
        let listener = Guarded::new(listener, manager.clone()).descriptors_in_reserve(RESERVE);
        limit.leave(RESERVE + 10);
        let system = manager.view_system();
        let mut streams = vec![listener.accept().await];
        assert_eq!(system.limit().fd, LimitValue::Limited(10));
        assert_eq!(warnings.take().len(), 1);

        // Higher than there is room for, and with another limit beside it.
        let mut limits = Limits::unlimited();
        limits.system.fd = 1000.into();
        limits.system.memory = 4096.into();
        manager.set_limits(limits);
        streams.push(listener.accept().await);
        assert_eq!(system.limit().fd, LimitValue::Limited(10));
        assert_eq!(system.limit().memory, LimitValue::Limited(4096));
        assert!(warnings.take()[0].contains("from 1000 to 10"));

        // Low enough.
        let mut limits = Limits::unlimited();
        limits.system.fd = 5.into();
        manager.set_limits(limits);
        streams.push(listener.accept().await);
        assert_eq!(system.limit().fd, LimitValue::Limited(5));
        assert_eq!(system.limit().memory, LimitValue::Unlimited);
        assert_eq!(warnings.take(), Vec::<String>::new());
        waiting.clear();
    });
}

#[test]
fn sockets_that_the_manager_counts_are_not_counted_twice() {
    run(async |limit| {
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let (first, first_address) = listener().await;
        let (second, second_address) = listener().await;
        let _clients = clients(5, first_address).await;
        let _client = clients(1, second_address).await;
        let without_reserve = Guarded::new(first, manager.clone());
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(without_reserve.accept().await);
        }
        // Without the call nothing is limited.
        let system = manager.view_system();
        assert_eq!(system.limit().fd, LimitValue::Unlimited);

        let with_reserve = Guarded::new(second, manager.clone()).descriptors_in_reserve(RESERVE);
        limit.leave(RESERVE + 10);
        streams.push(with_reserve.accept().await);
        assert_eq!(system.limit().fd, LimitValue::Limited(15));
    });
}

#[test]
fn replies_to_refused_clients_do_not_use_up_the_reserve() {
    run(async |limit| {
        const REPLIES: u64 = 64;
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let (listener, address) = listener().await;
        let _clients = clients(100, address).await;
        let listener = Guarded::new(listener, manager.clone())
            .descriptors_in_reserve(RESERVE)
            .on_refusal(Refusal::Reply(b"busy\r\n"));
        limit.leave(REPLIES + RESERVE + 10);
        // The clients read nothing and stay connected, so the sockets of the replies stay open.
        let streams = accept_all(&listener).await;
        assert_eq!(streams.len(), 10);
        assert_eq!(manager.view_system().refusals().fd, 90);
        assert!(open_files(100).len() as u64 >= RESERVE);
    });
}

#[test]
fn a_reserve_that_leaves_nothing_refuses_every_connection() {
    run(async |limit| {
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let (listener, address) = listener().await;
        let _clients = clients(3, address).await;
        let listener = Guarded::new(listener, manager.clone()).descriptors_in_reserve(1_000_000);
        limit.leave(20);
        assert!(accept_all(&listener).await.is_empty());
        let system = manager.view_system();
        assert_eq!(system.limit().fd, LimitValue::BLOCK_ALL);
        assert_eq!(system.refusals().fd, 3);
    });
}
