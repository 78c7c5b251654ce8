//! Fuzzes the parsers: no input causes a panic, and every accepted input survives a round trip.
//!
//! `PROPTEST_CASES` sets the number of inputs for each test.

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use rcmgr_config::{ByteSize, LimitsFile, PartialLimits};
use rcmgr_core::LimitsKey;

type Read = fn(&str) -> Result<LimitsFile, rcmgr_core::BadConfiguration>;
type Write = fn(&PartialLimits) -> String;

const JSON: (Read, Write) = (LimitsFile::from_json, PartialLimits::to_json);
const TOML: (Read, Write) = (LimitsFile::from_toml, PartialLimits::to_toml);

/// One change of a text's bytes.
#[derive(Debug, Clone)]
enum Mutation {
    Set(Index, u8),
    Insert(Index, String),
    Remove(Index, usize),
    Repeat(Index, usize),
}

/// Tokens that have a meaning in one of the formats.
const TOKENS: [&str; 53] = [
    "{",
    "}",
    "[",
    "]",
    "[[",
    "]]",
    "\"",
    "'",
    "\"\"\"",
    "\\",
    "\\u0000",
    "\\ud800",
    ":",
    ",",
    "=",
    ".",
    "\n",
    "\r",
    "\0",
    "\u{feff}",
    "#",
    "null",
    "true",
    "-",
    "0x",
    "1e9",
    "_",
    "inf",
    "nan",
    "1979-05-27",
    "System",
    "SystemLimit",
    "Service",
    "Peer",
    "Memory",
    "default",
    "unlimited",
    "512 MiB",
    "18446744073709551615",
    "99999999999999999999",
    "Addresses",
    "Subnets",
    "Networks",
    "Rates",
    "Trusted",
    "IPv4/32",
    "IPv6/129",
    "10.0.0.0/8",
    "PerSecond",
    "DryRun",
    "Waiters",
    "Swarm",
    "ResourceMgr",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let token = proptest::sample::select(TOKENS.as_slice()).prop_map(String::from);
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<Index>(), token).prop_map(|(at, token)| Mutation::Insert(at, token)),
        (any::<Index>(), any::<String>()).prop_map(|(at, text)| Mutation::Insert(at, text)),
        (any::<Index>(), 1..64usize).prop_map(|(at, len)| Mutation::Remove(at, len)),
        (any::<Index>(), 1..64usize).prop_map(|(at, len)| Mutation::Repeat(at, len)),
    ]
}

fn mutated(text: &str, mutations: &[Mutation]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for mutation in mutations {
        let spot = |at: &Index| at.index(bytes.len() + 1);
        match mutation {
            Mutation::Set(at, byte) => {
                let at = spot(at);
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
            Mutation::Insert(at, token) => {
                let at = spot(at);
                bytes.splice(at..at, token.bytes());
            }
            Mutation::Remove(at, len) => {
                let at = spot(at);
                bytes.drain(at..(at + len).min(bytes.len()));
            }
            Mutation::Repeat(at, len) => {
                let at = spot(at);
                let again = bytes[at..(at + len).min(bytes.len())].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn check_round_trip((read, write): (Read, Write), text: &str) -> Result<(), TestCaseError> {
    match read(text) {
        Ok(file) => {
            let lines = text.matches('\n').count() + 1;
            prop_assert!(file.lines.values().all(|line| (1..=lines).contains(line)));
            let written = write(&file.limits);
            prop_assert_eq!(
                read(&written).map(|file| file.limits),
                Ok(file.limits),
                "{}",
                written
            );
        }
        Err(error) => {
            prop_assert!(!error.reason.is_empty());
            // The message of the JSON or TOML parser may contain a key.
            prop_assert!(error.to_string().len() < 2000, "{}", error);
        }
    }
    Ok(())
}

fn check_size_round_trip(text: &str) -> Result<(), TestCaseError> {
    if let Ok(size) = text.parse::<ByteSize>() {
        prop_assert_eq!(size.to_string().parse(), Ok(size));
    }
    if let Ok(key) = text.parse::<LimitsKey>() {
        prop_assert_eq!(key.to_string().parse(), Ok(key));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_as_json(bytes in vec(any::<u8>(), 0..512)) {
        check_round_trip(JSON, &String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_bytes_as_toml(bytes in vec(any::<u8>(), 0..512)) {
        check_round_trip(TOML, &String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_bytes_as_a_size(bytes in vec(any::<u8>(), 0..32)) {
        check_size_round_trip(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn broken_json(limits in support::partial_limits(), mutations in vec(mutation(), 0..6)) {
        check_round_trip(JSON, &mutated(&limits.to_json(), &mutations))?;
    }

    #[test]
    fn broken_toml(limits in support::partial_limits(), mutations in vec(mutation(), 0..6)) {
        check_round_trip(TOML, &mutated(&limits.to_toml(), &mutations))?;
    }

    #[test]
    fn broken_sizes(
        number in "[0-9]{1,21}(\\.[0-9]{0,20})?",
        unit in " {0,2}([KMGTPE]i?B|kB|B|[a-zA-Z]{0,3})",
        mutations in vec(mutation(), 0..2),
    ) {
        check_size_round_trip(&format!("{number}{unit}"))?;
        check_size_round_trip(&mutated(&format!("{number}{unit}"), &mutations))?;
    }
}
