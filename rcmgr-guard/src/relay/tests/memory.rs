//! The memory of a relay: bounded, charged, and given back.

use super::*;

/// The largest read.
const LARGEST: u64 = 256 * 1024;

/// Reads `bytes` bytes of [`stuff`].
async fn drain(socket: &mut TcpStream, bytes: usize) {
    let mut got = vec![0; bytes];
    in_time("a read", socket.read_exact(&mut got))
        .await
        .unwrap();
    assert!(got.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn a_session_that_waits_holds_no_memory() {
    let manager = unlimited();
    let mut session = Session::start(&manager, b"", false).await;
    for _ in 0..3 {
        send(&mut session.client, b"ping").await;
        expect(&mut session.backend, b"ping").await;
        send(&mut session.backend, b"pong").await;
        expect(&mut session.client, b"pong").await;
        eventually("nothing is held", || memory(&manager) == 0).await;
    }
}

#[tokio::test]
async fn the_bytes_of_a_slow_reader_are_charged_within_a_bound_and_given_back() {
    let manager = unlimited();
    let mut session = Session::start(&manager, b"", false).await;
    let sent = stuff(&session.client).await;
    let held = memory(&manager);
    assert!(0 < held && held <= LARGEST, "{held} bytes are held");
    // More bytes do not raise it.
    drain(&mut session.backend, sent / 2).await;
    let more = stuff(&session.client).await;
    assert!(memory(&manager) <= LARGEST);

    drain(&mut session.backend, sent - sent / 2 + more).await;
    eventually("nothing is held", || memory(&manager) == 0).await;
    assert_eq!(session.activity.to_backend(), (sent + more) as u64);
    assert_eq!(session.activity.to_client(), 0);
}

#[tokio::test]
async fn without_memory_bytes_stay_in_the_socket_and_none_is_lost() {
    let manager = with_memory(1024);
    let mut session = Session::start(&manager, b"", false).await;
    let sent = stuff(&session.client).await;
    assert!(sent > 1024);
    assert_eq!(memory(&manager), 0);
    assert!(!session.relay.is_finished());
    drain(&mut session.backend, sent).await;
    session.client.shutdown().await.unwrap();
    expect_end(&mut session.backend).await;
    send(&mut session.backend, b"answer").await;
    session.backend.shutdown().await.unwrap();
    expect(&mut session.client, b"answer").await;
    assert!(matches!(session.ended().await, Ended::Both));
}

#[tokio::test]
async fn one_slow_reader_at_the_limit_does_not_stop_the_other_direction() {
    let manager = with_memory(20_000);
    let mut session = Session::start(&manager, b"", false).await;
    let sent = stuff(&session.client).await;
    assert!(memory(&manager) <= 20_000);
    send(&mut session.backend, &[3; 100_000]).await;
    expect(&mut session.client, &[3; 100_000]).await;
    drain(&mut session.backend, sent).await;
    eventually("nothing is held", || memory(&manager) == 0).await;
}

#[tokio::test]
async fn the_first_bytes_of_the_client_go_first() {
    let mut session = Session::start(&unlimited(), b"first", false).await;
    expect(&mut session.backend, b"first").await;
    assert!(session.activity.has_first_byte());
    send(&mut session.client, b"second").await;
    expect(&mut session.backend, b"second").await;
    assert_eq!(session.activity.to_backend(), 11);
}

#[tokio::test]
async fn a_relay_dropped_at_any_poll_leaves_nothing_charged() {
    for splice in [false, true] {
        let mut polls = 0;
        loop {
            let manager = unlimited();
            let (client, mut backend, inside) = Inside::new(&manager).await;
            // 16 MiB is more than the sockets hold, and the backend starts late.
            let mut sender = tokio::spawn(async move {
                let mut client = client;
                // It fails when the relay is dropped.
                let _closed = client.write_all(&vec![7; 16 << 20]).await;
                let _closed = client.shutdown().await;
                client
            });
            let activity = Arc::clone(&inside.activity);
            let scope = &inside.scope;
            let mut relay = Box::pin(poll_at_most(
                polls,
                relay(
                    &inside.client,
                    &inside.backend,
                    Bytes::from_static(b"first"),
                    scope,
                    &activity,
                    splice,
                ),
            ));
            let slow = async {
                let mut buffer = vec![0; 1 << 20];
                tokio::time::sleep(Duration::from_millis(2)).await;
                while backend.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
                let _closed = backend.shutdown().await;
                std::future::pending::<()>().await;
            };
            let ended = tokio::select! {
                ended = in_time("a poll", &mut relay) => ended,
                () = slow => unreachable!("it waits for ever"),
            };
            drop(relay);
            assert_eq!(memory(&manager), 0, "after {polls} polls");
            drop(inside);
            let _client = in_time("the sender", &mut sender).await.unwrap();
            if let Some(ended) = ended {
                assert!(matches!(ended, Ended::Both), "{ended:?}");
                assert!(polls > 3);
                break;
            }
            // All of the first polls, then fewer.
            polls += 1 + polls / 8;
        }
    }
}

#[tokio::test]
async fn a_relay_is_small() {
    let manager = unlimited();
    let (_client, _backend, inside) = Inside::new(&manager).await;
    let Inside {
        client,
        backend,
        scope,
        activity,
    } = &inside;
    let size = size_of_val(&relay(
        client,
        backend,
        Bytes::new(),
        scope,
        activity,
        false,
    ));
    assert!(size <= 400, "{size} bytes");
    let sockets = 2 * size_of::<TcpStream>();
    assert!(size + sockets <= 576, "{size} and {sockets} bytes");
}
