//! The layers in servers of tonic, on guarded connections.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, StatusCode};
use rcmgr_atomic::{Direction, Endpoint, Manager, UsesFd};
use rcmgr_core::{KIB, LimitValue, Priority};
use rcmgr_tokio::{ConnScope, Graceful, GuardedStream};
use rcmgr_tower::{BodyBudget, ConnInfo, RequestBody, RequestScopes, grpc_message};
use support::grpc::{Echo, Raw};
use support::server::{Server, manager};
use support::{all_released, http2, until, within};
use tokio::task::JoinSet;
use tonic::Code;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint as Target};

/// The memory of each call in these tests.
const CALL: u64 = 4 * KIB;

/// A manager whose connections have room for this many calls.
fn room_for(calls: u64) -> Manager {
    manager(|limits| limits.conn.memory = LimitValue::from(calls * CALL))
}

/// A layer whose calls may use the whole limit.
fn grpc(manager: &Manager) -> RequestScopes {
    RequestScopes::grpc(manager).priority(|_| Priority::Always)
}

async fn client(server: &Server) -> Grpc<Channel> {
    let target = Target::from_shared(format!("http://{}", server.addr)).unwrap();
    let mut client = Grpc::new(within("connecting", target.connect()).await.unwrap());
    client.ready().await.unwrap();
    client
}

fn path(call: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(call)
}

/// The head of a call, for a client of HTTP/2.
fn head(call: &str) -> Request<()> {
    let mut head = http2::post(call);
    let headers = head.headers_mut();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    headers.insert("te", "trailers".parse().unwrap());
    head
}

/// A message as it is sent.
fn message(bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(bytes.len() as u32);
    frame.put_slice(bytes);
    frame.freeze()
}

/// Calls with one message, and waits for the head of the response.
async fn call(client: &http2::Client, path: &str) -> http::Response<h2::RecvStream> {
    let (response, mut body) = client.open(head(path), false).await.unwrap();
    // A refused call may end before its message is sent.
    let _ = body.send_data(message(b"hello"), true);
    within("a response", response).await.unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().unwrap()
}

#[tokio::test]
async fn a_refused_call_is_a_response_of_headers_only_with_a_status_and_a_pushback() {
    let manager = room_for(1);
    let layer = grpc(&manager)
        .memory_per_request(CALL)
        .retry_after(Duration::from_secs(1)..Duration::from_secs(5))
        .on_refusal(|refusal, response| {
            let headers = response.headers_mut();
            assert_eq!(headers["grpc-message"], "the server is busy");
            headers.insert("grpc-message", grpc_message(refusal));
        });
    let echo = Echo::held();
    let server = Server::tonic(&manager, layer, echo.clone()).await;
    let client = http2::Client::connect(server.addr).await;
    let (held, mut body) = client.open(head("/test.Echo/Say"), false).await.unwrap();
    body.send_data(message(b"hello"), true).unwrap();
    until("the call is in progress", || {
        manager.stat().system.memory == CALL
    })
    .await;

    let mut pushbacks = BTreeSet::new();
    for _ in 0..8 {
        let refused = call(&client, "/test.Echo/Say").await;
        assert_eq!(refused.status(), StatusCode::OK);
        let headers = refused.headers();
        assert_eq!(header(headers, "content-type"), "application/grpc");
        assert_eq!(header(headers, "grpc-status"), "14");
        let text = header(headers, "grpc-message").to_owned();
        assert!(
            text.contains("refused 4096 bytes of memory: 4096 of"),
            "{text}"
        );
        let pushback = header(headers, "grpc-retry-pushback-ms").to_owned();
        let pushback: u64 = pushback.parse().unwrap();
        assert!((1000..5000).contains(&pushback), "{pushback}");
        pushbacks.insert(pushback);
        // The headers end the stream: there are no trailers behind them.
        assert!(refused.body().is_end_stream());
    }
    assert!(pushbacks.len() > 1, "clients must not come back together");

    echo.go.add_permits(1);
    let response = within("a response", held).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let answer = within("the answer", body.data()).await.unwrap().unwrap();
    assert_eq!(answer, message(b"hello"));
    let trailers = within("trailers", body.trailers()).await.unwrap().unwrap();
    assert_eq!(header(&trailers, "grpc-status"), "0");
    client.close().await;
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn the_client_of_tonic_sees_unavailable_for_a_full_server() {
    let manager = room_for(1);
    let layer = grpc(&manager).memory_per_request(CALL);
    let echo = Echo::held();
    let server = Server::tonic(&manager, layer, echo.clone()).await;
    let mut client = client(&server).await;
    let mut other = client.clone();
    let held = tokio::spawn(async move {
        let request = tonic::Request::new(b"hello".to_vec());
        other.ready().await.unwrap();
        other.unary(request, path("/test.Echo/Say"), Raw).await
    });
    until("the call is in progress", || {
        manager.stat().system.memory == CALL
    })
    .await;
    let request = tonic::Request::new(b"hello".to_vec());
    let refused = client.unary(request, path("/test.Echo/Say"), Raw).await;
    let refused: tonic::Status = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));
    echo.go.add_permits(1);
    assert_eq!(held.await.unwrap().unwrap().into_inner(), b"hello");
    drop(client);
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_message_larger_than_the_budget_of_a_call_exhausts_resources() {
    let manager = manager(|_| ());
    let layer = grpc(&manager).body(BodyBudget::per_request(CALL));
    let server = Server::tonic(&manager, layer, Echo::ready()).await;
    let mut client = client(&server).await;
    for size in [CALL as usize - 5, CALL as usize + 1, 1024 * 1024] {
        client.ready().await.unwrap();
        let request = tonic::Request::new(vec![b'x'; size]);
        let answer = client.unary(request, path("/test.Echo/Say"), Raw).await;
        if size < CALL as usize {
            assert_eq!(answer.unwrap().into_inner().len(), size);
        } else {
            let refused: tonic::Status = answer.unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
            // A retry of it cannot succeed.
            assert!(!refused.metadata().contains_key("grpc-retry-pushback-ms"));
        }
    }
    drop(client);
    server.ends_with_nothing_in_use().await;
}

