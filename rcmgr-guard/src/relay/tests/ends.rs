//! How a session ends: half-close and resets.

use super::*;

/// Both ways to move bytes.
const WAYS: [bool; 2] = [false, true];

#[tokio::test]
async fn a_client_that_has_ended_gets_all_that_the_backend_sends_after_it() {
    for splice in WAYS {
        let mut session = Session::start(&unlimited(), b"", splice).await;
        send(&mut session.client, b"question").await;
        assert!(session.activity.half_closed_since().is_none());
        session.client.shutdown().await.unwrap();
        expect(&mut session.backend, b"question").await;
        expect_end(&mut session.backend).await;
        let half_closed = || session.activity.half_closed_since().is_some();
        eventually("half closed", half_closed).await;

        for answer in [&b"an answer"[..], b"and another"] {
            send(&mut session.backend, answer).await;
            expect(&mut session.client, answer).await;
        }
        session.backend.shutdown().await.unwrap();
        expect_end(&mut session.client).await;
        assert!(matches!(session.ended().await, Ended::Both));
    }
}

#[tokio::test]
async fn a_backend_that_has_ended_gets_all_that_the_client_sends_after_it() {
    for splice in WAYS {
        let mut session = Session::start(&unlimited(), b"", splice).await;
        send(&mut session.backend, b"hello").await;
        session.backend.shutdown().await.unwrap();
        expect(&mut session.client, b"hello").await;
        expect_end(&mut session.client).await;
        let half_closed = || session.activity.half_closed_since().is_some();
        eventually("half closed", half_closed).await;

        for upload in [&b"an upload"[..], b"and another"] {
            send(&mut session.client, upload).await;
            expect(&mut session.backend, upload).await;
        }
        session.client.shutdown().await.unwrap();
        expect_end(&mut session.backend).await;
        assert!(matches!(session.ended().await, Ended::Both));
    }
}

#[tokio::test]
async fn a_reset_of_either_side_resets_the_other_at_once() {
    for splice in WAYS {
        let mut session = Session::start(&unlimited(), b"", splice).await;
        send(&mut session.client, b"x").await;
        expect(&mut session.backend, b"x").await;
        reset(session.client);
        expect_reset(&mut session.backend).await;
        let ended = session.relay.await.unwrap();
        assert!(matches!(ended, Ended::ClientFailed(_)), "{ended:?}");

        let mut session = Session::start(&unlimited(), b"", splice).await;
        send(&mut session.client, b"x").await;
        expect(&mut session.backend, b"x").await;
        reset(session.backend);
        expect_reset(&mut session.client).await;
        let ended = session.relay.await.unwrap();
        assert!(matches!(ended, Ended::BackendFailed(_)), "{ended:?}");
    }
}

#[tokio::test]
async fn a_reset_is_seen_while_the_other_side_takes_no_bytes() {
    for splice in WAYS {
        let manager = unlimited();
        let mut session = Session::start(&manager, b"", splice).await;
        assert!(stuff(&session.client).await > 0);
        reset(session.client);
        expect_reset(&mut session.backend).await;
        let ended = session.relay.await.unwrap();
        assert!(matches!(ended, Ended::ClientFailed(_)), "{ended:?}");
        assert!(manager.stat().system.is_zero());
    }
}

#[tokio::test]
async fn a_reset_after_the_end_of_the_same_side_is_seen_while_the_other_is_silent() {
    let mut session = Session::start(&unlimited(), b"", false).await;
    session.client.shutdown().await.unwrap();
    expect_end(&mut session.backend).await;
    reset(session.client);
    let ended = in_time("the end of the relay", session.relay)
        .await
        .unwrap();
    assert!(matches!(ended, Ended::ClientFailed(_)), "{ended:?}");
    expect_end(&mut session.backend).await;
}

#[tokio::test]
async fn an_answer_in_full_arrives_although_the_backend_refuses_the_rest_of_the_upload() {
    let mut session = Session::start(&unlimited(), b"", false).await;
    send(&mut session.client, b"upload").await;
    expect(&mut session.backend, b"upload").await;
    let answer = vec![5; 1 << 20];
    // The client reads nothing yet, so a part of the answer waits in the sockets of the relay.
    let activity = Arc::clone(&session.activity);
    let mut backend = session.backend;
    let answered = async {
        send(&mut backend, &answer).await;
        backend.shutdown().await.unwrap();
        eventually("half closed", || activity.half_closed_since().is_some()).await;
        reset(backend);
    };
    answered.await;
    let ended = in_time("the end of the relay", session.relay)
        .await
        .unwrap();
    assert!(matches!(ended, Ended::BackendFailed(_)), "{ended:?}");
    expect(&mut session.client, &answer).await;
    expect_end(&mut session.client).await;
}
