//! Clients that wait for room.

use std::io;
use std::time::Duration;

use rcmgr_atomic::Limits;
use rcmgr_core::Limit;
use rcmgr_guard::{OnRefusal, Queue};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{
    Echo, LONG, Proxy, echo, eventually, expect, in_time, one_of_each_address, reset, rest, run,
};

/// Limits with so many sessions of the service `echo`.
fn sessions(most: u64) -> Limits {
    let mut limits = Limits::unlimited();
    limits.service.insert("echo".into(), inbound(most));
    limits
}

fn inbound(most: u64) -> Limit {
    Limit {
        conns_inbound: most.into(),
        ..Limit::UNLIMITED
    }
}

/// A proxy with a queue in front of an echo backend.
async fn with_queue(limits: Limits, most: usize, longest: Duration) -> (Echo, Proxy) {
    let backend = Echo::start().await;
    let proxy = Proxy::start(limits, &[backend.address], |settings| {
        settings.listeners[0].queue = Some(Queue { most, longest });
        settings.listeners[0].on_refusal = OnRefusal::Reply((*b"busy").into());
    });
    (backend, proxy)
}

/// A client that has sent its request, and waits.
async fn waiting(proxy: &Proxy, before: u64) -> TcpStream {
    let mut client = proxy.connect().await;
    client.write_all(b"hello").await.unwrap();
    proxy.has_waiting(before + 1).await;
    client
}

#[test]
fn clients_that_wait_are_served_in_the_order_in_which_they_came_on_all_workers() {
    const LINE: u64 = 20;
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(sessions(1), &[backend.address], |settings| {
            settings.workers.count = 3;
            settings.listeners[0].queue = Some(Queue {
                most: LINE as usize,
                longest: LONG,
            });
        });
        let mut current = proxy.served().await;
        let mut line = Vec::new();
        for before in 0..LINE {
            line.push(waiting(&proxy, before).await);
        }
        let mut times = Vec::new();
        for mut next in line {
            assert!(next.try_read(&mut [0]).is_err());
            let start = Instant::now();
            drop(current);
            expect(&mut next, b"hello").await;
            times.push(start.elapsed());
            current = next;
        }
        // The end of a session wakes the head, which would look again after 50 ms by itself.
        let fastest = times.iter().min().unwrap();
        assert!(*fastest < Duration::from_millis(25), "{times:?}");
        let counts = proxy.counts();
        assert_eq!(
            (counts.queued, counts.waiting, counts.refused()),
            (LINE, 0, 0)
        );
        // Waiting is no refusal for the manager either.
        assert_eq!(proxy.manager.view_service("echo").refusals().total(), 0);
        drop(current);
        proxy.end().await;
    });
}

#[test]
fn a_new_client_does_not_overtake_those_that_wait() {
    run(async || {
        let (_backend, proxy) = with_queue(sessions(1), 3, LONG).await;
        let current = proxy.served().await;
        let mut first = waiting(&proxy, 0).await;
        // There is room now, and the client that waits does not know yet.
        proxy.manager.set_limits(sessions(2));
        let mut second = proxy.connect().await;
        second.write_all(b"hello").await.unwrap();
        expect(&mut first, b"hello").await;
        proxy.has_waiting(1).await;
        drop(current);
        expect(&mut second, b"hello").await;
        drop((first, second));
        proxy.end().await;
    });
}

#[test]
fn a_client_over_the_bounds_of_the_queue_is_refused() {
    run(async || {
        let longest = Duration::from_millis(300);
        let (_backend, proxy) = with_queue(sessions(1), 1, longest).await;
        let current = proxy.served().await;
        let start = Instant::now();
        let mut first = waiting(&proxy, 0).await;
        // The queue is full.
        let mut second = proxy.connect().await;
        assert_eq!(rest(&mut second).await, Ok(b"busy".to_vec()));
        assert!(start.elapsed() < longest);
        // And the first one has waited for too long in the end.
        assert_eq!(rest(&mut first).await, Ok(b"busy".to_vec()));
        assert!(start.elapsed() >= longest);
        let counts = proxy.counts();
        assert_eq!((counts.queue_full, counts.queue_timed_out), (1, 1));
        // The manager knows of both, so its views name the limit.
        let refusals = proxy.manager.view_service("echo").refusals();
        assert_eq!(refusals.conns_inbound, 2);
        assert_eq!((counts.refused(), counts.refused_by_service), (2, 2));
        drop((current, first, second));
        proxy.end().await;
    });
}

