//! Reload, lowered limits, and the end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::{Limits, Manager};
use rcmgr_guard::{Overflow, Queue, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{
    Echo, LONG, Proxy, echo, eventually, expect_end, expect_reset, in_time, listen, localhost,
    one_of_each_address, rest, run, settings,
};

fn system(sessions: u64) -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = sessions.into();
    limits
}

#[test]
fn a_reload_cuts_no_connection_and_its_settings_hold_for_new_clients() {
    run(async || {
        let (before, after) = (Echo::start().await, Echo::start().await);
        let mut proxy = Proxy::start(Limits::unlimited(), &[before.address], |_| {});
        let mut old = proxy.served().await;
        proxy
            .apply(|settings| {
                let listen = &mut settings.listeners[0];
                listen.to = vec![after.address.to_string().into()];
                listen.service = "other".into();
            })
            .unwrap();
        let mut new = proxy.served().await;
        assert_eq!((before.served(), after.served()), (1, 1));
        echo(&mut old, b"still here").await;
        let stat = proxy.manager.stat();
        assert_eq!(stat.services["echo"].conns_inbound, 1);
        assert_eq!(stat.services["other"].conns_inbound, 1);
        echo(&mut new, b"here").await;
        drop((old, new));
        proxy.end().await;
    });
}

#[test]
fn reloads_among_many_connections_cut_none_and_leave_the_counts_exact() {
    const CLIENTS: usize = 400;
    run(async || {
        let backends = [Echo::start().await, Echo::start().await];
        let to = backends.each_ref().map(|backend| backend.address);
        let mut proxy = Proxy::start(Limits::unlimited(), &to, |_| {});
        let mut clients = Vec::new();
        for at in 0..CLIENTS {
            clients.push(proxy.served().await);
            if at % 20 == 0 {
                // One backend or both, with a second listener or without, other limits.
                let with_both = at % 40 == 0;
                proxy
                    .apply(|settings| {
                        settings.listeners.truncate(1);
                        let used = if with_both { &to[..] } else { &to[..1] };
                        settings.listeners[0].to = listen(used).to;
                        if with_both {
                            settings.listeners.push(listen(&to));
                        }
                    })
                    .unwrap();
                proxy.manager.set_limits(system(1000 + at as u64));
            }
        }
        for client in &mut clients {
            echo(client, b"alive").await;
        }
        let stat = proxy.manager.stat();
        let expected = CLIENTS as u64;
        for scope in [&stat.system, &stat.services["echo"]] {
            let counts = (scope.conns_inbound, scope.conns_outbound, scope.fd);
            assert_eq!(counts, (expected, expected, 2 * expected));
        }
        assert_eq!(proxy.counts().open, expected);
        drop(clients);
        proxy.end().await;
    });
}

#[test]
fn a_reload_adds_and_removes_listeners_and_sessions_of_removed_ones_go_on() {
    run(async || {
        let backend = Echo::start().await;
        let mut proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let first = proxy.address();
        let mut old = proxy.served().await;
        let other = Echo::start().await;
        proxy
            .apply(|settings| settings.listeners.push(listen(&[other.address])))
            .unwrap();
        let second = proxy.server.addresses()[1];
        assert_eq!(proxy.address(), first);
        let mut client = TcpStream::connect(second).await.unwrap();
        echo(&mut client, b"second").await;
        assert_eq!(other.served(), 1);

        // The second alone is left. The first address is free again.
        proxy
            .apply(|settings| {
                settings.listeners.remove(0);
                settings.listeners[0].on = second;
            })
            .unwrap();
        eventually("the address is free", || {
            std::net::TcpListener::bind(first).is_ok()
        })
        .await;
        echo(&mut old, b"still here").await;
        drop((old, client));
        proxy.end().await;
    });
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    run(async || {
        let backend = Echo::start().await;
        let mut proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let taken = std::net::TcpListener::bind(localhost(0)).unwrap();
        let taken_address = taken.local_addr().unwrap();
        let before = proxy.server.addresses();
        let failed = proxy.apply(|settings| {
            settings.listeners[0].service = "changed".into();
            settings.listeners.push(listen(&[backend.address]));
            let mut third = listen(&[backend.address]);
            third.on = taken_address;
            settings.listeners.push(third);
        });
        let error = failed.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(
            error.to_string().contains(&taken_address.to_string()),
            "{error}"
        );
        assert_eq!(proxy.server.addresses(), before);
        let client = proxy.served().await;
        assert_eq!(proxy.manager.stat().services["echo"].conns_inbound, 1);
        drop(client);
        proxy.end().await;
    });
}

