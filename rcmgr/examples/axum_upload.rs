//! A server of axum whose uploads share a budget of memory, with the live view and the metrics mounted
//! in the same app.
//!
//! Without an argument it sends itself some requests, prints the answers, and ends. With an address,
//! such as `127.0.0.1:8080`, it serves until Ctrl-C: open `http://127.0.0.1:8080/limits/`.

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use rcmgr::metrics::{Observer, http};
use rcmgr::prelude::*;
use rcmgr::tokio::{Graceful, Guarded};
use rcmgr::tower::axum::{Listener, with_connections};
use rcmgr::tower::{BodyBudget, Refusal, RequestScopes, RequestSpan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The most that one upload may have.
const UPLOAD: u64 = 256 * KIB;

/// Counts the bytes of an upload. Its work needs memory, too. Where there is none, the client gets
/// status 503.
async fn upload(span: RequestSpan, body: Bytes) -> Result<String, Refusal> {
    let room = span.reserve(64 * KIB, Priority::Low)?;
    let answer = format!("{} bytes arrived", body.len());
    drop(room);
    Ok(answer)
}

fn app(manager: &Manager) -> Router {
    let observer = Observer::new(manager.clone());
    let scopes = RequestScopes::new(manager)
        // A check of the server's health must not fail because others upload.
        .priority(|parts| match parts.uri.path() {
            "/health" => Priority::Always,
            _ => Priority::Medium,
        })
        // Larger bodies get status 413. Where other uploads use the memory, a body waits a moment for
        // them, and gets status 503 then.
        .body(BodyBudget::per_request(UPLOAD).wait(Duration::from_millis(200)))
        .retry_after(Duration::from_secs(1)..Duration::from_secs(5));
    Router::new()
        .route("/upload", post(upload))
        // The budget takes the place of axum's own limit of 2 MB.
        .layer(DefaultBodyLimit::disable())
        .route("/health", get(|| async { "healthy" }))
        .layer(scopes.on_routes())
        // Outside of the layer, so that the view works while requests are refused.
        .nest("/limits", http::router(observer))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // All requests and connections together: 1 MiB, so that the limit is seen.
    let mut limits = Limits::unlimited();
    limits.system.memory = MIB.into();
    let manager = Manager::new(limits)?;

    let argument = env::args().nth(1);
    let address = argument.as_deref().unwrap_or("127.0.0.1:0");
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    let end = Graceful::new();
    let listener = Guarded::new(listener, manager.clone())
        .service("web")
        .ended_by(&end);
    // A client that sends the head of a request slowly, or nothing, is closed.
    let listener = Listener::new(listener).request_within(Duration::from_secs(30));
    let app = with_connections(app(&manager));
    let server = axum::serve(listener, app).with_graceful_shutdown(end.notice().cancelled_owned());
    let server = tokio::spawn(async move { server.await });

    if argument.is_some() {
        tokio::signal::ctrl_c().await?;
    } else {
        show(address, &manager).await?;
    }
    // Requests in progress may finish. What is left after a while is cut.
    if let Err(left) = end.end(&manager, Duration::from_secs(5)).await {
        println!("{left}");
    }
    server.await??;
    Ok(())
}

/// Sends the server some requests, and prints the answers.
async fn show(server: SocketAddr, manager: &Manager) -> Result<(), Box<dyn Error>> {
    for size in [100 * KIB, UPLOAD + 1] {
        let head = format!("POST /upload HTTP/1.1\r\nContent-Length: {size}");
        let answer = request(server, &head, &vec![b'x'; size as usize]).await?;
        println!("an upload of {size} bytes: {answer}");
    }

    // Something else uses nearly all memory.
    let web = manager.view_service("web");
    let other = web.reserve(900 * KIB, Priority::Always)?;
    let head = format!("POST /upload HTTP/1.1\r\nContent-Length: {UPLOAD}");
    let answer = request(server, &head, &vec![b'x'; UPLOAD as usize]).await?;
    println!("an upload while the memory is in use: {answer}");
    assert!(answer.starts_with("503"), "it is refused");
    let answer = request(server, "GET /health HTTP/1.1", &[]).await?;
    println!("a check of its health: {answer}");
    assert!(answer.starts_with("200"), "it is always answered");
    drop(other);

    let metrics = request(server, "GET /limits/metrics HTTP/1.1", &[]).await?;
    let refused = metrics
        .lines()
        .filter(|line| line.starts_with("libp2p_rcmgr_blocked_resources") && !line.ends_with(" 0"));
    println!("the metrics:");
    for line in refused {
        println!("  {line}");
    }
    Ok(())
}

/// The status and body of the answer to a request.
async fn request(server: SocketAddr, head: &str, body: &[u8]) -> Result<String, Box<dyn Error>> {
    let mut stream = TcpStream::connect(server).await?;
    let head = format!("{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    // A server that refuses the body may close before all of it is sent.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("an answer has a head")?;
    let status = head.split(' ').nth(1).ok_or("a head has a status")?;
    Ok(format!("{status} {}", body.trim_end()))
}
