//! Local ports of connections to backends: each backend has all of them, and their shortage is told apart
//! from a dead backend.
//!
//! The test runs in a network of its own with few local ports: it starts itself again in one.

#![cfg(target_os = "linux")]

#[path = "server/support.rs"]
#[allow(dead_code)]
mod support;

use std::io;
use std::process::Command;

use rcmgr_atomic::Limits;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use support::{Echo, Proxy, echo, localhost, run};

/// Set in the process that has a network of its own.
const IN_OWN_NETWORK: &str = "RCMGR_IN_OWN_NETWORK";
const NAME: &str =
    "each_backend_has_all_local_ports_and_their_shortage_is_told_apart_from_a_dead_one";
const PORTS: u16 = 10;
const FIRST_PORT: u16 = 40_000;

/// Makes a network with a loopback device alone, and runs the test there. Some systems allow that only to
/// root: then the test says so.
fn run_in_own_network() {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", script]);
        command
    };
    let may = unshare("ip link set lo up").status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("not run: this system gives the test no network of its own");
        return;
    }
    let last = FIRST_PORT + PORTS - 1;
    let script = format!(
        "ip link set lo up && \
         echo {FIRST_PORT} {last} > /proc/sys/net/ipv4/ip_local_port_range && \
         exec \"$0\" --exact {NAME} --nocapture"
    );
    let mut test = unshare(&script);
    test.arg(std::env::current_exe().unwrap());
    let ran = test.env(IN_OWN_NETWORK, "1").status();
    assert!(ran.unwrap().success());
}

/// A client with a port outside of the range, so that it takes none from the proxy.
async fn client(proxy: &Proxy, port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(localhost(port))?;
    socket.connect(proxy.address()).await
}

/// A client that gets a reset, perhaps before it is connected.
async fn expect_refused(proxy: &Proxy, port: u16) {
    let error = match client(proxy, port).await {
        Ok(mut client) => support::rest(&mut client).await.unwrap_err(),
        Err(error) => error.kind(),
    };
    assert_eq!(error, io::ErrorKind::ConnectionReset);
}

async fn backend_on(address: &str) -> Echo {
    Echo::on(TcpListener::bind(address).await.unwrap())
}

#[test]
fn each_backend_has_all_local_ports_and_their_shortage_is_told_apart_from_a_dead_one() {
    if std::env::var_os(IN_OWN_NETWORK).is_none() {
        return run_in_own_network();
    }
    run(async || {
        let backends = [
            backend_on("127.0.0.1:7001").await,
            backend_on("127.0.0.2:7001").await,
            backend_on("127.0.0.1:7002").await,
        ];
        let to = backends.each_ref().map(|backend| backend.address);
        let mut proxy = Proxy::start(Limits::unlimited(), &to, |settings| {
            settings.listeners[0].on = localhost(7000);
        });
        // The three of them take turns, and each has as many connections as there are ports.
        let mut clients = Vec::new();
        for at in 0..3 * PORTS {
            let mut client = client(&proxy, 20_000 + at).await.unwrap();
            echo(&mut client, b"hello").await;
            clients.push(client);
        }
        let counts = proxy.counts();
        assert_eq!((counts.no_local_port, counts.backend_failures), (0, 0));
        // Then there is no port for any of them.
        expect_refused(&proxy, 30_000).await;
        let counts = proxy.counts();
        assert_eq!(
            (
                counts.no_local_port,
                counts.backend_failures,
                counts.no_backend
            ),
            (3, 0, 1)
        );
        // A port that is free again serves the next client at once: no backend was given up.
        // (After a reset: else the system keeps the port for a while.)
        support::reset(clients.pop().unwrap());
        proxy.has_open(u64::from(3 * PORTS) - 1).await;
        let mut next = client(&proxy, 30_001).await.unwrap();
        echo(&mut next, b"hello").await;
        clients.push(next);
        clients.into_iter().for_each(support::reset);
        proxy.is_idle().await;

        // Nothing listens on a port from which connections start. Where it is the only one that is free,
        // the system connects the socket to itself.
        let itself = localhost(FIRST_PORT);
        let others = (1..PORTS).map(|at| std::net::TcpListener::bind(localhost(FIRST_PORT + at)));
        let others = Vec::from_iter(others.map(Result::unwrap));
        proxy
            .apply(|settings| settings.listeners[0].to = support::listen(&[itself]).to)
            .unwrap();
        let before = proxy.counts();
        expect_refused(&proxy, 30_002).await;
        let counts = proxy.counts();
        let failed = (
            counts.backend_failures - before.backend_failures,
            counts.no_local_port - before.no_local_port,
        );
        assert_eq!(failed, (1, 0));
        drop(others);
        proxy.end().await;
    });
}
