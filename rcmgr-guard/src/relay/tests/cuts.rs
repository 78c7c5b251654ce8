//! What a worker sees of a session, and how it ends one.

use super::super::Cut;
use super::*;

#[tokio::test]
async fn a_cut_wakes_an_idle_session_and_ends_both_sides_in_order() {
    for why in [Cut::FirstByte, Cut::Idle, Cut::HalfClosed, Cut::Drained] {
        let mut session = Session::start(&unlimited(), b"", false).await;
        // The relay waits when it has answered.
        send(&mut session.backend, b"hello").await;
        expect(&mut session.client, b"hello").await;
        assert!(!session.activity.is_cut());
        session.activity.cut(why);
        session.activity.cut(Cut::Stopped);
        assert!(session.activity.is_cut());
        expect_end(&mut session.client).await;
        expect_end(&mut session.backend).await;
        let ended = session.ended().await;
        assert!(
            matches!(ended, Ended::Cut(first) if first == why),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn a_cut_for_a_limit_resets_both_sides() {
    for why in [Cut::Shed, Cut::Stopped] {
        let mut session = Session::start(&unlimited(), b"", false).await;
        send(&mut session.backend, b"hello").await;
        expect(&mut session.client, b"hello").await;
        session.activity.cut(why);
        expect_reset(&mut session.client).await;
        expect_reset(&mut session.backend).await;
        let ended = session.ended().await;
        assert!(
            matches!(ended, Ended::Cut(first) if first == why),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn a_cut_that_loses_bytes_is_a_reset() {
    for splice in [false, true] {
        let manager = unlimited();
        let mut session = Session::start(&manager, b"", splice).await;
        stuff(&session.client).await;
        session.activity.cut(Cut::Idle);
        expect_reset(&mut session.backend).await;
        assert!(matches!(session.ended().await, Ended::Cut(Cut::Idle)));
        assert!(manager.stat().system.is_zero());
    }
}

#[tokio::test]
async fn a_session_that_was_cut_before_the_relay_began_ends_at_once() {
    let manager = unlimited();
    let (_client, _backend, inside) = Inside::new(&manager).await;
    inside.activity.cut(Cut::Shed);
    let ended = inside.run(Bytes::new(), false).await;
    assert!(matches!(ended, Ended::Cut(Cut::Shed)), "{ended:?}");
}

#[tokio::test]
async fn bytes_of_either_direction_count_as_activity_and_those_of_the_client_as_its_first() {
    for splice in [false, true] {
        let mut session = Session::start(&unlimited(), b"", splice).await;
        let activity = Arc::clone(&session.activity);
        let before = activity.last();
        send(&mut session.backend, b"hello").await;
        expect(&mut session.client, b"hello").await;
        let after_backend = activity.last();
        assert!(after_backend > before);
        assert!(!activity.has_first_byte());
        // Without bytes the time stays.
        assert_eq!(activity.last(), after_backend);

        send(&mut session.client, b"hello").await;
        expect(&mut session.backend, b"hello").await;
        assert!(activity.last() > after_backend);
        assert!(activity.has_first_byte());
        assert_eq!((activity.to_backend(), activity.to_client()), (5, 5));
    }
}