#[test]
fn a_waiting_client_that_leaves_gives_its_place_to_the_next() {
    run(async || {
        let (_backend, proxy) = with_queue(sessions(1), 2, LONG).await;
        let current = proxy.served().await;
        // The end of a client that has sent nothing, and the reset of one that has.
        let silent = proxy.connect().await;
        proxy.has_waiting(1).await;
        drop(silent);
        proxy.has_waiting(0).await;
        reset(waiting(&proxy, 0).await);
        proxy.has_waiting(0).await;
        assert_eq!(proxy.counts().queue_left, 2);

        // The head leaves: the next one is served.
        let head = waiting(&proxy, 0).await;
        let mut next = waiting(&proxy, 1).await;
        reset(head);
        proxy.has_waiting(1).await;
        drop(current);
        expect(&mut next, b"hello").await;
        drop(next);
        proxy.end().await;
    });
}

#[test]
fn a_client_that_has_sent_its_request_and_its_end_keeps_its_place() {
    run(async || {
        let (_backend, proxy) = with_queue(sessions(1), 2, LONG).await;
        let current = proxy.served().await;
        let mut client = waiting(&proxy, 0).await;
        client.shutdown().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(proxy.counts().waiting, 1);
        drop(current);
        assert_eq!(rest(&mut client).await, Ok(b"hello".to_vec()));
        proxy.end().await;
    });
}

#[test]
fn a_limit_that_is_raised_lets_waiting_clients_in() {
    run(async || {
        let (_backend, proxy) = with_queue(sessions(1), 3, LONG).await;
        let current = proxy.served().await;
        let mut line = Vec::new();
        for before in 0..3 {
            line.push(waiting(&proxy, before).await);
        }
        proxy.manager.set_limits(sessions(3));
        for client in &mut line[..2] {
            expect(client, b"hello").await;
        }
        proxy.has_waiting(1).await;
        drop(current);
        expect(&mut line[2], b"hello").await;
        drop(line);
        proxy.end().await;
    });
}

#[test]
fn a_limit_that_is_lowered_below_those_that_wait_lets_in_as_many_as_fit() {
    run(async || {
        let (_backend, proxy) = with_queue(sessions(3), 5, LONG).await;
        let mut current = Vec::new();
        for _ in 0..3 {
            current.push(proxy.served().await);
        }
        let mut line = Vec::new();
        for before in 0..4 {
            line.push(waiting(&proxy, before).await);
        }
        proxy.manager.set_limits(sessions(1));
        current.truncate(1);
        proxy.has_open(1).await;
        // One is within the limit, so none of the line is let in.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(proxy.counts().waiting, 4);
        drop(current);
        for (at, mut next) in line.into_iter().enumerate() {
            expect(&mut next, b"hello").await;
            assert_eq!(proxy.counts().waiting, 3 - at as u64);
        }
        proxy.end().await;
    });
}

#[test]
fn clients_that_wait_are_refused_at_once_when_no_session_fits_any_more() {
    run(async || {
        let (_backend, proxy) = with_queue(sessions(1), 3, LONG).await;
        let mut current = proxy.served().await;
        let mut line = Vec::new();
        for before in 0..3 {
            line.push(waiting(&proxy, before).await);
        }
        proxy.manager.set_limits(sessions(0));
        for mut client in line {
            assert_eq!(rest(&mut client).await, Ok(b"busy".to_vec()));
        }
        let counts = proxy.counts();
        assert_eq!((counts.waiting, counts.refused_by_service), (0, 3));
        echo(&mut current, b"still here").await;
        drop(current);
        proxy.end().await;
    });
}

#[test]
fn a_client_that_its_own_limit_refuses_does_not_wait() {
    run(async || {
        let mut limits = sessions(10);
        limits.peer_default.conns_inbound = 1.into();
        let (_backend, proxy) = with_queue(limits, 3, LONG).await;
        let current = proxy.served().await;
        assert_eq!(rest(&mut proxy.connect().await).await, Ok(b"busy".to_vec()));
        let counts = proxy.counts();
        assert_eq!((counts.queued, counts.refused_by_peer), (0, 1));
        drop(current);
        proxy.end().await;
    });
}

