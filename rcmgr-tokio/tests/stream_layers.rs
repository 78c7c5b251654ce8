//! The scope of a connection under TLS, under hyper, and after an HTTP upgrade.

mod support;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcmgr_atomic::{Endpoint, Manager};
use rcmgr_tokio::{Graceful, GuardedStream};
use support::{eventually, inbound, unlimited};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Body = BoxBody<Bytes, Infallible>;

const LIMIT: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

fn peer(last: u8) -> Endpoint {
    Endpoint::from(std::net::IpAddr::from([192, 0, 2, last]))
}

/// A guarded stream in memory, and its client.
fn in_memory(manager: &Manager, last: u8) -> (DuplexStream, GuardedStream<DuplexStream>) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    (
        client,
        GuardedStream::new(server, inbound(manager), peer(last)),
    )
}

/// A server and a client of TLS for the name `localhost`.
fn tls() -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    // Named, because another test program of the workspace may bring a second one.
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server).into(), Arc::new(client).into())
}

#[tokio::test]
async fn the_scope_lives_as_long_as_the_tls_stream_over_its_connection() {
    let manager = unlimited();
    let (acceptor, connector) = tls();
    let (client, server) = in_memory(&manager, 1);
    let name = ServerName::try_from("localhost").unwrap();
    let (client, server) = tokio::join!(connector.connect(name, client), acceptor.accept(server));
    let (mut client, server) = (client.unwrap(), server.unwrap());
    assert_eq!(server.get_ref().0.scope().stat().fd, 1);

    let (mut reader, mut writer) = tokio::io::split(server);
    client.write_all(b"hello").await.unwrap();
    client.flush().await.unwrap();
    let mut heard = [0; 5];
    reader.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
    writer.write_all(b"bye").await.unwrap();
    writer.shutdown().await.unwrap();
    drop(writer);
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"bye");
    assert_eq!(manager.stat().system.fd, 1);
    drop(reader);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn a_tls_stream_can_be_guarded_itself_and_split() {
    let manager = unlimited();
    let (acceptor, connector) = tls();
    let (client, server) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("localhost").unwrap();
    let (client, server) = tokio::join!(connector.connect(name, client), acceptor.accept(server));
    let mut client = client.unwrap();
    let stream = GuardedStream::new(server.unwrap(), inbound(&manager), Endpoint::None);
    let (reader, mut writer) = stream.into_split();
    writer.write_all(b"bye").await.unwrap();
    // The drop of the half says goodbye in the way of TLS.
    drop(writer);
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"bye");
    assert_eq!(manager.stat().system.fd, 1);
    drop(reader);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_begins_its_tls_handshake_is_closed_at_the_deadline() {
    let manager = unlimited();
    let (acceptor, _) = tls();
    let (_client, server) = in_memory(&manager, 1);
    let begin = Instant::now();
    let accepted = acceptor.accept(server.first_byte_within(LIMIT)).await;
    assert_eq!(accepted.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(begin.elapsed(), LIMIT);
    assert!(manager.stat().system.is_zero());
}

async fn hello(_: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(Response::new(Empty::new()))
}

#[tokio::test(start_paused = true)]
async fn hyper_closes_a_client_that_never_speaks_at_the_deadline_and_never_without_one() {
    let manager = unlimited();
    let server = auto::Builder::new(TokioExecutor::new());
    let (mut client, stream) = in_memory(&manager, 1);
    let begin = Instant::now();
    let stream = TokioIo::new(stream.first_byte_within(LIMIT));
    let served = server.serve_connection(stream, service_fn(hello)).await;
    let error = served.unwrap_err();
    assert!(error.to_string().contains("within 10s"), "{error}");
    assert_eq!(begin.elapsed(), LIMIT);
    assert!(manager.stat().system.is_zero());
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);

    let (_client, stream) = in_memory(&manager, 1);
    let stream = TokioIo::new(stream);
    let served = server.serve_connection(stream, service_fn(hello));
    timeout(1000 * HOUR, served).await.unwrap_err();
    assert!(manager.stat().system.is_zero());
}

#[tokio::test(start_paused = true)]
async fn hyper_serves_a_client_that_spoke_in_time_after_the_deadline() {
    let (mut client, stream) = in_memory(&unlimited(), 1);
    let stream = TokioIo::new(stream.first_byte_within(LIMIT));
    let server = auto::Builder::new(TokioExecutor::new());
    let talk = async {
        for _ in 0..3 {
            tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
            client
                .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                .await
                .unwrap();
            let head = read_until(&mut client, "\r\n\r\n").await;
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        }
        drop(client);
    };
    let (served, ()) = tokio::join!(server.serve_connection(stream, service_fn(hello)), talk);
    served.unwrap();
}

/// Serves a connection with HTTP/1.1, and shuts it down when the end begins. Upgraded sockets live
/// in tasks of their own, with the handler `upgraded`.
fn serve<U, F>(
    stream: GuardedStream<DuplexStream>,
    graceful: &Graceful,
    upgraded: U,
) -> JoinHandle<hyper::Result<()>>
where
    U: Fn(TokioIo<hyper::upgrade::Upgraded>) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let notice = graceful.notice();
    let service = service_fn({
        let notice = notice.clone();
        move |request: Request<Incoming>| {
            let (notice, upgraded) = (notice.clone(), upgraded.clone());
            async move { Ok::<_, Infallible>(answer(request, notice, upgraded)) }
        }
    });
    tokio::spawn(async move {
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection.with_upgrades());
        tokio::select! {
            served = connection.as_mut() => return served,
            () = notice.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    })
}

