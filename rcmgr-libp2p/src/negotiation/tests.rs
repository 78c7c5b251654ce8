//! The rules of the negotiation, each with the bytes that it is about.

use super::messages::{HEADER, MAX_LENGTH};
use super::{Negotiation, Role};

/// A message with its length in front.
fn message(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let length = u16::try_from(text.len()).unwrap();
    let mut bytes = match length {
        0..=0x7f => vec![length as u8],
        _ => vec![length as u8 | 0x80, (length >> 7) as u8],
    };
    bytes.extend_from_slice(text);
    bytes
}

fn header() -> Vec<u8> {
    message(HEADER)
}

fn name(text: &str) -> Vec<u8> {
    message(format!("{text}\n"))
}

/// Writes the bytes as the stream does, and returns the protocol that they settle.
fn write(negotiation: &mut Negotiation, bytes: &[u8]) -> Option<String> {
    let before = negotiation.before_write(bytes);
    assert_eq!(negotiation.on_written(bytes), before);
    before.map(|name| name.to_string())
}

fn read(negotiation: &mut Negotiation, bytes: &[u8]) -> Option<String> {
    negotiation.on_read(bytes).map(|name| name.to_string())
}

fn dialer_that_proposed(protocol: &str) -> Negotiation {
    let mut dialer = Negotiation::new(Role::Dialer);
    assert_eq!(
        write(&mut dialer, &[header(), name(protocol)].concat()),
        None
    );
    dialer
}

fn listener_with_header() -> Negotiation {
    let mut listener = Negotiation::new(Role::Listener);
    assert_eq!(write(&mut listener, &header()), None);
    listener
}

#[test]
fn a_listener_is_settled_by_the_name_that_it_writes() {
    let mut listener = Negotiation::new(Role::Listener);
    assert_eq!(read(&mut listener, &[header(), name("/a")].concat()), None);
    assert_eq!(write(&mut listener, &header()), None);
    assert!(!listener.is_over());
    assert_eq!(write(&mut listener, &name("/a")).as_deref(), Some("/a"));
    assert!(listener.is_over());
}

#[test]
fn a_dialer_is_settled_by_the_answer_that_repeats_its_proposal() {
    let mut dialer = dialer_that_proposed("/a");
    assert_eq!(read(&mut dialer, &header()), None);
    assert_eq!(read(&mut dialer, &name("/a")).as_deref(), Some("/a"));
    assert!(dialer.is_over());
}

#[test]
fn a_lazy_dialer_is_settled_by_its_first_byte_after_the_proposal() {
    let mut dialer = dialer_that_proposed("/a");
    assert_eq!(write(&mut dialer, b""), None);
    assert_eq!(write(&mut dialer, b"x").as_deref(), Some("/a"));
    assert!(dialer.is_over());
}

#[test]
fn a_message_of_the_longest_length_is_followed() {
    let long = format!("/{}", "a".repeat(usize::from(MAX_LENGTH) - 2));
    let mut listener = listener_with_header();
    assert_eq!(write(&mut listener, &name(&long)), Some(long));
}
