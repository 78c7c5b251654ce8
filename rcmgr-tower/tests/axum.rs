//! The layers in servers of axum, on guarded listeners.

mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::ExtensionRejection;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use rcmgr_core::{Endpoint, KIB, LimitValue, Priority};
use rcmgr_tokio::Graceful;
use rcmgr_tower::axum::{Listener, NoRequestSpan, with_connections};
use rcmgr_tower::{BodyBudget, ConnInfo, Refusal, RequestScopes, RequestSpan};
use support::server::{Server, app, listener, manager};
use support::{DEADLINE, all_released, http1, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn get_of(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[tokio::test]
async fn the_memory_of_a_request_is_charged_to_its_connection_and_given_back_with_the_response() {
    async fn reserve(span: RequestSpan) -> Result<&'static str, Refusal> {
        let room = span.reserve(48 * KIB, Priority::Always)?;
        drop(room);
        Ok("granted")
    }

    let manager = manager(|limits| limits.conn.memory = LimitValue::from(64 * KIB));
    let go = Arc::new(Semaphore::new(0));
    let router = app(go.clone()).route("/reserve", get(reserve)).layer(
        RequestScopes::new(&manager)
            .memory_per_request(32 * KIB)
            .priority(|_| Priority::Always),
    );
    let server = Server::axum(&manager, router).await;
    let mut client = http1::Client::connect(server.addr).await;
    // 32 KiB of the request and 48 KiB of the handler are more than the connection may have.
    let refused = client.request(get_of("/reserve")).await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());

    client.send(get_of("/wait")).await;
    until("the request is in progress", || {
        manager.stat().services["web"].memory == 32 * KIB
    })
    .await;
    go.add_permits(1);
    assert_eq!(client.response().await.status, 200);
    // The connection is open, and its request is over.
    until("the span ends", || {
        manager.stat().services["web"].memory == 0
    })
    .await;
    assert_eq!(manager.stat().services["web"].conns_inbound, 1);
    drop(client);
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_handler_outside_of_the_layer_is_told_which_layer_to_add() {
    let manager = manager(|_| ());
    let router = Router::new().route("/", get(|_: RequestSpan| async { "hello" }));
    let server = Server::axum(&manager, router).await;
    let mut client = http1::Client::connect(server.addr).await;
    let response = client.request(GET).await;
    assert_eq!(response.status, 500);
    let text = String::from_utf8(response.body).unwrap();
    assert!(text.contains("RequestScopes"), "{text}");
    drop(client);
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn handlers_have_the_address_of_the_client_in_both_forms() {
    async fn addresses(
        ConnectInfo(info): ConnectInfo<ConnInfo>,
        ConnectInfo(address): ConnectInfo<SocketAddr>,
    ) -> String {
        assert_eq!(info.peer(), Endpoint::Socket(address));
        assert_eq!(info.scope().stat().conns_inbound, 1);
        address.to_string()
    }

    let manager = manager(|_| ());
    let router = Router::new()
        .route("/", get(addresses))
        .layer(RequestScopes::new(&manager));
    let (guarded, addr) = listener(&manager).await;
    let app = router.into_make_service_with_connect_info::<ConnInfo>();
    // Taps are how options of the sockets are set.
    let taps = Arc::new(AtomicUsize::new(0));
    let counted = taps.clone();
    let tapped = Listener::new(guarded).tap_io(move |stream| {
        stream.get_ref().set_nodelay(true).unwrap();
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let server = tokio::spawn(async move { axum::serve(tapped, app).await });
    let mut client = http1::Client::connect(addr).await;
    let response = client.request(GET).await;
    assert_eq!(response.status, 200);
    assert_eq!(
        String::from_utf8(response.body).unwrap(),
        client.local_addr().to_string()
    );
    assert_eq!(taps.load(Ordering::Relaxed), 1);
    drop(client);
    server.abort();
    let _ = server.await;
    all_released(&manager).await;
}

#[tokio::test]
async fn all_ways_to_layer_and_to_serve_routes_charge_the_connection_and_give_the_address() {
    async fn address(ConnectInfo(address): ConnectInfo<SocketAddr>) -> String {
        address.to_string()
    }
    async fn reserve(span: RequestSpan) -> Result<&'static str, Refusal> {
        assert_eq!(span.stat().memory, KIB);
        // The connection may have 2 KiB, and the service any amount.
        span.reserve(2 * KIB, Priority::Always).map(drop)?;
        Ok("granted")
    }

    for (on_routes, with_info) in [(false, false), (false, true), (true, false), (true, true)] {
        let manager = manager(|limits| limits.conn.memory = LimitValue::from(2 * KIB));
        let layer = RequestScopes::new(&manager)
            .memory_per_request(KIB)
            .body(BodyBudget::per_request(10 * KIB))
            .priority(|_| Priority::Always);
        let router = Router::new()
            .route("/", get(address))
            .route("/reserve", get(reserve))
            .route("/upload", post(|body: Bytes| async { body }));
        let router = match on_routes {
            false => router.layer(layer),
            true => router.layer(layer.on_routes()),
        };
        let (guarded, addr) = listener(&manager).await;
        let listener = Listener::new(guarded);
        let server = tokio::spawn(async move {
            match with_info {
                false => {
                    let app = with_connections(router).with_connect_info();
                    axum::serve(listener, app).await
                }
                true => {
                    let app = router.into_make_service_with_connect_info::<ConnInfo>();
                    axum::serve(listener, app).await
                }
            }
        });
        let mut client = http1::Client::connect(addr).await;
        for _ in 0..2 {
            let response = client.request(GET).await;
            let address = client.local_addr().to_string();
            assert_eq!(String::from_utf8(response.body).unwrap(), address);
            assert_eq!(client.request(get_of("/reserve")).await.status, 503);
        }
        let head = "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length:";
        let small = client.request(format!("{head} 5\r\n\r\nhello")).await;
        assert_eq!(small.body, b"hello");
        let large = client.request(format!("{head} 20000\r\n\r\n")).await;
        assert_eq!(large.status, 413);
        drop(client);
        server.abort();
        let _ = server.await;
        all_released(&manager).await;
    }
}

#[tokio::test]
async fn a_route_outside_of_the_layer_has_no_span_and_the_address_if_it_is_asked_for() {
    async fn outside(
        address: Result<ConnectInfo<SocketAddr>, ExtensionRejection>,
        span: Result<RequestSpan, NoRequestSpan>,
    ) -> String {
        assert_eq!(span.unwrap_err(), NoRequestSpan);
        text(address)
    }

    for with_address in [false, true] {
        let manager = manager(|_| ());
        let router = Router::new()
            .route("/", get(|_: RequestSpan| async { "inside" }))
            .layer(RequestScopes::new(&manager).on_routes())
            .route("/outside", get(outside));
        let app = match with_address {
            false => with_connections(router),
            true => with_connections(router).with_connect_info(),
        };
        let (guarded, addr) = listener(&manager).await;
        let serve = axum::serve(Listener::new(guarded), app);
        let server = tokio::spawn(async move { serve.await });
        let mut client = http1::Client::connect(addr).await;
        assert_eq!(client.request(GET).await.body, b"inside");
        let response = client.request(get_of("/outside")).await;
        let expected = match with_address {
            false => "none".to_owned(),
            true => client.local_addr().to_string(),
        };
        assert_eq!(String::from_utf8(response.body).unwrap(), expected);
        drop(client);
        server.abort();
        let _ = server.await;
        all_released(&manager).await;
    }
}

/// The address of the client in an answer, or `none`.
fn text(address: Result<ConnectInfo<SocketAddr>, ExtensionRejection>) -> String {
    match address {
        Ok(ConnectInfo(address)) => address.to_string(),
        Err(_) => "none".to_owned(),
    }
}

#[tokio::test]
async fn a_whole_app_in_the_layer_has_the_address_of_the_client_if_it_is_asked_for() {
    async fn address(
        address: Result<ConnectInfo<SocketAddr>, ExtensionRejection>,
        span: RequestSpan,
    ) -> String {
        assert_eq!(span.stat().memory, KIB);
        text(address)
    }

    for with_address in [false, true] {
        let manager = manager(|_| ());
        let router = Router::new().route("/", get(address));
        let layer = RequestScopes::new(&manager).memory_per_request(KIB);
        let app = match with_address {
            false => layer.into_make_service(router),
            true => layer.into_make_service_with_connect_info(router),
        };
        let (guarded, addr) = listener(&manager).await;
        let serve = axum::serve(Listener::new(guarded), app);
        let server = tokio::spawn(async move { serve.await });
        let mut client = http1::Client::connect(addr).await;
        for _ in 0..2 {
            let response = client.request(GET).await;
            let expected = match with_address {
                false => "none".to_owned(),
                true => client.local_addr().to_string(),
            };
            assert_eq!(String::from_utf8(response.body).unwrap(), expected);
        }
        drop(client);
        server.abort();
        let _ = server.await;
        all_released(&manager).await;
    }
}

#[tokio::test]
async fn a_health_check_is_answered_while_all_others_are_refused() {
    let manager = manager(|limits| limits.system.memory = LimitValue::from(100 * KIB));
    let layer = RequestScopes::new(&manager)
        .memory_per_request(10 * KIB)
        .priority(|parts| match parts.uri.path() {
            "/health" => Priority::Always,
            _ => Priority::Low,
        });
    let go = Arc::new(Semaphore::new(0));
    let router = app(go.clone())
        .route("/health", get(|| async { "healthy" }))
        .layer(layer);
    let server = Server::axum(&manager, router).await;
    // Requests of low priority may use 40 % of the memory: that is three, and a fourth needs more than
    // 39.45 KiB.
    let mut held = Vec::new();
    for count in 1..=3 {
        let mut client = http1::Client::connect(server.addr).await;
        client.send(get_of("/wait")).await;
        until("the request is in progress", || {
            manager.stat().system.memory == count * 10 * KIB
        })
        .await;
        held.push(client);
    }
    let mut client = http1::Client::connect(server.addr).await;
    assert_eq!(client.request(GET).await.status, 503);
    assert_eq!(client.request(get_of("/health")).await.status, 200);
    go.add_permits(3);
    for client in &mut held {
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(client.request(GET).await.status, 200);
    drop((held, client));
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn layers_outside_see_refusals_as_responses_and_layers_inside_see_none_of_them() {
    let manager = manager(|limits| limits.conn.memory = LimitValue::from(KIB));
    let outside = Arc::new(AtomicUsize::new(0));
    let inside = Arc::new(AtomicUsize::new(0));
    let (outer, inner) = (outside.clone(), inside.clone());
    let count_refusals = from_fn(move |request: Request, next: Next| {
        let outer = outer.clone();
        async move {
            let response = next.run(request).await;
            if [413, 503].contains(&response.status().as_u16()) {
                outer.fetch_add(1, Ordering::Relaxed);
            }
            response
        }
    });
    let count_requests = from_fn(move |request: Request, next: Next| {
        inner.fetch_add(1, Ordering::Relaxed);
        next.run(request)
    });
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/upload",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
        .layer(count_requests)
        .layer(
            RequestScopes::new(&manager)
                .memory_per_request(KIB)
                // Of the connection's memory, uploads may use all, and others less.
                .priority(|parts| match parts.uri.path() {
                    "/upload" => Priority::Always,
                    _ => Priority::Medium,
                })
                .body(BodyBudget::per_request(KIB)),
        )
        .layer(count_refusals);
    let server = Server::axum(&manager, router).await;
    for (request, status) in [
        (GET.to_owned(), 503),
        (GET.to_owned(), 503),
        (
            "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n".to_owned(),
            413,
        ),
    ] {
        let mut client = http1::Client::connect(server.addr).await;
        assert_eq!(client.request(request).await.status, status);
    }
    assert_eq!(outside.load(Ordering::Relaxed), 3);
    assert_eq!(inside.load(Ordering::Relaxed), 0);
    server.ends_with_nothing_in_use().await;
}

/// Events until the client leaves or the server stops: then a last one that says so, and the end.
fn events(stop: CancellationToken) -> Response {
    let (send, receive) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    tokio::spawn(async move {
        let _ = send.send(Ok(Bytes::from_static(b"data: hello\n\n"))).await;
        tokio::select! {
            () = send.closed() => (),
            () = stop.cancelled() => {
                let _ = send.send(Ok(Bytes::from_static(b"data: bye\n\n"))).await;
            }
        }
    });
    Response::new(Body::from_stream(ReceiverStream::new(receive)))
}

/// Takes the socket over, like a WebSocket, and sends back what arrives. It does not know of the stop
/// of the server.
async fn take_over(request: Request) -> Response {
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.unwrap();
        let mut socket = hyper_util::rt::TokioIo::new(upgraded);
        let mut buffer = [0; 64];
        while let Ok(read @ 1..) = socket.read(&mut buffer).await {
            if socket.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    });
    let headers = [("connection", "upgrade"), ("upgrade", "echo")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

const TAKE_OVER: &str = "GET /socket HTTP/1.1\r\nHost: localhost\r\n\
    Connection: upgrade\r\nUpgrade: echo\r\n\r\n";

#[tokio::test]
async fn at_the_end_event_streams_get_notice_and_sockets_that_were_taken_over_are_counted_and_cut()
{
    let manager = manager(|_| ());
    let end = Graceful::new();
    let notice = end.notice();
    let router = Router::new()
        .route("/events", get(move || async move { events(notice) }))
        .route("/socket", get(take_over))
        .layer(RequestScopes::new(&manager).memory_per_request(KIB));
    let (guarded, addr) = listener(&manager).await;
    let app = router.into_make_service_with_connect_info::<ConnInfo>();
    let server = axum::serve(Listener::new(guarded.ended_by(&end)), app)
        .with_graceful_shutdown(end.notice().cancelled_owned());
    let server = tokio::spawn(async move { server.await });

    let mut stream = http1::Client::connect(addr).await;
    stream.send(get_of("/events")).await;
    stream.head().await.unwrap();
    assert_eq!(stream.chunk().await.unwrap(), b"data: hello\n\n");
    let mut socket = http1::Client::connect(addr).await;
    socket.send(TAKE_OVER).await;
    assert!(socket.head().await.unwrap().contains(" 101 "));
    socket.send("echo").await;
    assert_eq!(socket.take(4).await.unwrap(), b"echo");
    assert_eq!(manager.stat().services["web"].conns_inbound, 2);

    // A deadline far away, so that the end waits.
    let (ending, of_the_end) = (end.clone(), manager.clone());
    let ending = tokio::spawn(async move { ending.end(&of_the_end, DEADLINE).await });
    assert_eq!(stream.chunk().await.unwrap(), b"data: bye\n\n");
    assert_eq!(stream.chunk().await.unwrap(), b"");
    stream.closed().await;
    // axum has ended, and knows nothing of the other socket. The manager counts it, and it works.
    within("the end of axum", server).await.unwrap().unwrap();
    until("one connection is left", || {
        manager.stat().services["web"].conns_inbound == 1
    })
    .await;
    assert!(!ending.is_finished());
    socket.send("still").await;
    assert_eq!(socket.take(5).await.unwrap(), b"still");
    ending.abort();

    let peer = Endpoint::Socket(socket.local_addr());
    let left = end.end(&manager, Duration::from_millis(10)).await;
    assert_eq!(left.unwrap_err().connections, [peer]);
    assert!(socket.closed().await.is_empty());
    all_released(&manager).await;
}
