//! What a parser easily does wrong, one test each.

use crc::{CRC_32_ISCSI, Crc};
use rcmgr_guard::ProxyVersion;
use rcmgr_guard::proxy_protocol::{BadHeaderReason as Reason, MOST_BLOCK, Parsed, header, parse};

use crate::haproxy;
use crate::headers::{IPV4_BLOCK, address, assert_bad, assert_client, v2, valid, with_tlvs};

#[test]
fn valid_headers_of_each_kind_are_read() {
    for (header, client) in valid() {
        assert_client(&header, client);
    }
}

#[test]
fn each_prefix_of_a_valid_header_asks_for_more() {
    for (header, _) in valid() {
        for end in 0..header.len() {
            let prefix = &header[..end];
            assert_eq!(parse(prefix), Ok(Parsed::More), "{}", prefix.escape_ascii());
        }
    }
}

#[test]
fn bytes_behind_the_header_do_not_count_to_it() {
    for (header, client) in valid() {
        for payload in [&b"\r\n"[..], b"PROXY UNKNOWN\r\n", b"\0", b"0"] {
            let both = [&header, payload].concat();
            let client = client.map(address);
            let length = header.len();
            assert_eq!(parse(&both), Ok(Parsed::Header { client, length }));
        }
    }
}

#[test]
fn other_protocols_are_refused_at_their_first_wrong_byte() {
    assert_bad(b"GET / HTTP/1.1\r\n", Reason::Signature, 0);
    assert_bad(b"\x16\x03\x01", Reason::Signature, 0);
    assert_bad(b"POST / HTTP/1.1\r\n", Reason::Signature, 1);
    assert_bad(b"proxy TCP4", Reason::Signature, 0);
    assert_bad(b"PROXY\t", Reason::Signature, 5);
    assert_bad(b"\r\nGET", Reason::Signature, 2);
}

#[test]
fn a_text_header_of_another_protocol_is_refused() {
    assert_bad(b"PROXY UDP4 ", Reason::Protocol, 7);
    assert_bad(b"PROXY TCP5 ", Reason::Protocol, 9);
    assert_bad(b"PROXY TCP4X", Reason::Protocol, 10);
    assert_bad(b"PROXY  TCP4", Reason::Protocol, 6);
    assert_bad(b"PROXY UNKNOWNS\r\n", Reason::LineEnd, 13);
}

