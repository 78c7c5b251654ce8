//! What both sides of a negotiation do: honest ones, and remotes that say anything.

use multistream_select::Version;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::messages::HEADER;
use super::super::tests::message;

#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) version: Version,
    pub(super) proposed: Vec<String>,
    pub(super) supported: Vec<String>,
    pub(super) then: Then,
    pub(super) remote: Remote,
    pub(super) longest_piece: usize,
    pub(super) breaks_after: Option<usize>,
    pub(super) seed: u64,
}

/// What a lazy dialer does first with its stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Then {
    Write,
    Read,
    Close,
}

#[derive(Debug, Clone)]
pub(super) enum Remote {
    /// multistream-select on both sides.
    Honest,
    /// The dialer is multistream-select, and the remote answers with these bytes.
    Answers { bytes: Vec<u8>, closes: bool },
    /// The listener is multistream-select, and the remote proposes with these bytes.
    Proposes { bytes: Vec<u8>, closes: bool },
}

fn names() -> Vec<String> {
    vec![
        "/a".into(),
        "/ipfs/ping/1.0.0".into(),
        // Its message is as long as the header.
        "/ipfs/id/push/1.00".into(),
        // It is 46 bytes long, so an answer to `ls` begins with `/`.
        format!("/{}", "b".repeat(45)),
        // It begins like the header.
        "/multistream/1.0.0/more".into(),
        // These can be proposed, and no answer confirms them.
        "/multistream/1.0.0".into(),
        "/two\nlines".into(),
        format!("/{}", "c".repeat(3000)),
    ]
}

/// One to three of the names in any order.
fn some_names() -> impl Strategy<Value = Vec<String>> {
    subsequence(names(), 1..=3).prop_shuffle()
}

/// A part of what a remote says: mostly messages, some of them no good.
fn part() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => Just(message(HEADER)),
        8 => select(names()).prop_map(|name| message(format!("{name}\n"))),
        4 => Just(message("na\n")),
        2 => Just(message("ls\n")),
        1 => some_names().prop_map(|names| {
            let listed: Vec<u8> = names.iter().flat_map(|name| message(format!("{name}\n"))).collect();
            message([&listed[..], b"\n"].concat())
        }),
        1 => "/[a-z\n/]{0,20}".prop_map(|name| message(format!("{name}\n"))),
        1 => Just(message(format!("/{}\n", "d".repeat(16_000)))),
        // A name of 64 KiB, with a length of three bytes.
        1 => Just([b"\x80\x80\x04/", &[b'e'; 65_535][..]].concat()),
        1 => Just(vec![0]),
        1 => Just(vec![0x83, 0]),
        1 => vec(any::<u8>(), 0..40),
        1 => vec(any::<u8>(), 1..40).prop_map(message),
    ]
}

fn said() -> impl Strategy<Value = Vec<u8>> {
    let with_header =
        || vec(part(), 0..6).prop_map(|parts| [message(HEADER), parts.concat()].concat());
    let cut = (with_header(), any::<prop::sample::Index>()).prop_map(|(mut bytes, index)| {
        bytes.truncate(index.index(bytes.len()));
        bytes
    });
    let changed = (with_header(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, index, byte)| {
            let index = index.index(bytes.len());
            bytes[index] = byte;
            bytes
        },
    );
    prop_oneof![
        6 => with_header(),
        1 => cut,
        1 => changed,
        1 => vec(part(), 0..6).prop_map(|parts| parts.concat()),
    ]
}

fn remote() -> impl Strategy<Value = Remote> {
    prop_oneof![
        2 => Just(Remote::Honest),
        1 => (said(), any::<bool>()).prop_map(|(bytes, closes)| Remote::Answers { bytes, closes }),
        1 => (said(), any::<bool>()).prop_map(|(bytes, closes)| Remote::Proposes { bytes, closes }),
    ]
}

pub(super) fn scenarios() -> impl Strategy<Value = Scenario> {
    (
        select(vec![Version::V1, Version::V1Lazy]),
        some_names(),
        some_names(),
        select(vec![Then::Write, Then::Read, Then::Close]),
        remote(),
        select(vec![1, 2, 3, 7, 64, 4096]),
        prop_oneof![6 => Just(None), 1 => (0..100_usize).prop_map(Some)],
        any::<u64>(),
    )
        .prop_map(
            |(version, proposed, supported, then, remote, longest_piece, breaks_after, seed)| {
                Scenario {
                    version,
                    proposed,
                    supported,
                    then,
                    remote,
                    longest_piece,
                    breaks_after,
                    seed,
                }
            },
        )
}
