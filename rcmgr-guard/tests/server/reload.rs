//! Reload of the settings and of the listeners, and several workers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::{Limits, Manager};
use rcmgr_guard::{Queue, Server};
use tokio::net::TcpStream;

use crate::support::{
    Echo, LONG, Proxy, echo, expect_end, in_time, is_zero, listen, localhost, run, settings,
    with_sessions,
};

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
                proxy.manager.set_limits(with_sessions(1000 + at as u64));
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
        drop(std::net::TcpListener::bind(first).unwrap());
        echo(&mut old, b"still here").await;
        // And can be listened on again at once.
        for _ in 0..3 {
            for count in [2, 1] {
                proxy
                    .apply(|settings| {
                        settings.listeners.truncate(1);
                        let mut again = listen(&[backend.address]);
                        again.on = first;
                        settings.listeners.push(again);
                        settings.listeners.truncate(count);
                    })
                    .unwrap();
            }
        }
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

/// A port that nothing listens on.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(localhost(0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_listener_that_is_its_own_backend_is_refused_at_start_however_it_is_written() {
    run(async || {
        // The system reads `0x7f000001` as a name of 127.0.0.1.
        for backend in ["127.0.0.1", "0.0.0.0", "localhost", "0x7f000001"] {
            for on in ["127.0.0.1", "0.0.0.0", "::"] {
                let port = free_port();
                let mut own = settings(&[localhost(9)]);
                own.listeners[0].on = (on.parse::<std::net::IpAddr>().unwrap(), port).into();
                let backend = format!("{backend}:{port}");
                own.listeners[0].to.push(backend.clone().into());
                let manager = Manager::new(Limits::unlimited()).unwrap();
                let error = Server::start(manager, own).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
                assert!(error.to_string().contains(&backend), "{error}");
                // Nothing was opened, not even for a moment.
                std::net::TcpListener::bind(localhost(port)).unwrap();
            }
        }
        // A socket that is open already has a port that the settings do not have.
        let socket = std::net::TcpListener::bind(localhost(0)).unwrap();
        let own = settings(&[socket.local_addr().unwrap()]);
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let opened = move |_| socket.try_clone().map(Some);
        let error = Server::start_with(manager, own, opened).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        // Another port of this machine is no listener of the server, and unknown names are no error.
        let mut other = settings(&[localhost(9)]);
        other.listeners[0].on = localhost(free_port());
        other.listeners[0].to.push("no-such-host.invalid:1".into());
        let manager = Manager::new(Limits::unlimited()).unwrap();
        drop(Server::start(manager, other).unwrap());
    });
}

#[test]
fn a_reload_that_makes_a_listener_a_backend_is_refused_and_changes_nothing() {
    run(async || {
        let backend = Echo::start().await;
        let mut proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        // The kernel has chosen the port.
        let own = proxy.address();
        for to in [own.to_string(), format!("0x7f000001:{}", own.port())] {
            let failed = proxy.apply(|settings| {
                settings.listeners.push(listen(&[]));
                settings.listeners[1].to = vec![to.clone().into()];
            });
            let error = failed.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains(&to), "{error}");
        }
        assert_eq!(proxy.server.addresses(), [own]);
        drop(proxy.served().await);
        proxy.end().await;
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
        assert!(is_zero(&manager));
    });
}

#[test]
fn a_listener_that_was_removed_can_be_added_again_at_once() {
    run(async || {
        let backend = Echo::start().await;
        for workers in [1, 3] {
            let mut proxy = Proxy::start(Limits::unlimited(), &[backend.address], |settings| {
                settings.workers.count = workers;
            });
            let again = proxy.address();
            for _ in 0..5 {
                proxy.apply(|settings| settings.listeners.clear()).unwrap();
                let mut listen = listen(&[backend.address]);
                listen.on = again;
                proxy
                    .apply(|settings| settings.listeners.push(listen))
                    .unwrap();
                assert_eq!(proxy.address(), again);
                drop(proxy.served().await);
            }
            proxy.end().await;
        }
    });
}
