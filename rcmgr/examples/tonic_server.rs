//! A gRPC server that bounds the calls of each connection: a unary and a streaming call, and a call that
//! is refused. The service is the standard health service.
//!
//! Without an argument it calls itself, prints what happens, and ends. With an address, such as
//! `127.0.0.1:50051`, it serves until Ctrl-C.

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use rcmgr::prelude::*;
use rcmgr::tokio::{Graceful, Guarded};
use rcmgr::tower::RequestScopes;
use rcmgr::tower::tonic::incoming;
use tokio::net::TcpListener;
use tonic::transport::{Channel, Server};
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::{HealthReporter, health_reporter};

/// What a call holds, about.
const CALL: u64 = 64 * KIB;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Room for two calls at a time on each connection, so that the limit is seen.
    let mut limits = Limits::unlimited();
    limits.conn.memory = (2 * CALL).into();
    let manager = Manager::new(limits)?;

    let argument = env::args().nth(1);
    let address = argument.as_deref().unwrap_or("127.0.0.1:0");
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    println!("listening on {address}");
    let end = Graceful::new();
    let listener = Guarded::new(listener, manager.clone())
        .service("grpc")
        .ended_by(&end);

    let (reporter, health) = health_reporter();
    // A call is refused with UNAVAILABLE and a random time after which to try again.
    let scopes = RequestScopes::grpc(&manager)
        .memory_per_request(CALL)
        .priority(|_| Priority::Always)
        .retry_after(Duration::from_millis(100)..Duration::from_millis(500));
    let server = Server::builder()
        .layer(scopes)
        .add_service(health)
        .serve_with_incoming_shutdown(incoming(listener), end.notice().cancelled_owned());
    let server = tokio::spawn(server);

    if argument.is_some() {
        tokio::signal::ctrl_c().await?;
    } else {
        show(address, reporter, &manager).await?;
    }
    // Streaming calls may go on for ever: they are cut after a while.
    if let Err(left) = end.end(&manager, Duration::from_secs(5)).await {
        println!("{left}");
    }
    server.await??;
    Ok(())
}

/// Calls the server, and prints what happens.
async fn show(
    server: SocketAddr,
    reporter: HealthReporter,
    manager: &Manager,
) -> Result<(), Box<dyn Error>> {
    let channel = Channel::from_shared(format!("http://{server}"))?;
    let mut client = HealthClient::new(channel.connect().await?);

    // A unary call.
    let answer = client.check(request("")).await?;
    println!("the server is {:?}", answer.into_inner().status());

    // Two streaming calls: each holds its part of the connection for as long as it lasts.
    reporter
        .set_service_status("shop", ServingStatus::Serving)
        .await;
    let mut first = client.watch(request("shop")).await?.into_inner();
    let second = client.watch(request("shop")).await?.into_inner();
    while let Some(change) = first.message().await? {
        println!("the shop is {:?}", change.status());
        if change.status() as i32 == ServingStatus::NotServing as i32 {
            break;
        }
        reporter
            .set_service_status("shop", ServingStatus::NotServing)
            .await;
    }
    let used = manager.stat().services["grpc"].memory;
    println!("the calls hold {} KiB", used / KIB);

    // There is no room for a third call, until one of them ends.
    let mut calls = Some((first, second));
    let answer = loop {
        match client.check(request("")).await {
            Ok(answer) => break answer.into_inner(),
            Err(refused) if refused.code() == Code::Unavailable => {
                println!("refused: {:?}, {}", refused.code(), refused.message());
                let after = pushback(&refused).ok_or("the status says when to try again")?;
                println!("the client tries again after {after:?}");
                calls = None;
                tokio::time::sleep(after).await;
            }
            Err(other) => return Err(other.into()),
        }
    };
    assert!(calls.is_none(), "the third call was refused at first");
    println!("the server is {:?}", answer.status());
    Ok(())
}

fn request(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

/// The time after which a refused client should try again.
fn pushback(status: &Status) -> Option<Duration> {
    let millis = status.metadata().get("grpc-retry-pushback-ms")?;
    let millis = millis.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(millis))
}
