//! Refused clients over TCP.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_core::{Error, Limits, ScopeId};
use rcmgr_tokio::{AcceptFuture, Guarded, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

/// A manager that refuses each connection.
fn manager() -> Manager {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 0.into();
    Manager::new(limits).unwrap()
}

/// Connects to a listener that refuses, sends `request`, waits until the connection was refused, and
/// reads to the end.
async fn refused_client(refusal: Refusal, request: &[u8]) -> io::Result<Vec<u8>> {
    let manager = manager();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Guarded::new(listener, manager.clone()).on_refusal(refusal);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request).await.unwrap();
    let server = tokio::spawn(async move { listener.accept().await });
    while manager.view_system().refusals().total() == 0 {
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    let read = timeout(LONG, client.read_to_end(&mut answer))
        .await
        .unwrap();
    if !answer.is_empty() {
        // A reset would lose the reply on some systems. On Linux it can be told by a write.
        client.write_all(b"more").await?;
    }
    server.abort();
    read.map(|_| answer)
}

#[tokio::test]
async fn a_closed_client_reads_the_end_of_the_stream() {
    let answer = refused_client(Refusal::Close, b"").await;
    assert_eq!(answer.unwrap(), b"");
}

#[tokio::test]
async fn a_reset_client_gets_an_error() {
    let error = refused_client(Refusal::Reset, b"").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_short_reply_arrives_although_the_client_has_sent_a_request() {
    // A close with unread bytes would be a reset, and the reset would overtake the reply.
    for size in [0, 1, 4000, 60_000] {
        let request = vec![b'x'; size];
        let answer = refused_client(Refusal::Reply(b"busy\r\n"), &request).await;
        assert_eq!(answer.unwrap(), b"busy\r\n", "{size}");
        let owned = Refusal::ReplyBytes("busy\r\n".to_owned().into());
        let answer = refused_client(owned, &request).await;
        assert_eq!(answer.unwrap(), b"busy\r\n", "{size}");
    }
}

#[tokio::test]
async fn a_reply_arrives_at_a_client_that_sends_after_it_was_refused() {
    let manager = manager();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Guarded::new(listener, manager.clone()).on_refusal(Refusal::Reply(b"busy\r\n"));
    let server = tokio::spawn(async move { listener.accept().await });
    let mut client = TcpStream::connect(address).await.unwrap();
    // The reply is in the buffer of the client, unread.
    client.readable().await.unwrap();
    client.write_all(&[b'x'; 1000]).await.unwrap();
    let mut answer = Vec::new();
    timeout(LONG, client.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, b"busy\r\n");
    server.abort();
}

#[tokio::test]
async fn a_function_sees_the_error_and_the_address_and_decides() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let refusal = Refusal::with(move |error, peer| {
        log.lock().unwrap().push((error.clone(), peer));
        Refusal::Reply(b"no\r\n")
    });
    assert_eq!(refused_client(refusal, b"").await.unwrap(), b"no\r\n");
    let [(error, peer)] = <[_; 1]>::try_from(std::mem::take(&mut *seen.lock().unwrap())).unwrap();
    assert!(matches!(error, Error::LimitExceeded(_)));
    assert_eq!(error.scope(), Some(&ScopeId::System.into()));
    assert_eq!(peer.ip().unwrap().to_string(), "127.0.0.1");
}

#[tokio::test]
async fn a_function_that_decides_nothing_closes() {
    let refusal = Refusal::with(|_, _| Refusal::with(|_, _| Refusal::Reply(b"no\r\n")));
    assert_eq!(refused_client(refusal, b"").await.unwrap(), b"");
}

#[tokio::test]
async fn a_listener_made_of_a_function_resets_as_it_is_told() {
    let manager = manager();
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap();
    let listener = AcceptFuture::new(move || {
        let listener = listener.clone();
        async move {
            let (stream, remote) = listener.accept().await?;
            Ok((stream, remote.into()))
        }
    });
    let listener = listener.reset_on_close(|stream| stream.set_zero_linger());
    let listener = Guarded::new(listener, manager).on_refusal(Refusal::Reset);
    let mut client = TcpStream::connect(address).await.unwrap();
    let server = tokio::spawn(async move { listener.accept().await });
    let read = timeout(LONG, client.read_u8()).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    server.abort();
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_gets_its_reply_and_is_closed_where_it_cannot_be_reset() {
    use tokio::net::{UnixListener, UnixStream};

    let folder = tempfile::tempdir().unwrap();
    for (refusal, expected) in [
        (Refusal::Reply(b"busy\r\n"), &b"busy\r\n"[..]),
        (Refusal::Reset, b""),
    ] {
        let path = folder.path().join(expected.len().to_string());
        let listener = UnixListener::bind(&path).unwrap();
        let listener = Guarded::new(listener, manager()).on_refusal(refusal);
        let server = tokio::spawn(async move { listener.accept().await });
        let mut client = UnixStream::connect(&path).await.unwrap();
        let mut answer = Vec::new();
        timeout(LONG, client.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer, expected);
        server.abort();
    }
}
