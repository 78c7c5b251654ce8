//! Limits that are lowered below the usage: sessions are kept, or shed.

use std::time::Duration;

use rcmgr_atomic::Limits;
use rcmgr_guard::Overflow;

use crate::support::{
    Echo, Proxy, echo, expect_end, expect_reset, one_of_each_address, run, with_sessions,
};

#[test]
fn a_limit_lowered_below_the_usage_refuses_new_clients_and_keeps_the_others() {
    run(async || {
        let backend = Echo::start().await;
        let mut proxy = Proxy::start(with_sessions(5), &[backend.address], |_| {});
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(proxy.served().await);
        }
        proxy.manager.set_limits(with_sessions(2));
        tokio::time::sleep(Duration::from_millis(600)).await;
        expect_end(&mut proxy.connect().await).await;
        for client in &mut clients {
            echo(client, b"alive").await;
        }
        assert_eq!(proxy.counts().refused_by_system, 1);
        // If it is asked for later, those that are too many are shed.
        proxy
            .apply(|settings| settings.overflow = Overflow::ShedIdle)
            .unwrap();
        proxy.has_open(2).await;
        assert_eq!(proxy.counts().shed, 3);
        drop(clients);
        proxy.end().await;
    });
}

#[test]
fn the_longest_idle_are_shed_when_a_limit_is_lowered_if_that_is_set() {
    run(async || {
        let backend = Echo::start().await;
        let mut proxy = Proxy::start(with_sessions(6), &[backend.address], |_| {});
        let mut clients = Vec::new();
        for _ in 0..6 {
            clients.push(proxy.served().await);
        }
        proxy
            .apply(|settings| settings.overflow = Overflow::ShedIdle)
            .unwrap();
        // Two of them are idle, and the others move bytes.
        let mut idle = vec![clients.remove(4), clients.remove(2)];
        let mut busy = clients;
        for _ in 0..15 {
            for client in &mut busy {
                echo(client, b"busy").await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(proxy.counts().open, 6);
        proxy.manager.set_limits(with_sessions(4));
        for client in &mut idle {
            expect_reset(client).await;
        }
        // And no more than that.
        tokio::time::sleep(Duration::from_millis(600)).await;
        for client in &mut busy {
            echo(client, b"alive").await;
        }
        assert_eq!((proxy.counts().shed, proxy.counts().open), (2, 4));
        drop(busy);
        proxy.end().await;
    });
}

#[test]
fn a_lowered_limit_of_a_peer_a_service_or_an_address_sheds_its_sessions_alone() {
    run(async || {
        let backend = Echo::start().await;
        let lower: [fn() -> Limits; 3] = [
            || {
                let mut limits = Limits::unlimited();
                limits.peer_default.conns_inbound = 1.into();
                limits
            },
            || {
                let mut limits = Limits::unlimited();
                limits.service_peer_default.fd = 1.into();
                limits
            },
            one_of_each_address,
        ];
        for lower in lower {
            let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |settings| {
                settings.overflow = Overflow::ShedIdle;
            });
            let mut clients = Vec::new();
            for last in [1, 2, 1, 3, 1] {
                let mut client = proxy.connect_from([127, 0, 5, last]).await;
                echo(&mut client, b"hello").await;
                clients.push(client);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            proxy.manager.set_limits(lower());
            proxy.has_open(3).await;
            // Of the first address, the newest is left.
            for shed in [0, 2] {
                expect_reset(&mut clients[shed]).await;
            }
            for kept in [1, 3, 4] {
                echo(&mut clients[kept], b"alive").await;
            }
            assert_eq!(proxy.counts().shed, 2);
            drop(clients);
            proxy.end().await;
        }
    });
}
