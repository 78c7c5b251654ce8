//! The limit on the time that a connection may be without a request, in paused time.

mod support;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rcmgr_atomic::{Direction, Endpoint, Manager, UsesFd};
use rcmgr_tokio::{ConnScope, GuardedStream};
use rcmgr_tower::{Io, RequestBody, RequestScopes};
use support::all_released;
use support::server::manager;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};

const LIMIT: Duration = Duration::from_secs(10);

/// The length of the response at `/long`.
const LONG: usize = 1024 * 1024;

async fn handle(
    mut request: Request<RequestBody<Incoming>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"hello")));
    match request.uri().path() {
        "/slow" => sleep(10 * LIMIT).await,
        "/long" => *response.body_mut() = Full::new(Bytes::from(vec![b'x'; LONG])),
        "/socket" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut socket = TokioIo::new(upgrade.await.unwrap());
                let mut byte = [0];
                while socket.read_exact(&mut byte).await.is_ok() {
                    socket.write_all(&byte).await.unwrap();
                }
            });
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert("connection", "upgrade".parse().unwrap());
            headers.insert("upgrade", "echo".parse().unwrap());
            *response.body_mut() = Full::default();
        }
        _ => {}
    }
    Ok(response)
}

/// The far end of a connection to a server with a limit.
fn connect(manager: &Manager, limit: Duration) -> DuplexStream {
    let connection = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None);
    let scope = ConnScope::new(connection.unwrap());
    let (near, far) = tokio::io::duplex(16 * 1024);
    let stream = GuardedStream::new(near, scope, Endpoint::None);
    let io = Io::new(stream).request_within(limit);
    let scopes = RequestScopes::new(manager).connection(io.conn_info());
    let service = scopes.layer(service_fn(handle));
    tokio::spawn(async move {
        let service = TowerToHyperService::new(service);
        let server = hyper::server::conn::http1::Builder::new();
        let connection = server.serve_connection(TokioIo::new(io), service);
        let _ = connection.with_upgrades().await;
    });
    far
}

/// Reads a response whose last bytes are `end`.
async fn read_through(far: &mut DuplexStream, end: &[u8]) {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        assert_ne!(far.read_buf(&mut read).await.unwrap(), 0, "it is cut");
    }
}

/// Waits until the server closes the connection, and returns the time that it took.
async fn closed_after(far: &mut DuplexStream) -> Duration {
    let start = Instant::now();
    assert_eq!(far.read(&mut [0; 64]).await.unwrap(), 0);
    start.elapsed()
}

fn is_about(time: Duration, expected: Duration) -> bool {
    // Timers have milliseconds.
    time.abs_diff(expected) <= Duration::from_millis(5)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_speaks_is_closed_at_the_limit() {
    let manager = manager(|_| ());
    let mut far = connect(&manager, LIMIT);
    let closed = closed_after(&mut far).await;
    assert!(is_about(closed, LIMIT), "{closed:?}");
    all_released(&manager).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_the_head_of_a_request_slowly_is_closed_at_the_limit() {
    let manager = manager(|_| ());
    let mut far = connect(&manager, LIMIT);
    far.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nA: ")
        .await
        .unwrap();
    let mut sent = 0;
    while far.write_all(b"a").await.is_ok() {
        sleep(Duration::from_secs(1)).await;
        sent += 1;
    }
    assert!((9..=11).contains(&sent), "{sent}");
    all_released(&manager).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_between_requests_is_closed_at_the_limit_after_the_last_one() {
    let manager = manager(|_| ());
    let mut far = connect(&manager, LIMIT);
    for _ in 0..5 {
        sleep(LIMIT * 9 / 10).await;
        far.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        read_through(&mut far, b"hello").await;
    }
    let closed = closed_after(&mut far).await;
    assert!(is_about(closed, LIMIT), "{closed:?}");
    all_released(&manager).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_in_progress_is_not_cut_however_long_it_takes() {
    let manager = manager(|_| ());
    let mut far = connect(&manager, LIMIT);
    far.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    read_through(&mut far, b"hello").await;
    let closed = closed_after(&mut far).await;
    assert!(is_about(closed, LIMIT), "{closed:?}");
    all_released(&manager).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_a_long_response_slowly_gets_all_of_it() {
    let manager = manager(|_| ());
    let mut far = connect(&manager, LIMIT);
    far.write_all(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    // The response is one piece, so its span ends long before the client has it.
    let (mut left, mut buffer) = (LONG, vec![0; 16 * 1024]);
    while left > 0 {
        let read = far.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "it is cut, and {left} bytes are left");
        left = left.saturating_sub(read);
        sleep(LIMIT / 2).await;
    }
    drop(far);
    all_released(&manager).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_closed_at_the_limit() {
    let manager = manager(|_| ());
    let mut far = connect(&manager, LIMIT);
    far.write_all(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    all_released(&manager).await;
}

#[tokio::test(start_paused = true)]
async fn after_an_upgrade_there_is_no_limit() {
    let manager = manager(|_| ());
    let mut far = connect(&manager, LIMIT);
    let request = b"GET /socket HTTP/1.1\r\nHost: localhost\r\n\
        Connection: upgrade\r\nUpgrade: echo\r\n\r\n";
    far.write_all(request).await.unwrap();
    read_through(&mut far, b"\r\n\r\n").await;
    for _ in 0..5 {
        sleep(3 * LIMIT).await;
        far.write_all(b"e").await.unwrap();
        read_through(&mut far, b"e").await;
    }
    drop(far);
    all_released(&manager).await;
}

#[tokio::test(start_paused = true)]
async fn connect_turns_over_a_connection_of_http1_and_a_stream_of_http2() {
    for (version, has_limit) in [(Version::HTTP_11, false), (Version::HTTP_2, true)] {
        let manager = manager(|_| ());
        let connection = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None);
        let scope = ConnScope::new(connection.unwrap());
        let (near, _far) = tokio::io::duplex(1024);
        let stream = GuardedStream::new(near, scope, Endpoint::None);
        let mut io = Io::new(stream).request_within(LIMIT);
        // Whatever the request, the answer is a success, as that of a router with a page for the rest.
        let service = RequestScopes::new(&manager)
            .connection(io.conn_info())
            .layer(service_fn(async |_| {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }));
        let mut request = Request::new(Full::<Bytes>::default());
        *request.method_mut() = Method::CONNECT;
        *request.version_mut() = version;
        drop(service.oneshot(request).await.unwrap());
        let read = timeout(5 * LIMIT, io.read_u8()).await;
        let kind = read.ok().map(|read| read.unwrap_err().kind());
        let expected = has_limit.then_some(std::io::ErrorKind::TimedOut);
        assert_eq!(kind, expected, "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_no_clock_can_show_is_none() {
    let manager = manager(|_| ());
    let mut far = connect(&manager, Duration::MAX);
    for _ in 0..2 {
        sleep(Duration::from_secs(1_000_000)).await;
        far.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        read_through(&mut far, b"hello").await;
    }
    drop(far);
    all_released(&manager).await;
}
