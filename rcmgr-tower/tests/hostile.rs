//! Clients that lie about their body, stop in the middle, and open as much as they can. After each of
//! them, nothing is in use.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use rcmgr_atomic::Manager;
use rcmgr_core::{KIB, LimitValue, MIB, Priority};
use rcmgr_tower::axum::Listener;
use rcmgr_tower::{BodyBudget, ConnInfo, RequestScopes};
use support::server::{Server, app, listener, manager};
use support::{all_released, http1, http2, until, within};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The most that the body of one request may have in these tests.
const MOST: u64 = 64 * KIB;

/// A layer whose requests may use the whole limit, and cost nothing but their body.
fn scopes(manager: &Manager) -> RequestScopes {
    RequestScopes::new(manager)
        .priority(|_| Priority::Always)
        .memory_per_request(0)
}

async fn server() -> Server {
    let manager = manager(|_| ());
    let layer = scopes(&manager).body(BodyBudget::per_request(MOST));
    Server::axum(&manager, app(Arc::new(Semaphore::new(0))).layer(layer)).await
}

fn upload(length: impl std::fmt::Display) -> String {
    format!("POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_body_that_ends_before_its_content_length_gives_everything_back() {
    let server = server().await;
    let mut client = http1::Client::connect(server.addr).await;
    client.send(upload(1000)).await;
    client.send([b'x'; 10]).await;
    until("the body arrives", || {
        server.manager.stat().system.memory == 10
    })
    .await;
    client.finish_sending().await;
    client.closed().await;

    let mut other = http1::Client::connect(server.addr).await;
    let response = other.request(upload(3) + "abc").await;
    assert_eq!((response.status, &response.body[..]), (200, &b"3"[..]));
    drop(other);
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn bytes_after_the_content_length_are_not_part_of_the_body() {
    let server = server().await;
    let mut client = http1::Client::connect(server.addr).await;
    let response = client.request(upload(3) + "abcdefghi\r\n\r\n").await;
    assert_eq!((response.status, &response.body[..]), (200, &b"3"[..]));
    // The rest is read as the next request, and is none.
    assert_eq!(client.response().await.status, 400);
    client.closed().await;
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_stream_whose_data_differs_from_its_content_length_is_reset() {
    let server = server().await;
    let client = http2::Client::connect(server.addr).await;
    for (claimed, sent) in [("10", 4), ("4", 10)] {
        let mut head = http2::post("/upload");
        let claimed = claimed.parse().expect("it is a value");
        head.headers_mut().insert("content-length", claimed);
        let (response, mut body) = client.open(head, false).await.unwrap();
        body.send_data(Bytes::from(vec![b'x'; sent]), true).unwrap();
        // hyper resets the stream, or the handler answers that the body is broken.
        match within("an answer", response).await {
            Ok(response) => assert!(response.status().is_client_error(), "{response:?}"),
            Err(error) => assert!(error.is_reset(), "{error}"),
        }
    }
    // The connection is as good as before.
    assert_eq!(client.get("/").await.unwrap(), StatusCode::OK);
    client.close().await;
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_content_length_above_the_budget_is_refused_before_any_of_the_body_arrives() {
    let server = server().await;
    for length in [MOST + 1, u64::MAX / 2] {
        let mut client = http1::Client::connect(server.addr).await;
        let response = client.request(upload(length)).await;
        assert_eq!(response.status, 413);
        // The rest of the body could be anything, so the connection has no further request.
        assert_eq!(response.header("connection"), Some("close"));
        assert_eq!(response.header("retry-after"), None);
        client.closed().await;
    }
    // A length beyond all numbers never reaches the layer: hyper refuses it.
    let mut client = http1::Client::connect(server.addr).await;
    let response = client.request(upload("99999999999999999999")).await;
    assert!((400..500).contains(&response.status), "{response:?}");
    drop(client);
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_body_in_chunks_is_refused_at_the_byte_that_goes_over() {
    let server = server().await;
    let head = "POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (length, status) in [(MOST, 200), (MOST + 1, 413)] {
        let mut client = http1::Client::connect(server.addr).await;
        client.send(head).await;
        let mut left = length;
        while left > 0 {
            let chunk = left.min(16 * KIB);
            left -= chunk;
            client.send(format!("{chunk:x}\r\n")).await;
            client.send(vec![b'x'; chunk as usize]).await;
            client.send("\r\n").await;
        }
        if status == 200 {
            client.send("0\r\n\r\n").await;
        }
        // The body that goes over has no end: the answer does not wait for it.
        assert_eq!(client.response().await.status, status);
    }
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_client_that_sends_its_whole_body_first_sees_the_413() {
    let server = server().await;
    for chunked in [false, true] {
        let body = vec![b'x'; (MOST + 40 * KIB) as usize];
        let mut client = http1::Client::connect(server.addr).await;
        if chunked {
            let head = "POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked";
            client
                .send(format!("{head}\r\n\r\n{:x}\r\n", body.len()))
                .await;
            client.send(&body).await;
            client.send("\r\n0\r\n\r\n").await;
        } else {
            client.send(upload(body.len())).await;
            client.send(&body).await;
        }
        assert_eq!(client.response().await.status, 413);
        // What follows the response is the end of the connection, not a reset.
        assert!(client.closed().await.is_empty());
    }
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn the_client_of_hyper_sees_the_413_of_a_long_body() {
    let server = server().await;
    let stream = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let handshake = hyper::client::conn::http1::handshake(io);
    let (mut requests, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let body = Full::new(Bytes::from(vec![b'x'; (4 * MIB) as usize]));
    let request = http::Request::post("/upload").header("host", "localhost");
    let response = requests.send_request(request.body(body).unwrap());
    let response = within("a response", response).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert!(!text.is_empty(), "the response says why");
    drop(requests);
    let _ = within("the end of the connection", connection).await;
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn curl_sees_the_413_of_a_long_body() {
    let has_curl = Command::new("curl").arg("--version").output().await.is_ok();
    assert!(
        has_curl || std::env::var_os("CI").is_none(),
        "curl is there"
    );
    if !has_curl {
        println!("skipped, because curl is missing");
        return;
    }
    let server = server().await;
    let url = format!("http://{}/upload", server.addr);
    let body = tempfile::NamedTempFile::new().unwrap();
    body.as_file().set_len(4 * MIB).unwrap();
    let body = format!("@{}", body.path().display());
    // By default curl waits for `100 Continue` before a long body. Without, it sends it at once.
    for expect in ["Expect: 100-continue", "Expect:"] {
        for transfer in ["A: b", "Transfer-Encoding: chunked"] {
            let mut curl = Command::new("curl");
            curl.args([
                "-q",
                "-sS",
                "--http1.1",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
            ])
            .args(["-H", expect, "-H", transfer, "--data-binary", &body, &url]);
            let output = within("curl", curl.output()).await.unwrap();
            let status = String::from_utf8_lossy(&output.stdout);
            assert_eq!(status, "413", "{expect}, {transfer}: {output:?}");
        }
    }
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_client_of_http2_sees_the_413_and_goes_on() {
    let server = server().await;
    let client = http2::Client::connect(server.addr).await;
    let (response, mut body) = client.open(http2::post("/upload"), false).await.unwrap();
    // It sends until the server stops it.
    while body
        .send_data(Bytes::from(vec![b'x'; 16 * 1024]), false)
        .is_ok()
    {
        body.reserve_capacity(16 * 1024);
        let capacity = std::future::poll_fn(|cx| body.poll_capacity(cx));
        match within("room to send", capacity).await {
            Some(Ok(_)) => (),
            _ => break,
        }
    }
    let response = within("a response", response).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(client.get("/").await.unwrap(), StatusCode::OK);
    client.close().await;
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn of_two_bodies_that_fit_singly_one_is_refused_and_the_other_ends_well() {
    // Room for one body and a half.
    let manager = manager(|limits| limits.system.memory = LimitValue::from(96 * KIB));
    let layer = scopes(&manager).body(BodyBudget::per_request(MOST));
    let go = Arc::new(Semaphore::new(0));
    let server = Server::axum(&manager, app(go.clone()).layer(layer)).await;

    let mut first = http1::Client::connect(server.addr).await;
    let head = format!("POST /hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MOST}\r\n\r\n");
    first.send(&head).await;
    first.send(vec![b'x'; MOST as usize - 1]).await;
    until("the body arrives", || {
        manager.stat().system.memory >= MOST - 1
    })
    .await;

    let mut second = http1::Client::connect(server.addr).await;
    second.send(&head).await;
    let _ = second.try_send(vec![b'y'; MOST as usize]).await;
    let refused = second.response().await;
    assert_eq!(refused.status, 503);
    let after = refused.header("retry-after").expect("it says when");
    assert!(after.parse::<u64>().expect("seconds") > 0);

    first.send("x").await;
    go.add_permits(1);
    let response = first.response().await;
    assert_eq!(response.status, 200);
    assert_eq!(response.body, MOST.to_string().as_bytes());
    drop((first, second));
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_connection_without_a_first_byte_is_closed() {
    let manager = manager(|_| ());
    let (guarded, addr) = listener(&manager).await;
    let guarded = guarded.first_byte_within(Duration::from_millis(100));
    let server = Server::axum_on(guarded, addr, &manager, app(Arc::new(Semaphore::new(0))));
    let silent = http1::Client::connect(server.addr).await;
    assert!(silent.closed().await.is_empty());
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_client_of_axum_that_sends_its_head_slowly_is_closed() {
    let limit = Duration::from_millis(200);
    let router = || app(Arc::new(Semaphore::new(0)));
    // By both ways to apply the layer.
    for whole in [false, true] {
        let manager = manager(|_| ());
        let (guarded, addr) = listener(&manager).await;
        let listener = Listener::new(guarded).request_within(limit);
        let scopes = scopes(&manager);
        let server = tokio::spawn(async move {
            if whole {
                let app = scopes.into_make_service(router());
                axum::serve(listener, app).await
            } else {
                let app = router().layer(scopes);
                let app = app.into_make_service_with_connect_info::<ConnInfo>();
                axum::serve(listener, app).await
            }
        });
        let mut client = http1::Client::connect(addr).await;
        assert_eq!(client.request(upload(3) + "abc").await.status, 200);
        client
            .send("GET / HTTP/1.1\r\nHost: localhost\r\nA: ")
            .await;
        let closed = async {
            while client.try_send("a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("the end of the connection", closed).await;
        all_released(&manager).await;
        server.abort();
    }
}

#[tokio::test]
async fn a_body_that_stalls_or_drips_is_refused_and_the_client_sees_it() {
    let manager = manager(|_| ());
    let budget = BodyBudget::per_request(MOST)
        .next_chunk_within(Duration::from_millis(500))
        .no_slower_than(10 * KIB, Duration::from_millis(100));
    let app = app(Arc::new(Semaphore::new(0))).layer(scopes(&manager).body(budget));
    let server = Server::axum(&manager, app).await;
    for drips in [false, true] {
        let mut client = http1::Client::connect(server.addr).await;
        client.send(upload(1000)).await;
        // A byte at a time is in time for each chunk, and far below the rate.
        let answered = loop {
            let drip = async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if drips {
                    client.try_send("x").await
                } else {
                    Ok(())
                }
            };
            let gone = drip.await.is_err();
            if gone || client.has_arrived() {
                break client.response().await;
            }
        };
        assert_eq!(answered.status, 408);
        assert!(client.closed().await.is_empty());
    }
    server.ends_with_nothing_in_use().await;
}

/// Requests at a time that the memory of a connection allows in the tests of streams.
const AT_A_TIME: u64 = 16;

#[tokio::test]
async fn ten_thousand_streams_on_one_connection_stay_within_its_memory() {
    let manager = manager(|limits| limits.conn.memory = LimitValue::from(AT_A_TIME * 4 * KIB));
    let layer = scopes(&manager).memory_per_request(4 * KIB);
    let go = Arc::new(Semaphore::new(0));
    let server = Server::axum(&manager, app(go.clone()).layer(layer)).await;
    let client = http2::Client::connect(server.addr).await;

    // The first streams stay open, so all others find the memory of the connection in use.
    let mut held = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (response, _) = client.open(http2::get("/wait"), true).await.unwrap();
        held.spawn(response);
    }
    until("the first requests are in progress", || {
        manager.stat().system.memory == AT_A_TIME * 4 * KIB
    })
    .await;
    for _ in 0..10_000 - AT_A_TIME {
        assert_eq!(
            client.get("/").await.unwrap(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
    go.add_permits(AT_A_TIME as usize);
    while let Some(response) = within("a response", held.join_next()).await {
        assert_eq!(response.unwrap().unwrap().status(), StatusCode::OK);
    }
    // There is room again.
    until("the requests end", || manager.stat().system.memory == 0).await;
    assert_eq!(client.get("/").await.unwrap(), StatusCode::OK);
    client.close().await;
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_flood_of_streams_that_are_reset_leaves_nothing_behind() {
    let manager = manager(|limits| limits.conn.memory = LimitValue::from(AT_A_TIME * 4 * KIB));
    let layer = scopes(&manager).memory_per_request(4 * KIB);
    let server = Server::axum(&manager, app(Arc::new(Semaphore::new(0))).layer(layer)).await;
    let mut resets = 0;
    let mut connections = 0;
    while resets < 10_000 {
        // hyper ends a connection with too many resets.
        let client = http2::Client::connect(server.addr).await;
        connections += 1;
        while resets < 10_000 {
            let Ok((response, mut body)) = client.open(http2::post("/wait"), false).await else {
                break;
            };
            // Half of the streams are in progress when they are reset.
            if resets % 2 == 0 {
                tokio::task::yield_now().await;
            }
            body.send_reset(h2::Reason::CANCEL);
            drop(response);
            resets += 1;
        }
        client.close().await;
    }
    println!("{resets} resets on {connections} connections");
    server.ends_with_nothing_in_use().await;
}