#[test]
fn two_listeners_on_one_address_are_refused() {
    run(async || {
        let mut twice = settings(&[localhost(9)]);
        twice.workers.count = 2;
        twice.listeners[0].on = localhost(40_404);
        twice.listeners.push(twice.listeners[0].clone());
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let error = Server::start(manager, twice).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("127.0.0.1:40404"), "{error}");
    });
}

#[test]
fn a_shorter_timeout_of_a_reload_holds_for_running_sessions_too() {
    run(async || {
        let backend = Echo::start().await;
        let mut proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let mut client = proxy.served().await;
        proxy
            .apply(|settings| {
                settings.listeners[0].timeouts.idle = Some(Duration::from_millis(100));
            })
            .unwrap();
        expect_end(&mut client).await;
        proxy.end().await;
    });
}

#[test]
fn workers_share_the_clients_of_one_address() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |settings| {
            settings.workers.count = 3;
            settings.listeners[0].queue = Some(Queue {
                most: 10,
                longest: LONG,
            });
        });
        let mut clients = Vec::new();
        for _ in 0..50 {
            clients.push(proxy.served().await);
        }
        assert_eq!(proxy.counts().open, 50);
        drop(clients);
        proxy.end().await;
    });
}

#[test]
fn a_limit_lowered_below_the_usage_refuses_new_clients_and_keeps_the_others() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(system(5), &[backend.address], |_| {});
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(proxy.served().await);
        }
        proxy.manager.set_limits(system(2));
        tokio::time::sleep(Duration::from_millis(600)).await;
        expect_end(&mut proxy.connect().await).await;
        for client in &mut clients {
            echo(client, b"alive").await;
        }
        assert_eq!(proxy.counts().refused_by_system, 1);
        drop(clients);
        proxy.end().await;
    });
}

#[test]
fn the_longest_idle_are_shed_when_a_limit_is_lowered_if_that_is_set() {
    run(async || {
        let backend = Echo::start().await;
        let mut proxy = Proxy::start(system(6), &[backend.address], |_| {});
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
        proxy.manager.set_limits(system(4));
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

#[test]
fn a_drain_waits_for_sessions_and_ends_early_when_they_have_ended() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let address = proxy.address();
        let mut client = proxy.served().await;
        let drain = proxy.drain(LONG);
        eventually("nothing listens", || {
            std::net::TcpStream::connect(address).is_err()
        })
        .await;
        for _ in 0..5 {
            echo(&mut client, b"not finished yet").await;
            assert!(!drain.is_finished());
        }
        drop(client);
        let drained = in_time("the drain", drain).await.unwrap();
        assert_eq!((drained.closed_idle, drained.cut, drained.left), (0, 0, 0));
        proxy.end().await;
    });
}

#[test]
fn a_drain_closes_idle_sessions_one_after_the_other_and_busy_ones_at_the_deadline() {
    const IDLE: usize = 20;
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let mut busy = proxy.served().await;
        let mut ends = Vec::new();
        for _ in 0..IDLE {
            let mut client = proxy.served().await;
            ends.push(tokio::spawn(async move {
                // An orderly end.
                expect_end(&mut client).await;
                Instant::now()
            }));
        }
        let busy = tokio::spawn(async move {
            // Until the reset.
            loop {
                if busy.write_all(b"x").await.is_err() {
                    break;
                }
                if rest_so_far(&mut busy).await.is_err() {
                    break;
                }
            }
        });
        let within = Duration::from_secs(2);
        let start = Instant::now();
        let drained = proxy.drain(within).await.unwrap();
        let took = start.elapsed();
        assert!(
            took >= within && took < within + Duration::from_secs(2),
            "{took:?}"
        );
        assert_eq!(
            (drained.closed_idle, drained.cut, drained.left),
            (IDLE, 1, 0)
        );
        in_time("the busy one", busy).await.unwrap();
        let mut times = Vec::new();
        for end in ends {
            times.push(in_time("an end", end).await.unwrap() - start);
        }
        times.sort();
        // Spread over the time, and before the deadline.
        assert!(times[IDLE - 1] < within, "{times:?}");
        assert!(times[IDLE / 2] > within / 4, "{times:?}");
        let most_at_once = times.windows(6).map(|few| few[5] - few[0]).min().unwrap();
        assert!(most_at_once > Duration::from_millis(100), "{times:?}");
        proxy.end().await;
    });
}