#[tokio::test(start_paused = true)]
async fn a_streaming_call_holds_its_span_for_hours_until_its_end() {
    let manager = room_for(1);
    let peer: std::net::SocketAddr = "192.0.2.7:4001".parse().unwrap();
    let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, peer);
    let scope = ConnScope::new(connection.unwrap());
    let (socket, far) = tokio::io::duplex(64 * 1024);
    let stream = GuardedStream::new(socket, scope, Endpoint::Socket(peer));
    let io = rcmgr_tower::Io::new(stream);
    let echo = Echo::held();
    let server = tonic::transport::Server::builder()
        .layer(grpc(&manager).memory_per_request(CALL))
        .add_service(echo.clone())
        .serve_with_incoming(tokio_stream::iter([Ok::<_, std::io::Error>(io)]));
    tokio::spawn(server);

    let client = http2::Client::on(far).await;
    let response = call(&client, "/test.Echo/Watch").await;
    let mut messages = response.into_body();
    for _hour in 0..48 {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        echo.go.add_permits(1);
        let tick = messages.data().await.unwrap().unwrap();
        messages
            .flow_control()
            .release_capacity(tick.len())
            .unwrap();
        assert_eq!(tick, message(b"tick"));
        assert_eq!(manager.stat().system.memory, CALL);
        // The room of the connection is taken as long as the call lasts.
        let refused = call(&client, "/test.Echo/Watch").await;
        assert_eq!(header(refused.headers(), "grpc-status"), "14");
    }
    // The client leaves: the stream is reset.
    drop(messages);
    until("the call ends", || manager.stat().system.memory == 0).await;
    let again = call(&client, "/test.Echo/Watch").await;
    assert!(!again.headers().contains_key("grpc-status"), "it is served");
    drop(again);
    client.close().await;
    all_released(&manager).await;
}

