//! Timeouts that hold while the usage is near a limit.

use std::cell::Cell;
use std::time::Duration;

use rcmgr_atomic::Limits;
use rcmgr_core::Limit;
use rcmgr_guard::NearLimit;
use tokio::io::AsyncWriteExt;

use crate::support::{Echo, Proxy, echo, expect, expect_end, run, with_sessions};

const SHORT: Duration = Duration::from_millis(200);
/// Much longer than a sweep takes to notice.
const LATER: Duration = Duration::from_millis(600);
const OFF: NearLimit = NearLimit {
    from: 75,
    first_byte: None,
    idle: None,
    half_closed: None,
};

/// A proxy with the shorter timeouts alone, in front of an echo backend.
async fn with_near_limit(limits: Limits, near: NearLimit) -> (Echo, Proxy) {
    let backend = Echo::start().await;
    let proxy = Proxy::start(limits, &[backend.address], |settings| {
        settings.listeners[0].timeouts.near_limit = Some(near);
    });
    (backend, proxy)
}

#[test]
fn idle_sessions_are_cut_sooner_while_the_system_is_near_a_limit_and_not_before() {
    run(async || {
        let idle = Some(SHORT);
        let (_backend, proxy) = with_near_limit(with_sessions(4), NearLimit { idle, ..OFF }).await;
        let mut first = proxy.served().await;
        let mut second = proxy.served().await;
        // Two of four are fewer than three quarters.
        tokio::time::sleep(LATER).await;
        echo(&mut second, b"alive").await;
        // The third makes it three quarters. Those that are idle end, and those that move bytes do not.
        let mut third = proxy.served().await;
        let has_ended = Cell::new(false);
        let ends = async {
            expect_end(&mut first).await;
            has_ended.set(true);
        };
        // It stops between two exchanges: one that is dropped leaves bytes on their way.
        let busy = async {
            while !has_ended.get() {
                echo(&mut third, b"busy").await;
                tokio::time::sleep(SHORT / 10).await;
            }
        };
        tokio::join!(ends, busy);
        // Then there is room, and the others may be idle.
        tokio::time::sleep(2 * SHORT).await;
        let counts = proxy.counts();
        assert!((1..=2).contains(&counts.cut_idle), "{counts:?}");
        echo(&mut third, b"alive").await;
        tokio::time::sleep(LATER).await;
        echo(&mut third, b"alive").await;
        drop((second, third));
        proxy.end().await;
    });
}

#[test]
fn a_service_near_its_own_limit_has_the_shorter_timeouts_too() {
    run(async || {
        let mut limits = Limits::unlimited();
        let most = Limit {
            fd: 2.into(),
            ..Limit::UNLIMITED
        };
        limits.service.insert("echo".into(), most);
        let idle = Some(SHORT);
        let (_backend, proxy) = with_near_limit(limits, NearLimit { idle, ..OFF }).await;
        expect_end(&mut proxy.served().await).await;
        assert_eq!(proxy.counts().cut_idle, 1);
        proxy.end().await;
    });
}

#[test]
fn silent_and_half_closed_clients_are_cut_sooner_near_a_limit() {
    run(async || {
        let near = NearLimit {
            first_byte: Some(SHORT),
            half_closed: Some(SHORT),
            ..OFF
        };
        let (_backend, proxy) = with_near_limit(with_sessions(100), near).await;
        let mut talker = proxy.served().await;
        let mut silent = proxy.connect().await;
        proxy.has_open(2).await;
        tokio::time::sleep(LATER).await;
        assert!(silent.try_read(&mut [0]).is_err());
        // A limit that is lowered is near too.
        proxy.manager.set_limits(with_sessions(2));
        expect_end(&mut silent).await;
        assert_eq!(proxy.counts().cut_first_byte, 1);
        echo(&mut talker, b"alive").await;
        drop(talker);
        proxy.end().await;

        let backend = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = backend.local_addr().unwrap();
        let proxy = Proxy::start(with_sessions(1), &[to], |settings| {
            settings.listeners[0].timeouts.near_limit = Some(near);
        });
        let mut client = proxy.connect().await;
        client.write_all(b"hello").await.unwrap();
        let (mut served, _) = backend.accept().await.unwrap();
        expect(&mut served, b"hello").await;
        client.shutdown().await.unwrap();
        expect_end(&mut client).await;
        assert_eq!(proxy.counts().cut_half_closed, 1);
        drop(served);
        proxy.end().await;
    });
}

#[test]
fn in_a_dry_run_no_timeout_is_shorter() {
    run(async || {
        let mut limits = Limits::unlimited();
        limits.dry_run = Some(with_sessions(1).into());
        let idle = Some(SHORT);
        let (_backend, proxy) = with_near_limit(limits, NearLimit { idle, ..OFF }).await;
        let mut client = proxy.served().await;
        tokio::time::sleep(LATER).await;
        echo(&mut client, b"alive").await;
        drop(client);
        proxy.end().await;
    });
}
