//! The negotiation against multistream-select itself: what is read from the bytes must be what
//! multistream-select has agreed on, at the same byte.

mod scenario;
mod wire;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use multistream_select::{Version, dialer_select_proto, listener_select_proto};
use proptest::prelude::*;

use super::tests::text;
use super::{Negotiation, Role};
use scenario::{Remote, Scenario, Then, scenarios};
use wire::{End, Passed, Watched};

/// Bytes of the protocol. They look like a negotiation, and must not be taken for one.
const PAYLOAD: &[u8] = b"\x03/x\n\x13/multistream/1.0.0\n";

type Watch = Rc<RefCell<Watched>>;

/// Checks that the stream is settled now, by the last bytes that passed.
fn settled_now(watch: &Watch, name: &str) {
    let mut watch = watch.borrow_mut();
    assert_eq!(watch.settled.as_deref(), Some(name));
    assert!(watch.settled_by_last, "{name} was settled by earlier bytes");
    watch.expected = Some(name.to_owned());
}

async fn dial(end: End, names: Vec<String>, version: Version, then: Then) {
    let watch = end.watch.clone();
    let last = names.last().cloned();
    let Ok((name, mut io)) = dialer_select_proto(end, names, version).await else {
        return;
    };
    if version == Version::V1Lazy && Some(&name) == last.as_ref() {
        assert!(!watch.borrow().negotiation.is_over());
        match then {
            Then::Write => match io.write(PAYLOAD).await {
                Ok(_) => settled_now(&watch, &name),
                Err(_) => return,
            },
            Then::Read => match io.complete().await {
                Ok(completed) => {
                    settled_now(&watch, &name);
                    io = completed;
                }
                // multistream-select panics if this stream is used.
                Err(_) => return,
            },
            Then::Close => {
                let _ = io.close().await;
                return;
            }
        }
    } else {
        settled_now(&watch, &name);
    }
    use_protocol(io).await;
}

async fn listen(end: End, names: Vec<String>) {
    let watch = end.watch.clone();
    if let Ok((name, io)) = listener_select_proto(end, names).await {
        settled_now(&watch, &name);
        use_protocol(io).await;
    }
}

async fn use_protocol(mut io: multistream_select::Negotiated<End>) {
    let _ = io.write_all(PAYLOAD).await;
    let _ = io.flush().await;
    let _ = io.read(&mut [0; 64]).await;
}

/// Runs both sides until they end, or until no byte passes any longer.
fn run(scenario: &Scenario) -> Vec<Watch> {
    let (near, far) = End::pair(scenario);
    let (near_watch, far_watch) = (near.watch.clone(), far.watch.clone());
    let mut watches = vec![near_watch];
    let mut sides: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    let dialer = |end| {
        dial(
            end,
            scenario.proposed.clone(),
            scenario.version,
            scenario.then,
        )
    };
    let listener = |end| listen(end, scenario.supported.clone());
    match &scenario.remote {
        Remote::Honest => {
            far_watch.borrow_mut().turn_into(Role::Listener);
            sides.push(Box::pin(dialer(near)));
            sides.push(Box::pin(listener(far)));
            watches.push(far_watch);
        }
        Remote::Answers { bytes, closes } => {
            far.say(bytes, *closes);
            sides.push(Box::pin(dialer(near)));
        }
        Remote::Proposes { bytes, closes } => {
            watches[0].borrow_mut().turn_into(Role::Listener);
            far.say(bytes, *closes);
            sides.push(Box::pin(listener(near)));
        }
    }
    // A side makes a pause at a quarter of its calls, so this many polls in vain mean silence.
    let mut polls_in_vain = 0;
    let mut cx = Context::from_waker(Waker::noop());
    while !sides.is_empty() && polls_in_vain < 40 {
        let before: usize = watches
            .iter()
            .map(|watch| watch.borrow().passed.len())
            .sum();
        sides.retain_mut(|side| side.as_mut().poll(&mut cx).is_pending());
        let after: usize = watches
            .iter()
            .map(|watch| watch.borrow().passed.len())
            .sum();
        polls_in_vain = if before == after {
            polls_in_vain + 1
        } else {
            0
        };
    }
    watches
}

/// The same bytes in other pieces: returns what they settle, and how many bytes have passed then.
fn replay<'a>(
    role: Role,
    passed: impl Iterator<Item = (bool, &'a [u8])>,
) -> Option<(String, usize)> {
    let mut negotiation = Negotiation::new(role);
    let mut count = 0;
    for (read, bytes) in passed {
        count += bytes.len();
        let settled = if read {
            negotiation.on_read(bytes).map(|name| text(&name))
        } else {
            let writing = negotiation.before_write(bytes);
            let settled = writing.settled().map(text);
            negotiation.on_written(writing, bytes.len());
            settled
        };
        if let Some(name) = settled {
            assert!(negotiation.is_over());
            return Some((name, count));
        }
    }
    None
}

fn check(watch: &Watched) {
    assert_eq!(watch.settled, watch.expected);
    // One byte at a time, the same name is settled by the same byte.
    let bytewise = replay(
        watch.role,
        (watch.passed.iter())
            .flat_map(|Passed { read, bytes }| bytes.chunks(1).map(|byte| (*read, byte))),
    );
    let expected = watch.settled.clone().map(|name| (name, watch.settled_at));
    assert_eq!(bytewise, expected);
    // All that passes one way at once.
    let mut merged: Vec<Passed> = Vec::new();
    for Passed { read, bytes } in &watch.passed {
        match merged.last_mut() {
            Some(last) if last.read == *read => last.bytes.extend_from_slice(bytes),
            _ => merged.push(Passed {
                read: *read,
                bytes: bytes.clone(),
            }),
        }
    }
    let merged = replay(
        watch.role,
        merged
            .iter()
            .map(|Passed { read, bytes }| (*read, &bytes[..])),
    );
    assert_eq!(merged.map(|(name, _)| name), watch.settled);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_protocol_that_is_read_is_the_one_that_multistream_select_settled(scenario in scenarios()) {
        for watch in run(&scenario) {
            check(&watch.borrow());
        }
    }
}

#[test]
fn the_scenarios_settle_in_every_way_and_fail_too() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..400 {
        let scenario = scenarios().new_tree(&mut runner).unwrap().current();
        for watch in run(&scenario) {
            let watch = watch.borrow();
            let lazy = scenario.version == Version::V1Lazy;
            let honest = matches!(scenario.remote, Remote::Honest);
            *seen
                .entry((
                    format!("{:?}", watch.role),
                    lazy,
                    honest,
                    watch.settled.is_some(),
                ))
                .or_insert(0) += 1;
        }
    }
    // Two roles, both versions, honest or not, settled or not.
    assert_eq!(seen.len(), 16, "{seen:#?}");
}
