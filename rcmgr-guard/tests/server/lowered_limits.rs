//! Limits that are lowered below the usage: sessions are kept, or shed.

use std::time::Duration;

use rcmgr_atomic::Limits;
use rcmgr_guard::{Descriptors, Overflow, Queue};

use crate::support::{
    Echo, LONG, Proxy, echo, expect_end, expect_reset, one_of_each_address, run, with_sessions,
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
fn in_a_dry_run_nothing_is_refused_queued_or_shed_and_everything_is_reported() {
    run(async || {
        let backend = Echo::start().await;
        let mut limits = Limits::unlimited();
        let mut dry = one_of_each_address();
        dry.system.conns_inbound = 2.into();
        dry.peer_default.conns_inbound = 1.into();
        limits.dry_run = Some(dry.into());
        // As the command does. Else the server lowers the limit of the system alone, which holds in the
        // dry run too.
        let settings = crate::support::settings(&[backend.address]);
        let (allowed, _) = rlimit::Resource::NOFILE.get().unwrap();
        Descriptors::of(&settings, allowed.saturating_sub(100)).clamp(&mut limits);
        let proxy = Proxy::start(limits, &[backend.address], |settings| {
            settings.overflow = Overflow::ShedIdle;
            settings.listeners[0].queue = Some(Queue {
                most: 10,
                longest: LONG,
            });
        });
        let mut clients = Vec::new();
        for last in [1, 1, 2, 3] {
            let mut client = proxy.connect_from([127, 0, 6, last]).await;
            echo(&mut client, b"hello").await;
            clients.push(client);
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
        for client in &mut clients {
            echo(client, b"alive").await;
        }
        let counts = proxy.counts();
        let none = (counts.refused(), counts.queued, counts.shed);
        assert_eq!((none, counts.open), ((0, 0, 0), 4));
        let mut refused_by = Vec::new();
        proxy.manager.for_each_scope(|report| {
            if report.dry_run_refusals.total() > 0 {
                refused_by.push(report.id.to_string());
            }
        });
        refused_by.sort();
        assert_eq!(refused_by, ["peer:127.0.6.1", "system"]);
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