/// Reads what is there, after a short wait.
async fn rest_so_far(client: &mut TcpStream) -> io::Result<()> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    match client.try_read(&mut [0; 64]) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

#[test]
fn a_drain_under_a_flood_ends_at_its_deadline() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let address = proxy.address();
        let flood: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn(async move {
                    let mut held = Vec::new();
                    // Until nothing listens any more.
                    while let Ok(mut client) = TcpStream::connect(address).await {
                        let _ = client.write_all(b"flood").await;
                        held.push(client);
                        if held.len() == 200 {
                            held.clear();
                        }
                    }
                })
            })
            .collect();
        eventually("the flood is there", || proxy.counts().connected > 200).await;
        let within = Duration::from_millis(700);
        let start = Instant::now();
        let drained = proxy.drain(within).await.unwrap();
        let took = start.elapsed();
        assert!(took < within + Duration::from_secs(2), "{took:?}");
        assert_eq!(drained.left, 0);
        for client in flood {
            in_time("a client of the flood", client).await.unwrap();
        }
        proxy.end().await;
    });
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let mut client = proxy.served().await;
        let drain = proxy.drain(LONG);
        let address = proxy.address();
        eventually("the drain has begun", || {
            std::net::TcpStream::connect(address).is_err()
        })
        .await;
        let start = Instant::now();
        proxy.server.cut();
        let drained = in_time("the drain", drain).await.unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        assert_eq!((drained.cut, drained.left), (1, 0));
        expect_reset(&mut client).await;
        assert!(crate::support::is_zero(&proxy.manager));
        proxy.end().await;
    });
}

#[test]
fn connections_that_have_arrived_are_served_when_their_listener_is_removed() {
    const CLIENTS: usize = 50;
    run(async || {
        let backend = Echo::start().await;
        let manager = Manager::new(Limits::unlimited()).unwrap();
        // The worker asks for the socket of each listener, and waits for the second answer.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        go.send(()).unwrap();
        let opened = move |_| {
            wait.lock().unwrap().recv().unwrap();
            Ok(None)
        };
        let first = settings(&[backend.address]);
        let server = Server::start_with(manager.clone(), first.clone(), opened).unwrap();
        let server = Arc::new(server);
        let address = server.addresses()[0];
        let reloaded = Arc::clone(&server);
        let reload = tokio::task::spawn_blocking(move || {
            let mut second = first;
            second.listeners[0].on = "127.0.0.2:0".parse().unwrap();
            reloaded.apply(second)
        });
        // Until the worker waits, it accepts.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let clients = (0..CLIENTS).map(|_| std::net::TcpStream::connect(address).unwrap());
        let clients = Vec::from_iter(clients);
        assert_eq!(manager.stat().system.conns_inbound, 0);
        go.send(()).unwrap();
        in_time("the reload", reload).await.unwrap().unwrap();
        for client in clients {
            client.set_nonblocking(true).unwrap();
            let mut client = TcpStream::from_std(client).unwrap();
            echo(&mut client, b"hello").await;
        }
        drop(server);
        assert!(crate::support::is_zero(&manager));
    });
}

#[test]
fn dropping_the_server_cuts_everything() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let mut client = proxy.served().await;
        let manager = proxy.manager.clone();
        drop(proxy);
        assert!(rest(&mut client).await.is_err());
        assert!(crate::support::is_zero(&manager));
    });
}
