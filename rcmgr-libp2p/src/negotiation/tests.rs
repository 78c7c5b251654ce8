//! The rules of the negotiation, each with the bytes that it is about.

use super::messages::{HEADER, MAX_LENGTH};
use super::{Negotiation, Role};

/// A message with its length in front.
pub(super) fn message(text: impl AsRef<[u8]>) -> Vec<u8> {
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

pub(super) fn text(name: &[u8]) -> String {
    String::from_utf8(name.to_vec()).unwrap()
}

/// Writes the bytes as the stream does, and returns the protocol that they settle.
fn write(negotiation: &mut Negotiation, bytes: &[u8]) -> Option<String> {
    let writing = negotiation.before_write(bytes);
    let settled = writing.settled().map(text);
    negotiation.on_written(writing, bytes.len());
    settled
}

fn read(negotiation: &mut Negotiation, bytes: &[u8]) -> Option<String> {
    negotiation.on_read(bytes).map(|name| text(&name))
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

#[test]
fn every_byte_may_come_alone() {
    let mut listener = Negotiation::new(Role::Listener);
    let bytes = [header(), message("na\n"), name("/a/b")].concat();
    for (at, byte) in bytes.iter().enumerate() {
        let settled = write(&mut listener, &[*byte]);
        assert_eq!(settled.is_some(), at + 1 == bytes.len(), "at byte {at}");
    }
    let mut dialer = Negotiation::new(Role::Dialer);
    for byte in [header(), name("/a/b")].concat() {
        assert_eq!(write(&mut dialer, &[byte]), None);
    }
    let bytes = [header(), name("/a/b")].concat();
    for (at, byte) in bytes.iter().enumerate() {
        let settled = read(&mut dialer, &[*byte]);
        assert_eq!(settled.is_some(), at + 1 == bytes.len(), "at byte {at}");
    }
}

#[test]
fn what_the_inner_stream_does_not_take_changes_nothing() {
    let mut listener = listener_with_header();
    let echo = name("/a");
    for taken in 0..echo.len() {
        // The rest of the message comes again, and decides the same again.
        let writing = listener.before_write(&echo[taken..]);
        assert_eq!(writing.settled(), Some(&b"/a"[..]));
        assert!(!listener.is_over());
        listener.on_written(writing, 1);
        assert_eq!(listener.is_over(), taken + 1 == echo.len());
    }
    assert!(listener.is_over());
    // Other bytes may follow those that were not taken.
    let mut listener = listener_with_header();
    assert!(listener.before_write(&name("/a")).settled().is_some());
    assert_eq!(write(&mut listener, &name("/b")).as_deref(), Some("/b"));
}

#[test]
fn a_rejection_takes_the_proposal_back() {
    let mut dialer = dialer_that_proposed("/a");
    assert_eq!(
        read(&mut dialer, &[header(), message("na\n")].concat()),
        None
    );
    // This is a second proposal, and no first byte of the first protocol.
    assert_eq!(write(&mut dialer, &name("/b")), None);
    // The answer repeats the first proposal.
    assert_eq!(read(&mut dialer, &name("/a")), None);
    assert!(!dialer.is_over());
    assert_eq!(read(&mut dialer, &name("/b")).as_deref(), Some("/b"));
}

#[test]
fn a_rejection_after_the_first_byte_of_the_protocol_changes_nothing() {
    let mut dialer = dialer_that_proposed("/a");
    assert_eq!(write(&mut dialer, b"x").as_deref(), Some("/a"));
    assert_eq!(
        read(&mut dialer, &[header(), message("na\n")].concat()),
        None
    );
    assert_eq!(write(&mut dialer, &name("/b")), None);
    assert!(dialer.is_over());
}

#[test]
fn a_proposal_alone_settles_nothing() {
    // So a stream that is closed before the answer has never had a protocol.
    let mut dialer = dialer_that_proposed("/a");
    assert!(dialer.before_write(b"").settled().is_none());
    assert_eq!(read(&mut dialer, &header()), None);
    assert!(!dialer.is_over());
}

#[test]
fn bytes_of_the_protocol_may_come_in_one_write_with_the_proposal() {
    let mut dialer = Negotiation::new(Role::Dialer);
    let bytes = [header(), name("/a"), b"x".to_vec()].concat();
    let writing = dialer.before_write(&bytes);
    assert_eq!(writing.settled(), Some(&b"/a"[..]));
    // The inner stream has taken all but the byte that decides.
    dialer.on_written(writing, bytes.len() - 1);
    assert!(!dialer.is_over());
    assert_eq!(write(&mut dialer, b"x").as_deref(), Some("/a"));
}

#[test]
fn bytes_of_the_protocol_may_come_in_one_read_with_the_answer() {
    let mut dialer = dialer_that_proposed("/a");
    let bytes = [header(), name("/a"), name("/b"), vec![0; 9]].concat();
    assert_eq!(read(&mut dialer, &bytes).as_deref(), Some("/a"));
}

#[test]
fn a_list_of_protocols_that_begins_like_a_name_is_no_name() {
    // 47 bytes with the line feed: the length of the first entry is the byte `/`.
    let entry = name(&format!("/{}", "a".repeat(45)));
    assert_eq!(entry[0], b'/');
    // The second length has two bytes, which are not text.
    let second = name(&format!("/{}", "b".repeat(200)));
    for list in [
        [&entry[..], b"\n"].concat(),
        [&entry[..], &second, b"\n"].concat(),
        [&second[..], b"\n"].concat(),
        b"\n".to_vec(),
    ] {
        for piece in [1, 7, 4096] {
            let mut listener = listener_with_header();
            for bytes in message(&list).chunks(piece) {
                assert_eq!(write(&mut listener, bytes), None);
            }
            assert!(!listener.is_over());
            assert_eq!(write(&mut listener, &name("/a")).as_deref(), Some("/a"));
        }
        let mut dialer = dialer_that_proposed("/a");
        assert_eq!(read(&mut dialer, &message(&list)), None);
        assert_eq!(read(&mut dialer, &name("/a")).as_deref(), Some("/a"));
    }
}

#[test]
fn an_answer_must_repeat_the_whole_proposal_and_nothing_more() {
    let proposal = "/ipfs/id/push/1.00";
    assert_eq!(name(proposal).len(), header().len());
    for answer in [
        "/ipfs/id/push/1.0",
        "/ipfs/id/push/1.01",
        "/ipfs/id/push/1.000",
        "/",
        "ipfs/id/push/1.00/",
    ] {
        let mut dialer = dialer_that_proposed(proposal);
        assert_eq!(read(&mut dialer, &[header(), name(answer)].concat()), None);
        for unended in [format!("{proposal}/"), proposal.to_owned()] {
            assert_eq!(read(&mut dialer, &message(unended)), None);
        }
        assert_eq!(
            read(&mut dialer, &name(proposal)).as_deref(),
            Some(proposal)
        );
    }
}

#[test]
fn only_a_whole_rejection_takes_the_proposal_back() {
    for answer in ["n", "na", "na\n\n", "nb\n"] {
        let mut dialer = dialer_that_proposed("/a");
        assert_eq!(read(&mut dialer, &message(answer)), None);
        assert_eq!(read(&mut dialer, &name("/a")).as_deref(), Some("/a"));
    }
}

#[test]
fn a_proposal_of_two_lines_is_settled_by_the_first_byte_and_by_no_answer() {
    // multistream-select takes such an answer for a list of protocols.
    let mut dialer = dialer_that_proposed("/a\n/b");
    assert_eq!(
        read(&mut dialer, &[header(), name("/a\n/b")].concat()),
        None
    );
    assert_eq!(write(&mut dialer, b"x").as_deref(), Some("/a\n/b"));
}

#[test]
fn a_message_with_a_name_inside_is_no_name() {
    for role in [Role::Listener, Role::Dialer] {
        let mut negotiation = Negotiation::new(role);
        for byte in [header(), message("x/a\n")].concat() {
            assert_eq!(write(&mut negotiation, &[byte]), None);
        }
        assert_eq!(negotiation.kept_bytes(), 0);
        assert!(!negotiation.is_over());
    }
}

#[test]
fn a_listener_takes_no_name_from_the_remote_and_keeps_nothing_of_it() {
    let mut listener = listener_with_header();
    let long = [b"\xff\xff\x03/", &[b'a'; 65_535][..]].concat();
    for byte in [header(), name("/a"), long].concat() {
        assert_eq!(read(&mut listener, &[byte]), None);
        assert_eq!(listener.kept_bytes(), 0);
    }
    assert_eq!(write(&mut listener, &message("na\n")), None);
    assert!(!listener.is_over());
}

#[test]
fn a_dialer_keeps_its_proposal_and_nothing_of_the_remote() {
    let mut dialer = dialer_that_proposed("/a");
    let long = message(vec![b'/'; usize::from(MAX_LENGTH)]);
    for byte in [header(), long.clone(), long].concat() {
        assert_eq!(read(&mut dialer, &[byte]), None);
        assert_eq!(dialer.kept_bytes(), "/a".len());
    }
    assert_eq!(read(&mut dialer, &name("/a")).as_deref(), Some("/a"));
    assert_eq!(dialer.kept_bytes(), 0);
}

#[test]
fn a_length_that_multistream_select_refuses_ends_the_negotiation() {
    // Zero, zero in two bytes, and three bytes.
    for length in [&[0][..], &[0x83, 0], &[0x80, 0x80, 1]] {
        let mut dialer = dialer_that_proposed("/a");
        assert_eq!(read(&mut dialer, &[&header(), length].concat()), None);
        assert!(dialer.is_over());
        let mut listener = listener_with_header();
        assert_eq!(write(&mut listener, length), None);
        assert!(listener.is_over());
    }
}

#[test]
fn bytes_that_do_not_begin_with_the_header_are_no_negotiation() {
    for role in [Role::Listener, Role::Dialer] {
        for bytes in [name("/a"), message("na\n"), b"GET / HTTP/1.1\r\n".repeat(9)] {
            let mut negotiation = Negotiation::new(role);
            assert_eq!(write(&mut negotiation, &bytes), None);
            assert!(negotiation.is_over());
        }
    }
}

#[test]
fn a_name_without_line_feed_ends_the_negotiation() {
    for role in [Role::Listener, Role::Dialer] {
        let mut negotiation = Negotiation::new(role);
        let bytes = [header(), message("/a")].concat();
        assert_eq!(write(&mut negotiation, &bytes), None);
        assert!(negotiation.is_over());
    }
}

#[test]
fn after_it_is_settled_nothing_is_looked_at() {
    let mut listener = listener_with_header();
    assert!(write(&mut listener, &name("/a")).is_some());
    assert_eq!(write(&mut listener, &[header(), name("/b")].concat()), None);
    assert_eq!(read(&mut listener, &[header(), name("/b")].concat()), None);
    assert!(listener.is_over());
    assert_eq!(listener.kept_bytes(), 0);
}

#[test]
fn a_negotiation_before_its_first_byte_keeps_nothing_and_is_small() {
    for role in [Role::Listener, Role::Dialer] {
        assert_eq!(Negotiation::new(role).kept_bytes(), 0);
    }
    assert!(
        size_of::<Negotiation>() <= 80,
        "{}",
        size_of::<Negotiation>()
    );
}

#[test]
fn an_answer_that_goes_on_otherwise_than_it_began_is_no_confirmation() {
    let (header, proposal) = (header(), name("/a/b"));
    let expected = [&*header, &*proposal].concat();
    // The letter before the line feed.
    for (other, end) in [
        (header.len() - 2, header.len()),
        (expected.len() - 2, expected.len()),
    ] {
        let mut bytes = expected.clone();
        bytes[other] ^= 1;
        for at in 0..=other {
            let mut dialer = dialer_that_proposed("/a/b");
            assert_eq!(read(&mut dialer, &bytes[..at]), None, "at {at}");
            assert_eq!(read(&mut dialer, &bytes[at..end]), None, "at {at}");
            assert!(!dialer.is_over());
            assert_eq!(read(&mut dialer, &proposal).as_deref(), Some("/a/b"));
        }
    }
}

#[test]
fn a_part_of_a_long_message_is_no_short_one() {
    // The length has two bytes. The second one is `/`. The first one alone would be the length of the rest.
    let part = [b"\x84/", &[b'a'; 130][..], b"\n"].concat();
    assert_eq!(part.len(), 1 + usize::from(part[0]));
    for mut negotiation in [Negotiation::new(Role::Dialer), listener_with_header()] {
        let bytes = match negotiation.reads() {
            true => [header(), part.clone()].concat(),
            false => part.clone(),
        };
        assert_eq!(write(&mut negotiation, &bytes), None);
        assert_eq!(write(&mut negotiation, b"a"), None);
        assert!(!negotiation.is_over());
    }
}

#[test]
fn a_header_that_turns_into_the_proposal_confirms_nothing() {
    // Both have the same length. The header comes before the proposal is written.
    let proposal = "/multistream/1.0.1";
    let mut dialer = Negotiation::new(Role::Dialer);
    assert_eq!(read(&mut dialer, &header()[..18]), None);
    assert_eq!(
        write(&mut dialer, &[header(), name(proposal)].concat()),
        None
    );
    assert_eq!(read(&mut dialer, b"1\n"), None);
    assert!(!dialer.is_over());
}