#[test]
fn an_address_of_the_other_family_or_in_another_form_is_refused() {
    let bad_first = [
        "PROXY TCP4 192.0.2.07 192.0.2.1 1 2\r\n",
        "PROXY TCP4 192.0.2 192.0.2.1 1 2\r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n",
        "PROXY TCP4  192.0.2.1 1 2\r\n",
        "PROXY TCP4 3221225991 192.0.2.1 1 2\r\n",
        "PROXY TCP6 192.0.2.7 ::1 1 2\r\n",
        "PROXY TCP6 1::2::3 ::1 1 2\r\n",
        "PROXY TCP6 ::12345 ::1 1 2\r\n",
    ];
    for line in bad_first {
        assert_bad(line.as_bytes(), Reason::Address, 11);
    }
    assert_bad(b"PROXY TCP4 ::1 ::1 1 2\r\n", Reason::Address, 11);
    assert_bad(b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", Reason::Address, 18);
    assert_bad(b"PROXY TCP6 [::1] ::1 1 2\r\n", Reason::Address, 11);
    assert_bad(b"PROXY TCP4 192.0.2.7 ::1 1 2\r\n", Reason::Address, 21);
    assert_bad(b"PROXY TCP4 1111111111111111", Reason::Address, 11);
}

#[test]
fn a_port_with_a_sign_or_a_leading_zero_or_out_of_range_is_refused() {
    for port in ["080", "00", "65536", "99999", "", "655350"] {
        let first = format!("PROXY TCP4 1.2.3.4 5.6.7.8 {port} 2\r\n");
        assert_bad(first.as_bytes(), Reason::Port, 27);
        let second = format!("PROXY TCP4 1.2.3.4 5.6.7.8 1 {port}\r\n");
        assert_bad(second.as_bytes(), Reason::Port, 29);
    }
    assert_bad(b"PROXY TCP4 1.2.3.4 5.6.7.8 +80 2\r\n", Reason::Port, 27);
    assert_bad(b"PROXY TCP4 1.2.3.4 5.6.7.8 80 -2\r\n", Reason::Port, 30);
    assert_bad(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", Reason::Port, 30);
}

#[test]
fn a_line_end_without_its_other_half_is_refused() {
    assert_bad(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", Reason::Port, 30);
    assert_bad(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rX", Reason::LineEnd, 31);
    assert_bad(b"PROXY UNKNOWN\nX", Reason::LineEnd, 13);
    assert_bad(b"PROXY UNKNOWN a\nX\r\n", Reason::LineEnd, 15);
    assert_bad(b"PROXY UNKNOWN a\rX\r\n", Reason::LineEnd, 16);
}

#[test]
fn a_text_header_may_have_107_bytes_and_not_one_more() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
    assert_client(line(107).as_bytes(), None);
    assert_bad(line(108).as_bytes(), Reason::LineTooLong, 107);
    // Refused as soon as 107 bytes have no line end, not at the end of an endless line.
    assert_bad(&line(200).as_bytes()[..107], Reason::LineTooLong, 107);
    assert_eq!(parse(&line(200).as_bytes()[..106]), Ok(Parsed::More));
}

#[test]
fn a_client_of_unknown_or_local_is_the_sender_itself() {
    assert_client(b"PROXY UNKNOWN 192.0.2.7 192.0.2.1 1 2\r\n", None);
    assert_client(&v2(0x20, 0x11, &IPV4_BLOCK), None);
    assert_client(&v2(0x20, 0xff, b"any"), None);
}

#[test]
fn other_versions_commands_and_families_are_refused() {
    for command in [0x00, 0x11, 0x22, 0x2f, 0x31] {
        assert_bad(&v2(command, 0x11, &IPV4_BLOCK), Reason::Command, 12);
    }
    for family in [0x02, 0x10, 0x12, 0x20, 0x22, 0x30, 0x32, 0x41, 0xff] {
        assert_bad(&v2(0x21, family, &[0; 300]), Reason::Family, 13);
    }
}

#[test]
fn a_declared_length_of_65535_with_two_bytes_sent_is_refused_at_once() {
    let mut header = v2(0x21, 0x11, &[]);
    header[14..].copy_from_slice(&[0xff, 0xff]);
    header.extend([0, 0]);
    assert_bad(&header, Reason::BlockTooLong, 14);
}

#[test]
fn a_block_may_have_4096_bytes_and_not_one_more() {
    let padded = |block: usize| {
        let value = block - IPV4_BLOCK.len() - 3;
        let [high, low] = u16::try_from(value).unwrap().to_be_bytes();
        with_tlvs(&[&[0x04, high, low][..], &vec![0; value]].concat())
    };
    assert_client(&padded(MOST_BLOCK), Some("192.0.2.7:41000"));
    assert_bad(&padded(MOST_BLOCK + 1), Reason::BlockTooLong, 14);
}

#[test]
fn a_block_shorter_than_its_addresses_is_refused_without_waiting() {
    for (family, needed) in [(0x11, 12), (0x21, 36), (0x31, 216)] {
        let header = v2(0x21, family, &vec![0; needed - 1]);
        assert_bad(&header[..16], Reason::BlockTooShort, 14);
        assert_bad(&header, Reason::BlockTooShort, 14);
    }
}

#[test]
fn a_tlv_past_the_end_of_the_header_is_refused() {
    assert_bad(&with_tlvs(&[0x04]), Reason::TlvTooLong, 28);
    assert_bad(&with_tlvs(&[0x04, 0]), Reason::TlvTooLong, 28);
    assert_bad(&with_tlvs(&[0x04, 0, 1]), Reason::TlvTooLong, 28);
    assert_bad(
        &with_tlvs(&[0x04, 0, 0, 0x05, 0xff, 0xff, 1]),
        Reason::TlvTooLong,
        31,
    );
    // Also where bytes of the client follow.
    let mut header = with_tlvs(&[0x04, 0, 1]);
    header.extend(b"payload");
    assert_bad(&header, Reason::TlvTooLong, 28);
    assert_bad(&v2(0x21, 0x00, &[0x04, 0, 1]), Reason::TlvTooLong, 16);
    assert_bad(&v2(0x20, 0x00, &[0x04, 0, 1]), Reason::TlvTooLong, 16);
}

#[test]
fn a_wrong_checksum_is_refused_whichever_bit_is_flipped() {
    let sent = haproxy::V2_IPV4_CHECKSUM.strip_suffix(b"hi").unwrap();
    let header = sent.to_vec();
    // Addresses, the checksum and the unique id; the other bytes have errors of their own.
    for at in (16..28).chain(31..35).chain(38..header.len()) {
        for bit in 0..8 {
            let mut flipped = header.clone();
            flipped[at] ^= 1 << bit;
            assert_bad(&flipped, Reason::Checksum, 28);
        }
    }
    let mut check = haproxy::V2_CHECK.to_vec();
    check[22] ^= 1;
    assert_bad(&check, Reason::Checksum, 16);
}

#[test]
fn a_checksum_of_another_length_or_a_second_one_is_refused() {
    assert_bad(&with_tlvs(&[0x03, 0, 0]), Reason::ChecksumForm, 28);
    assert_bad(
        &with_tlvs(&[0x03, 0, 5, 1, 2, 3, 4, 5]),
        Reason::ChecksumForm,
        28,
    );
    // The first is right, so the second is the fault.
    let mut twice = with_tlvs(&[0x03, 0, 4, 0, 0, 0, 0, 0x03, 0, 4, 0, 0, 0, 0]);
    let checksum = Crc::<u32>::new(&CRC_32_ISCSI).checksum(&twice);
    twice[31..35].copy_from_slice(&checksum.to_be_bytes());
    assert_bad(&twice, Reason::ChecksumForm, 35);
}

#[test]
fn an_ipv4_mapped_client_counts_as_ipv4() {
    let mut block = [0; 36];
    block[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 7]);
    block[32..34].copy_from_slice(&41000_u16.to_be_bytes());
    assert_client(&v2(0x21, 0x21, &block), Some("192.0.2.7:41000"));
}

#[test]
fn addresses_of_two_families_are_written_as_ipv6() {
    let [four, six] = [address("192.0.2.7:41000"), address("[2001:db8::1]:443")];
    assert_eq!(
        header(ProxyVersion::V1, four, six)
            .escape_ascii()
            .to_string(),
        r"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 41000 443\r\n"
    );
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        assert_client(&header(version, four, six), Some("192.0.2.7:41000"));
        assert_client(&header(version, six, four), Some("[2001:db8::1]:443"));
    }
}

#[test]
fn ipv4_mapped_addresses_are_written_as_ipv4() {
    let client = address("[::ffff:192.0.2.7]:41000");
    let server = address("[::ffff:198.51.100.1]:443");
    let written = header(ProxyVersion::V2, client, server);
    assert_eq!(written, v2(0x21, 0x11, &IPV4_BLOCK));
}

#[test]
fn an_error_says_where_and_why() {
    let error = parse(b"PROXY TCP4 192.0.2.07 192.0.2.1 1 2\r\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "bad PROXY header at byte 11: not an address of this family"
    );
}

#[test]
fn parsing_allocates_nothing() {
    let mut inputs: Vec<Vec<u8>> = valid().into_iter().map(|(header, _)| header).collect();
    inputs.extend(haproxy::ALL.map(|(sent, _)| sent.to_vec()));
    inputs.push(b"PROXY TCP4 192.0.2.07 ".to_vec());
    let mut long = v2(0x21, 0x11, &[]);
    long[14..].copy_from_slice(&[0xff, 0xff]);
    inputs.push(long);
    let memory = allocation_counter::measure(|| {
        for input in &inputs {
            for end in 0..=input.len() {
                // The result is used, so the call stays.
                std::hint::black_box(parse(&input[..end])).ok();
            }
        }
    });
    assert_eq!(memory.count_total, 0);
}
