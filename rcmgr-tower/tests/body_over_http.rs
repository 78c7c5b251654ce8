//! Bodies over real HTTP/1 and HTTP/2 servers: what clients see of a refusal.

mod layer_support;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use layer_support::*;
use rcmgr_atomic::{KIB, MIB, Manager, Priority};
use rcmgr_tower::{BodyBudget, RequestBody, RequestScopes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

/// How long a test waits for what must happen.
const AT_MOST: Duration = Duration::from_secs(30);

fn layer_of(manager: &Manager, budget: BodyBudget) -> RequestScopes {
    RequestScopes::new(manager)
        .memory_per_request(0)
        .priority(|_| Priority::Always)
        .body(budget)
}

/// Serves one connection over HTTP/1 with a handler that collects bodies.
async fn serve_http1<I>(io: I, layer: RequestScopes)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(layer.layer(service_fn(collect::<Incoming>)));
    let server = hyper::server::conn::http1::Builder::new();
    // A client that breaks the connection off makes it fail, which is not of interest.
    let _ = server.serve_connection(TokioIo::new(io), service).await;
}

/// A connection to a server over HTTP/1, for requests that are written by hand.
fn by_hand(layer: RequestScopes) -> DuplexStream {
    let (client, server) = duplex(16 * 1024);
    tokio::spawn(serve_http1(server, layer));
    client
}

