//! The header is read from a socket, and the bytes behind it are returned.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use rcmgr_guard::proxy_protocol::{
    BadHeaderReason, HeaderError, MOST_BLOCK, Parsed, parse, read_header,
};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::headers::{CLIENT, address, v2, valid, with_tlvs};

/// A connection: the end of the sender, and the accepted end.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sender = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    sender.set_nodelay(true).unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    (sender, accepted)
}

#[tokio::test]
async fn a_header_and_payload_in_one_segment_are_told_apart() {
    for (header, client) in valid() {
        let (mut sender, accepted) = connection().await;
        sender
            .write_all(&[&header, &b"payload"[..]].concat())
            .await
            .unwrap();
        let (read, rest) = read_header(&accepted).await.unwrap();
        assert_eq!(read, client.map(address));
        assert_eq!(rest, Bytes::from_static(b"payload"));
    }
}

#[tokio::test]
async fn a_header_that_comes_byte_by_byte_is_read() {
    for (header, client) in valid() {
        let (mut sender, accepted) = connection().await;
        let mut reading = pin!(read_header(&accepted));
        let (last, first) = header.split_last().unwrap();
        for byte in first {
            sender.write_all(&[*byte]).await.unwrap();
            // One poll, so that the reader sees the bytes in many parts.
            poll_fn(|context| {
                assert!(reading.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
        }
        sender.write_all(&[*last]).await.unwrap();
        let (read, rest) = reading.await.unwrap();
        assert_eq!(read, client.map(address));
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn a_sender_that_closes_within_the_header_is_an_error_with_the_bytes_that_came() {
    let (mut sender, accepted) = connection().await;
    sender.write_all(b"PROXY TCP4 ").await.unwrap();
    drop(sender);
    let error = read_header(&accepted).await.unwrap_err();
    assert!(
        matches!(error, HeaderError::Ended { received: 11 }),
        "{error}"
    );
}

#[tokio::test]
async fn other_bytes_than_a_header_are_an_error_at_once() {
    let (mut sender, accepted) = connection().await;
    sender.write_all(b"GET").await.unwrap();
    let error = read_header(&accepted).await.unwrap_err();
    let HeaderError::Bad(bad) = error else {
        panic!("{error}");
    };
    assert_eq!(bad.reason, BadHeaderReason::Signature);
}

#[tokio::test]
async fn a_connection_that_is_reset_is_an_error_of_the_socket() {
    let (sender, accepted) = connection().await;
    sender.set_zero_linger().unwrap();
    drop(sender);
    let error = read_header(&accepted).await.unwrap_err();
    let HeaderError::Failed(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// The most memory, in bytes, that reading these bytes held at once.
fn most_memory(sent: &[u8]) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (mut sender, accepted) = runtime.block_on(connection());
    runtime.block_on(sender.write_all(sent)).unwrap();
    runtime.block_on(accepted.readable()).unwrap();
    let memory = allocation_counter::measure(|| {
        runtime.block_on(async {
            let mut reading = pin!(read_header(&accepted));
            // Some polls take all that was sent. The header may be incomplete, so none waits.
            for _ in 0..100 {
                let is_done =
                    poll_fn(|context| Poll::Ready(reading.as_mut().poll(context).is_ready()));
                if is_done.await {
                    break;
                }
                tokio::task::yield_now().await;
            }
        });
    });
    memory.bytes_max
}

/// Growth, the copy while the buffer grows, and the runtime.
const CONSTANT: u64 = 2048;

#[test]
fn a_declared_length_allocates_nothing_before_its_bytes_come() {
    let mut header = v2(0x21, 0x11, &[]);
    header[14..].copy_from_slice(&u16::try_from(MOST_BLOCK).unwrap().to_be_bytes());
    header.extend([0, 0]);
    assert_eq!(parse(&header), Ok(Parsed::More));
    let most = most_memory(&header);
    assert!(most < CONSTANT, "{most} bytes");
}

#[test]
fn reading_holds_the_received_bytes_and_a_constant() {
    let [high, low] = 4000_u16.to_be_bytes();
    let header = with_tlvs(&[&[0x04, high, low][..], &[0; 4000]].concat());
    let received = header.len() as u64;
    let most = most_memory(&header);
    // The old and the new buffer, while it grows.
    assert!(most < 2 * received + CONSTANT, "{most} bytes");
}

#[tokio::test]
async fn a_large_header_names_its_client() {
    let [high, low] = 4000_u16.to_be_bytes();
    let header = with_tlvs(&[&[0x04, high, low][..], &[0; 4000]].concat());
    let (mut sender, accepted) = connection().await;
    sender.write_all(&header).await.unwrap();
    let (client, rest) = read_header(&accepted).await.unwrap();
    assert_eq!(client, Some(address(CLIENT)));
    assert!(rest.is_empty());
}