/// An upgrade if the client asks for it, otherwise server-sent events that end with the notice.
fn answer<U, F>(
    mut request: Request<Incoming>,
    notice: tokio_util::sync::CancellationToken,
    upgraded: U,
) -> Response<Body>
where
    U: FnOnce(TokioIo<hyper::upgrade::Upgraded>) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    if request.headers().contains_key(UPGRADE) {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move { upgraded(TokioIo::new(upgrade.await.unwrap())).await });
        return Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "echo")
            .body(Empty::new().boxed())
            .unwrap();
    }
    let (mut events, body) = Channel::new(1);
    tokio::spawn(async move {
        events.send_data("data: hello\n\n".into()).await.unwrap();
        notice.cancelled().await;
        events.send_data("data: goodbye\n\n".into()).await.unwrap();
    });
    Response::new(body.boxed())
}

/// Asks for an upgrade, and reads the answer.
async fn upgrade(client: &mut DuplexStream) {
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    client.write_all(request).await.unwrap();
    let head = read_until(client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
}

async fn read_until(client: &mut DuplexStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        text.push(client.read_u8().await.unwrap().into());
    }
    text
}

#[tokio::test]
async fn the_scope_follows_the_socket_through_an_http_upgrade_until_the_last_half() {
    let manager = unlimited();
    let (mut client, stream) = in_memory(&manager, 1);
    let (sender, mut halves) = tokio::sync::mpsc::channel(1);
    let served = serve(stream, &Graceful::new(), move |io| {
        let sender = sender.clone();
        async move { sender.send(tokio::io::split(io)).await.unwrap() }
    });
    upgrade(&mut client).await;
    let (mut reader, mut writer) = halves.recv().await.unwrap();
    served.await.unwrap().unwrap();
    assert_eq!(manager.stat().system.fd, 1);

    client.write_all(b"ping").await.unwrap();
    let mut ping = [0; 4];
    reader.read_exact(&mut ping).await.unwrap();
    writer.write_all(&ping).await.unwrap();
    client.read_exact(&mut ping).await.unwrap();
    assert_eq!(&ping, b"ping");
    drop(reader);
    assert_eq!(manager.stat().system.fd, 1);
    drop(writer);
    assert!(manager.stat().system.is_zero());
    assert_eq!(client.read(&mut ping).await.unwrap(), 0);
}

#[tokio::test]
async fn an_upgraded_socket_is_the_guarded_stream_again() {
    let manager = unlimited();
    let (mut client, stream) = in_memory(&manager, 9);
    let (sender, mut streams) = tokio::sync::mpsc::channel(1);
    let served = serve(stream, &Graceful::new(), move |io| {
        let sender = sender.clone();
        let parts = io
            .into_inner()
            .downcast::<TokioIo<GuardedStream<DuplexStream>>>();
        async move { sender.send(parts.unwrap().io.into_inner()).await.unwrap() }
    });
    upgrade(&mut client).await;
    let stream = streams.recv().await.unwrap();
    served.await.unwrap().unwrap();
    assert_eq!(stream.peer(), peer(9));
    drop(stream);
    assert!(manager.stat().system.is_zero());
}

#[tokio::test(start_paused = true)]
async fn event_streams_and_upgraded_sockets_get_notice_and_are_cut_at_the_deadline() {
    let (manager, graceful) = (unlimited(), Graceful::new());
    let counted = |last| {
        let (client, stream) = in_memory(&manager, last);
        (client, stream.ended_by(&graceful))
    };

    // Server-sent events, which end with the notice.
    let (mut events, stream) = counted(1);
    serve(stream, &graceful, |_| async {});
    events
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut events, "data: hello\n\n").await;
    // A client that is idle between two requests.
    let (mut idle, stream) = counted(2);
    serve(stream, &graceful, |_| async {});
    // An upgraded socket that says goodbye.
    let (mut polite, stream) = counted(3);
    let notice = graceful.notice();
    serve(stream, &graceful, move |mut io| {
        let notice = notice.clone();
        async move {
            notice.cancelled().await;
            io.write_all(b"goodbye").await.unwrap();
        }
    });
    upgrade(&mut polite).await;
    // An upgraded socket that ignores the notice.
    let (mut deaf, stream) = counted(4);
    let (sender, mut ends) = tokio::sync::mpsc::channel(1);
    let served = serve(stream, &graceful, move |mut io| {
        let sender = sender.clone();
        async move { sender.send(io.read_u8().await.unwrap_err()).await.unwrap() }
    });
    upgrade(&mut deaf).await;
    // Its task of hyper is over, and it is still counted.
    served.await.unwrap().unwrap();
    assert_eq!(manager.stat().system.conns_inbound, 4);

    let begin = Instant::now();
    let end = tokio::spawn({
        let (manager, graceful) = (manager.clone(), graceful.clone());
        async move { graceful.end(&manager, LIMIT).await }
    });
    read_until(&mut events, "data: goodbye\n\n").await;
    events.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    let mut said = Vec::new();
    polite.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"goodbye");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    eventually("only the deaf one is left", || {
        manager.stat().system.conns_inbound == 1
    })
    .await;

    let left = end.await.unwrap().unwrap_err();
    assert!(begin.elapsed() < LIMIT + Duration::from_millis(10));
    assert_eq!(left.connections, [peer(4)]);
    assert!(left.hanging.is_empty());
    assert!(manager.stat().system.is_zero());
    let error = ends.recv().await.unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(deaf.read(&mut [0]).await.unwrap(), 0);
}