/// The answer to a request that is written by hand, up to the end of the connection.
async fn answer_to(client: &mut DuplexStream, request: &[u8]) -> String {
    client.write_all(request).await.unwrap();
    let mut answer = String::new();
    timeout(AT_MOST, client.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

/// Waits for a condition.
async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + AT_MOST;
    while !condition() {
        assert!(Instant::now() < deadline, "the condition does not come");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until the manager holds nothing.
async fn until_zero(manager: &Manager) {
    until(|| memory(manager) == 0).await;
}

#[tokio::test]
async fn over_http_1_a_chunked_body_is_refused_at_the_byte_that_goes_over() {
    let manager = manager_of(MIB);
    let budget = BodyBudget::per_request(10);
    let head =
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let fits = format!("{head}a\r\n0123456789\r\n0\r\n\r\n");
    let answer = answer_to(&mut by_hand(layer_of(&manager, budget)), fits.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let goes_over = format!("{head}a\r\n0123456789\r\n1\r\n0\r\n0\r\n\r\n");
    let answer = answer_to(
        &mut by_hand(layer_of(&manager, budget)),
        goes_over.as_bytes(),
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"),
        "{answer}"
    );
    until_zero(&manager).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_100_continue_is_refused_before_it_sends() {
    let manager = manager_of(MIB);
    let mut client = by_hand(layer_of(&manager, BodyBudget::per_request(10)));
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n";
    let start = Instant::now();
    let answer = answer_to(&mut client, head.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
    // It sends nothing, so the server reads nothing.
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_if_its_body_may_come() {
    let manager = manager_of(MIB);
    let mut client = by_hand(layer_of(&manager, BodyBudget::per_request(10)));
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\
                Connection: close\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut line = [0; 25];
    client.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    let answer = answer_to(&mut client, b"0123456789").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_shorter_than_it_declared_is_an_error_of_the_client_and_leaves_nothing() {
    let manager = manager_of(MIB);
    let mut client = by_hand(layer_of(&manager, BodyBudget::per_request(100)));
    let request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nonly this";
    client.write_all(request.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    let _ = timeout(AT_MOST, client.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(!answer.contains("200 OK"), "{answer}");
    until_zero(&manager).await;
}

#[tokio::test]
async fn what_follows_a_body_longer_than_it_declared_is_not_charged() {
    let manager = manager_of(MIB);
    let mut client = by_hand(layer_of(&manager, BodyBudget::per_request(10)));
    let request =
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789 and much more";
    let answer = answer_to(&mut client, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    until_zero(&manager).await;
}

/// Writes a request with a body of this length, as far as the server takes it, and reads the answer
/// only then.
async fn write_then_read(address: std::net::SocketAddr, head: &str, length: usize) -> String {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![b'x'; length]).await.unwrap();
    let mut answer = String::new();
    let read = timeout(AT_MOST, client.read_to_string(&mut answer))
        .await
        .unwrap();
    read.expect("the connection is not reset before the answer is read");
    answer
}

/// A server over HTTP/1 on a port of its own.
async fn listen(layer: RequestScopes) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_http1(stream, layer.clone()));
        }
    });
    address
}

#[tokio::test]
async fn a_client_that_is_still_sending_reads_the_answer() {
    let manager = manager_of(MIB);
    let address = listen(layer_of(&manager, BodyBudget::per_request(10))).await;
    // Less than the server reads off. Refused by its head, and refused when it goes over.
    let length = 60 * 1024;
    let declared = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    let answer = write_then_read(address, &declared, length).await;
    assert!(
        answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"),
        "{answer}"
    );
    let chunked =
        format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n");
    let answer = write_then_read(address, &chunked, length).await;
    assert!(
        answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    until_zero(&manager).await;
}

/// The head of the answer, which the client reads while its body is still on its way.
async fn head_of_answer(client: &mut DuplexStream, request: &str) -> String {
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(AT_MOST, client.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Requests that are refused by their heads, and when their bodies go over.
const TOO_LONG: [&str; 2] = [
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n0123456789+",
];

#[tokio::test(start_paused = true)]
async fn after_the_answer_the_server_reads_on_for_a_while() {
    let manager = manager_of(MIB);
    for request in TOO_LONG {
        let mut client = by_hand(layer_of(&manager, BodyBudget::per_request(10)));
        let head = head_of_answer(&mut client, request).await;
        assert!(
            head.starts_with("HTTP/1.1 413 Payload Too Large\r\n"),
            "{head}"
        );
        // Nothing breaks for a client that sends a little more.
        client.write_all(&[b'x'; 48 * 1024]).await.unwrap();
        // The server does not read all that comes.
        let error = client.write_all(&[b'x'; 256 * 1024]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_answer_the_server_does_not_wait_long_for_a_client_that_stalls() {
    let manager = manager_of(MIB);
    for request in TOO_LONG {
        let mut client = by_hand(layer_of(&manager, BodyBudget::per_request(10)));
        let start = Instant::now();
        let answer = answer_to(&mut client, request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"),
            "{answer}"
        );
        let waited = start.elapsed();
        let expected = Duration::from_millis(200)..Duration::from_millis(300);
        assert!(expected.contains(&waited), "{waited:?}");
    }
}

#[tokio::test]
async fn a_hyper_client_over_http_1_sees_the_refusal_of_a_large_body() {
    let manager = manager_of(MIB);
    let (client, server) = duplex(16 * 1024);
    tokio::spawn(serve_http1(
        server,
        layer_of(&manager, BodyBudget::per_request(10)),
    ));
    let connected = hyper::client::conn::http1::handshake(TokioIo::new(client)).await;
    let (mut sender, connection) = connected.unwrap();
    tokio::spawn(connection);
    let (mut frames, body) = sent_body();
    frames.send_data(bytes(5 * MIB as usize)).await.unwrap();
    let request = Request::post("http://x/").body(body).unwrap();
    let response = timeout(AT_MOST, sender.send_request(request))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(read(response).await.contains("at most 10 bytes"));
    until_zero(&manager).await;
}

type Http2Client = SendRequest<SentBody>;

/// A client of a server over HTTP/2, whose service this is.
async fn http2<S, R>(service: S) -> Http2Client
where
    S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    const STREAMS: u32 = 1_000_000;
    let (client, server) = duplex(64 * 1024);
    let executor = TokioExecutor::new();
    let mut builder = hyper::server::conn::http2::Builder::new(executor.clone());
    builder.max_concurrent_streams(STREAMS);
    builder.max_pending_accept_reset_streams(STREAMS as usize);
    let served = builder.serve_connection(TokioIo::new(server), TowerToHyperService::new(service));
    // It ends with the connection of the client, which may well be broken off.
    tokio::spawn(async { drop(served.await) });
    let mut builder = hyper::client::conn::http2::Builder::new(executor);
    builder.initial_max_send_streams(STREAMS as usize);
    let (sender, connection) = builder.handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A client of a server over HTTP/2 that collects bodies.
async fn collecting(layer: RequestScopes) -> Http2Client {
    http2(layer.layer(service_fn(collect::<Incoming>))).await
}

#[tokio::test]
async fn over_http_2_a_body_is_refused_at_the_byte_that_goes_over_and_the_connection_stays() {
    let manager = manager_of(MIB);
    let mut client = collecting(layer_of(&manager, BodyBudget::per_request(10))).await;
    for (length, status) in [
        (10, StatusCode::OK),
        (11, StatusCode::PAYLOAD_TOO_LARGE),
        (MIB as usize, StatusCode::PAYLOAD_TOO_LARGE),
        (10, StatusCode::OK),
    ] {
        let (mut frames, body) = sent_body();
        frames.send_data(bytes(length)).await.unwrap();
        drop(frames);
        let request = Request::post("http://x/").body(body).unwrap();
        let response = timeout(AT_MOST, client.send_request(request))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(response.status(), status);
        assert!(response.headers().get("connection").is_none());
        read(response).await;
    }
    until_zero(&manager).await;
}

#[tokio::test]
async fn over_http_2_a_declared_length_over_the_budget_is_refused_by_the_head() {
    let manager = manager_of(MIB);
    let mut client = collecting(layer_of(&manager, BodyBudget::per_request(10))).await;
    // Not a byte of it is sent.
    let (frames, body) = sent_body();
    let request = Request::post("http://x/").header("content-length", 11);
    let sent = client.send_request(request.body(body).unwrap());
    let response = timeout(AT_MOST, sent).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    drop(frames);
}

#[tokio::test]
async fn two_bodies_on_one_http_2_connection_that_do_not_fit_together() {
    let manager = manager_of(1000 * KIB);
    let layer = layer_of(&manager, BodyBudget::per_request(800 * KIB));
    let client = collecting(layer).await;
    let both_have_a_half = Barrier::new(2);
    let send = async |mut client: Http2Client| {
        let (mut frames, body) = sent_body();
        let sends = async {
            // Half of the body arrives, then the other half.
            frames.send_data(bytes(400 * 1024)).await.unwrap();
            until(|| memory(&manager) == 800 * KIB).await;
            both_have_a_half.wait().await;
            frames.send_data(bytes(400 * 1024)).await.unwrap();
            drop(frames);
        };
        let request = Request::post("http://x/").body(body).unwrap();
        let (response, ()) = tokio::join!(client.send_request(request), sends);
        let response = response.unwrap();
        let retry = response.headers().contains_key("retry-after");
        (response.status(), retry)
    };
    let both = async { tokio::join!(send(client.clone()), send(client.clone())) };
    let (one, two) = timeout(AT_MOST, both).await.unwrap();
    let mut both = [one, two];
    both.sort();
    let busy = (StatusCode::SERVICE_UNAVAILABLE, true);
    assert_eq!(both, [(StatusCode::OK, false), busy]);
    until_zero(&manager).await;
}

/// A request over HTTP/2 without a body.
fn empty() -> Request<SentBody> {
    let (_, body) = sent_body();
    Request::get("http://x/").body(body).unwrap()
}

#[tokio::test]
async fn ten_thousand_streams_on_one_connection_are_bounded_and_their_end_leaves_nothing() {
    const STREAMS: usize = 10_000;
    const MOST: usize = 100;
    let per_request = RequestScopes::MEMORY_PER_REQUEST;
    let manager = manager(|limits| limits.conn.memory = (MOST as u64 * per_request).into());
    let scope = connection(&manager);
    let of_connection = scope.clone();
    let never = service_fn(async |_: Request<RequestBody<Incoming>>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
    });
    let service = RequestScopes::new(&manager)
        .priority(|_| Priority::Always)
        .layer(never)
        .map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(of_connection.clone());
            request
        });
    let client = http2(service).await;

    // Those that are admitted stay; the others are answered.
    let mut requests = JoinSet::new();
    for _ in 0..STREAMS {
        let mut client = client.clone();
        requests.spawn(async move { client.send_request(empty()).await.unwrap().status() });
    }
    for _ in 0..STREAMS - MOST {
        let answered = timeout(AT_MOST, requests.join_next()).await;
        let status = answered
            .expect("those that are refused are answered")
            .unwrap();
        assert_eq!(status.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(scope.stat().memory, MOST as u64 * per_request);
    assert_eq!(requests.len(), MOST);
    // The client resets them.
    requests.shutdown().await;
    until_zero(&manager).await;
}

#[tokio::test]
async fn a_flood_of_streams_that_are_opened_and_reset_leaves_nothing() {
    let manager = manager(|_| {});
    let layer = layer_of(&manager, BodyBudget::per_request(MIB));
    let client = collecting(layer.memory_per_request(100)).await;
    for _ in 0..100 {
        let mut requests = JoinSet::new();
        let mut senders = Vec::new();
        for _ in 0..100 {
            let mut client = client.clone();
            let (mut frames, body) = sent_body();
            frames.send_data(bytes(100)).await.unwrap();
            senders.push(frames);
            let request = Request::post("http://x/").body(body).unwrap();
            requests.spawn(async move { client.send_request(request).await.map(drop) });
        }
        tokio::task::yield_now().await;
        requests.shutdown().await;
    }
    drop(client);
    until_zero(&manager).await;
    assert!(manager.stat().system.is_zero());
}