#[tokio::test]
async fn ten_thousand_calls_at_once_on_one_connection_stay_within_its_memory() {
    const AT_A_TIME: u64 = 100;
    const CALLS: u64 = 10_000;
    let manager = room_for(AT_A_TIME);
    let layer = grpc(&manager).memory_per_request(CALL);
    let echo = Echo::held();
    let server = Server::tonic(&manager, layer, echo.clone()).await;
    let client = http2::Client::connect(server.addr).await;
    let mut answers = JoinSet::new();
    for _ in 0..CALLS {
        let (response, mut body) = client.open(head("/test.Echo/Watch"), false).await.unwrap();
        body.send_data(message(b""), true).unwrap();
        answers.spawn(response);
    }
    let (mut served, mut refused) = (Vec::new(), 0);
    while let Some(answer) = within("an answer", answers.join_next()).await {
        let answer = answer.unwrap().unwrap();
        match answer.headers().get("grpc-status") {
            None => served.push(answer),
            Some(status) => {
                assert_eq!(status, "14");
                refused += 1;
            }
        }
    }
    assert_eq!(served.len() as u64, AT_A_TIME);
    assert_eq!(refused, CALLS - AT_A_TIME);
    assert_eq!(manager.stat().system.memory, AT_A_TIME * CALL);
    drop(served);
    until("the calls end", || manager.stat().system.memory == 0).await;
    client.close().await;
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_flood_of_calls_that_are_reset_leaves_nothing_behind() {
    let manager = room_for(100);
    let layer = grpc(&manager).memory_per_request(CALL);
    let server = Server::tonic(&manager, layer, Echo::held()).await;
    let mut resets = 0;
    while resets < 10_000 {
        let client = http2::Client::connect(server.addr).await;
        while resets < 10_000 {
            let Ok((response, mut body)) = client.open(head("/test.Echo/Watch"), false).await
            else {
                break;
            };
            if resets % 2 == 0 {
                let _ = body.send_data(message(b""), false);
                tokio::task::yield_now().await;
            }
            body.send_reset(h2::Reason::CANCEL);
            drop(response);
            resets += 1;
        }
        client.close().await;
    }
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_call_has_the_scope_and_the_address_of_its_connection() {
    use tower::service_fn;

    let manager = manager(|_| ());
    let (guarded, addr) = support::server::listener(&manager).await;
    let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
    let store = seen.clone();
    let service = service_fn(
        move |request: http::Request<RequestBody<tonic::body::Body>>| {
            let request = tonic::Request::from_http(request);
            let info = request.extensions().get::<ConnInfo>().cloned();
            let conns = info.as_ref().map(|info| info.scope().stat().conns_inbound);
            let peer = info.map(|info| info.peer());
            *store.lock().unwrap() = Some((conns, peer, request.remote_addr()));
            std::future::ready(Ok::<_, std::convert::Infallible>(
                tonic::Status::ok("").into_http::<tonic::body::Body>(),
            ))
        },
    );
    let incoming = rcmgr_tower::tonic::incoming(guarded);
    let layer = grpc(&manager);
    let server = tonic::transport::Server::builder()
        .layer(layer)
        .serve_with_incoming(service, incoming);
    let server = tokio::spawn(server);
    let client = http2::Client::connect(addr).await;
    call(&client, "/test.Echo/Say").await;
    let local = client.local_addr;
    let seen = seen.lock().unwrap().take().unwrap();
    assert_eq!(seen, (Some(1), Some(Endpoint::Socket(local)), Some(local)));
    client.close().await;
    server.abort();
    let _ = server.await;
    all_released(&manager).await;
}

#[tokio::test]
async fn a_layer_around_one_service_keeps_the_name_of_the_service() {
    use tonic::server::NamedService;
    use tower::Layer;

    fn name_of<S: NamedService>(_: &S) -> &'static str {
        S::NAME
    }

    let manager = room_for(1);
    let layer = grpc(&manager).memory_per_request(CALL);
    let service = layer.layer(Echo::ready());
    assert_eq!(name_of(&service), "test.Echo");
    let (guarded, addr) = support::server::listener(&manager).await;
    let server = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(rcmgr_tower::tonic::incoming(guarded));
    let server = tokio::spawn(server);
    let client = http2::Client::connect(addr).await;
    let response = call(&client, "/test.Echo/Say").await;
    assert!(
        !response.headers().contains_key("grpc-status"),
        "it is served"
    );
    client.close().await;
    server.abort();
    let _ = server.await;
    all_released(&manager).await;
}

#[tokio::test]
async fn at_the_end_streaming_calls_are_cut_at_the_deadline() {
    let manager = room_for(1);
    let end = Graceful::new();
    let (guarded, addr) = support::server::listener(&manager).await;
    let echo = Echo::held();
    let server = tonic::transport::Server::builder()
        .layer(grpc(&manager).memory_per_request(CALL))
        .add_service(echo.clone())
        .serve_with_incoming_shutdown(
            rcmgr_tower::tonic::incoming(guarded.ended_by(&end)),
            end.notice().cancelled_owned(),
        );
    let server = tokio::spawn(server);
    let client = http2::Client::connect(addr).await;
    let watched = call(&client, "/test.Echo/Watch").await;
    assert_eq!(manager.stat().services["web"].memory, CALL);

    let left = end
        .end(&manager, Duration::from_millis(10))
        .await
        .unwrap_err();
    assert_eq!(left.connections, [Endpoint::Socket(client.local_addr)]);
    let mut messages = watched.into_body();
    let cut = within("the end of the call", messages.data()).await;
    assert!(cut.is_none_or(|message| message.is_err()));
    within("the end of the server", server)
        .await
        .unwrap()
        .unwrap();
    all_released(&manager).await;
}

#[tokio::test]
async fn a_call_whose_message_arrives_too_slowly_exceeds_its_deadline() {
    let manager = manager(|_| ());
    let budget = BodyBudget::per_request(CALL).next_chunk_within(Duration::from_millis(50));
    let server = Server::tonic(&manager, grpc(&manager).body(budget), Echo::ready()).await;
    let client = http2::Client::connect(server.addr).await;
    let (response, body) = client.open(head("/test.Echo/Say"), false).await.unwrap();
    let response = within("a response", response).await.unwrap();
    assert_eq!(header(response.headers(), "grpc-status"), "4");
    drop((response, body));
    client.close().await;
    server.ends_with_nothing_in_use().await;
}

#[tokio::test]
async fn a_connection_is_closed_when_it_has_been_without_a_call_for_too_long() {
    let manager = room_for(1);
    let limit = Duration::from_millis(200);
    let (guarded, addr) = support::server::listener(&manager).await;
    let echo = Echo::held();
    let server = tonic::transport::Server::builder()
        .layer(grpc(&manager))
        .add_service(echo.clone())
        .serve_with_incoming(rcmgr_tower::tonic::incoming(guarded).request_within(limit));
    let server = tokio::spawn(server);
    let client = http2::Client::connect(addr).await;
    let mut messages = call(&client, "/test.Echo/Watch").await.into_body();
    // A call that lasts is no reason.
    tokio::time::sleep(3 * limit).await;
    echo.go.add_permits(1);
    let tick = within("a message", messages.data()).await.unwrap();
    assert_eq!(tick.unwrap(), message(b"tick"));
    drop(messages);
    client.closed().await;
    all_released(&manager).await;
    server.abort();
}

#[tokio::test]
async fn a_streaming_call_that_sends_too_much_ends_with_the_status_of_the_refusal() {
    let manager = manager(|_| ());
    let layer = grpc(&manager).body(BodyBudget::per_request(CALL));
    let server = Server::tonic(&manager, layer, Echo::ready()).await;
    let client = http2::Client::connect(server.addr).await;
    let (response, mut body) = client.open(head("/test.Echo/Count"), false).await.unwrap();
    body.send_data(message(b"hello"), false).unwrap();
    let response = within("a response", response).await.unwrap();
    let mut answers = response.into_body();
    let answer = within("an answer", answers.data()).await.unwrap();
    assert_eq!(answer.unwrap(), message(b"5"));

    // The head of the response is sent, so the layer can no longer answer: the handler does.
    body.send_data(message(&[b'x'; CALL as usize]), false)
        .unwrap();
    let trailers = within("trailers", answers.trailers()).await;
    let trailers = trailers.unwrap().unwrap();
    assert_eq!(header(&trailers, "grpc-status"), "8");
    // tonic encodes blanks, too.
    let text = header(&trailers, "grpc-message").replace("%20", " ");
    assert_eq!(
        text,
        "the call is too large: at most 4096 bytes are allowed"
    );
    drop((answers, body));
    client.close().await;
    server.ends_with_nothing_in_use().await;
}