#[test]
fn one_address_does_not_fill_the_queue_with_clients_that_are_over_its_limit() {
    run(async || {
        let mut limits = one_of_each_address();
        limits.service.insert("echo".into(), inbound(1));
        let (_backend, proxy) = with_queue(limits, 3, LONG).await;
        let mut current = proxy.connect_from([127, 0, 2, 1]).await;
        echo(&mut current, b"hello").await;
        let mut greedy = proxy.connect_from([127, 0, 2, 2]).await;
        greedy.write_all(b"hello").await.unwrap();
        proxy.has_waiting(1).await;
        // The one that waits counts.
        for from in [[127, 0, 2, 2], [127, 0, 2, 1]] {
            let mut refused = proxy.connect_from(from).await;
            assert_eq!(rest(&mut refused).await, Ok(b"busy".to_vec()));
        }
        assert_eq!(proxy.counts().refused_by_address, 2);
        // The other has its place, and its permit in the session.
        let mut other = proxy.connect_from([127, 0, 2, 3]).await;
        other.write_all(b"hello").await.unwrap();
        proxy.has_waiting(2).await;
        drop(current);
        expect(&mut greedy, b"hello").await;
        let mut refused = proxy.connect_from([127, 0, 2, 2]).await;
        assert_eq!(rest(&mut refused).await, Ok(b"busy".to_vec()));
        drop(greedy);
        expect(&mut other, b"hello").await;
        drop(other);
        // All permits are back.
        proxy.is_idle().await;
        for last in 1..=3 {
            let mut client = proxy.connect_from([127, 0, 2, last]).await;
            echo(&mut client, b"hello").await;
            drop(client);
            proxy.is_idle().await;
        }
        proxy.end().await;
    });
}

#[test]
fn a_limit_that_no_session_fits_into_refuses_at_once() {
    run(async || {
        let (_backend, proxy) = with_queue(sessions(0), 3, LONG).await;
        let mut client = proxy.connect().await;
        assert_eq!(rest(&mut client).await, Ok(b"busy".to_vec()));
        assert_eq!(proxy.counts().queued, 0);
        proxy.end().await;
    });
}

#[test]
fn clients_of_two_listeners_that_wait_for_the_same_scope_are_all_served() {
    run(async || {
        let backend = Echo::start().await;
        let mut limits = Limits::unlimited();
        // Two sessions in all.
        limits.system.conns = 4.into();
        let proxy = Proxy::start(limits, &[backend.address], |settings| {
            let queue = Queue {
                most: 100,
                longest: LONG,
            };
            settings.listeners[0].queue = Some(queue);
            let mut other = settings.listeners[0].clone();
            other.service = "other".into();
            settings.listeners.push(other);
        });
        let addresses = proxy.server.addresses();
        let clients = (0..60).map(|at| {
            let address = addresses[at % 2];
            tokio::spawn(async move {
                let mut client = TcpStream::connect(address).await.unwrap();
                echo(&mut client, b"hello").await;
            })
        });
        for client in Vec::from_iter(clients) {
            in_time("a client", client).await.unwrap();
        }
        proxy.end().await;
    });
}

#[test]
fn an_allowlisted_client_is_let_in_when_others_wait() {
    run(async || {
        let mut limits = one_of_each_address();
        let mut config = rcmgr_core::address::AddressConfig::clone(&limits.addresses);
        config.allowlist = vec!["/ip4/127.0.3.9".parse().unwrap()];
        limits.addresses = rcmgr_core::address::AddressLimits::new(config).unwrap();
        limits.system.conns = 2.into();
        let (_backend, proxy) = with_queue(limits, 3, LONG).await;
        let current = proxy.served().await;
        let mut other = proxy.connect_from([127, 0, 3, 1]).await;
        other.write_all(b"hello").await.unwrap();
        proxy.has_waiting(1).await;
        let mut operator = proxy.connect_from([127, 0, 3, 9]).await;
        echo(&mut operator, b"status").await;
        assert_eq!(proxy.manager.stat().allowlisted_system.conns(), 2);
        assert_eq!(proxy.counts().waiting, 1);
        drop((current, operator));
        expect(&mut other, b"hello").await;
        drop(other);
        proxy.end().await;
    });
}

#[test]
fn a_drain_refuses_the_clients_that_wait() {
    run(async || {
        let (_backend, proxy) = with_queue(sessions(1), 3, LONG).await;
        let current = proxy.served().await;
        let mut client = waiting(&proxy, 0).await;
        let drain = proxy.drain(LONG);
        assert_eq!(rest(&mut client).await, Ok(b"busy".to_vec()));
        drop(current);
        let drained = in_time("the drain", drain).await.unwrap();
        assert_eq!((drained.closed_idle, drained.cut), (0, 0));
        proxy.end().await;
    });
}

#[test]
fn refused_clients_get_the_answer_of_the_settings() {
    run(async || {
        let backend = Echo::start().await;
        let mut proxy = Proxy::start(sessions(0), &[backend.address], |_| {});
        assert_eq!(proxy.outcome().await, Ok(Vec::new()));
        proxy
            .apply(|settings| settings.listeners[0].on_refusal = OnRefusal::Reset)
            .unwrap();
        let outcome = proxy.outcome().await;
        assert_eq!(outcome, Err(io::ErrorKind::ConnectionReset));
        eventually("both are counted", || {
            proxy.counts().refused_by_service == 2
        })
        .await;
        proxy.end().await;
    });
}
