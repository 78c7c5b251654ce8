//! Random transfers both ways at once: each byte arrives, in order, and nothing stays charged.

use proptest::prelude::*;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::*;

/// One write or read of a side, and a pause after it.
#[derive(Debug, Clone, Copy)]
struct Step {
    bytes: usize,
    pause: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![1..100_usize, 1..70_000_usize, 1..3_000_000_usize];
    let step = (bytes, any::<bool>()).prop_map(|(bytes, pause)| Step { bytes, pause });
    prop::collection::vec(step, 1..12)
}

async fn pause(step: Step) {
    if step.pause {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Sends random bytes in these steps and the end. Returns them.
async fn sends(mut socket: OwnedWriteHalf, seed: u64, steps: Vec<Step>) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sent = Vec::new();
    for step in steps {
        let mut chunk = vec![0; step.bytes];
        random.fill(&mut chunk);
        socket.write_all(&chunk).await.unwrap();
        sent.append(&mut chunk);
        pause(step).await;
    }
    socket.shutdown().await.unwrap();
    sent
}

/// Reads to the end, in reads of these sizes, over and over.
async fn receives(mut socket: OwnedReadHalf, steps: Vec<Step>) -> Vec<u8> {
    let mut received = Vec::new();
    for step in steps.into_iter().cycle() {
        let mut buffer = vec![0; step.bytes.max(4096)];
        let bytes = socket.read(&mut buffer).await.unwrap();
        if bytes == 0 {
            break;
        }
        received.extend_from_slice(&buffer[..bytes]);
        pause(step).await;
    }
    received
}

#[tokio::test]
async fn a_busy_session_gives_the_others_their_turn() {
    let (client, _backend, inside) = Inside::new(&unlimited()).await;
    let sent = stuff(&client).await as u64;
    in_time("the bytes", inside.client.readable())
        .await
        .unwrap();
    let one_poll = poll_at_most(
        1,
        relay(
            &inside.client,
            &inside.backend,
            Bytes::new(),
            &inside.scope,
            &inside.activity,
            false,
        ),
    );
    assert!(one_poll.await.is_none());
    let passed = inside.activity.to_backend();
    assert!(0 < passed && passed < 1 << 20, "{passed} of {sent} bytes");
    assert!(sent > 1 << 20, "{sent} bytes do not show a bound");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_transfers_both_ways_arrive_intact_and_leave_nothing_charged(
        [up, down, client, backend] in [steps(), steps(), steps(), steps()],
        memory in prop_oneof![Just(None), (0..600_000_u64).prop_map(Some)],
        splice in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let manager = memory.map_or_else(unlimited, with_memory);
            let session = Session::start(&manager, b"", splice).await;
            let (client_read, client_write) = session.client.into_split();
            let (backend_read, backend_write) = session.backend.into_split();
            let all = async {
                tokio::join!(
                    sends(client_write, seed, up),
                    receives(backend_read, backend),
                    sends(backend_write, !seed, down),
                    receives(client_read, client),
                )
            };
            let (sent_up, got_up, sent_down, got_down) = in_time("the transfers", all).await;
            // Not assert_eq: it would print megabytes.
            assert!(sent_up == got_up, "up: {} and {}", sent_up.len(), got_up.len());
            assert!(sent_down == got_down, "down: {} and {}", sent_down.len(), got_down.len());
            let ended = in_time("the end of the relay", session.relay).await.unwrap();
            assert!(matches!(ended, Ended::Both), "{ended:?}");
            assert_eq!(session.activity.to_backend(), sent_up.len() as u64);
            assert_eq!(session.activity.to_client(), sent_down.len() as u64);
            assert!(manager.stat().system.is_zero());
        });
    }
}
