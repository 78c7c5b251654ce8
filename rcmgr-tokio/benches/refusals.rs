//! The CPU time of the server for each connection that is refused, beside a loop that accepts and
//! resets with no manager at all: the part of the operating system and of tokio.
//!
//! Run it with `cargo bench -p rcmgr-tokio --bench refusals`.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cpu_time::ThreadTime;
use rcmgr_atomic::Manager;
use rcmgr_core::Limits;
use rcmgr_core::address::{AddressConfig, AddressLimits, SubnetLimit, SubnetLimits};
use rcmgr_tokio::{Guarded, Refusal};
use tokio::net::TcpListener;

/// Refused connections of one measurement.
const CONNECTIONS: u32 = 3000;
/// Interleaved repetitions.
const ROUNDS: usize = 9;

/// A way to refuse.
#[derive(Debug, Clone, Copy)]
enum How {
    /// Accepted and reset by a plain loop.
    Plain,
    /// Refused by the limit of the address.
    Address(Kind),
    /// Refused by the system scope.
    System(Kind),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Close,
    Reset,
    Reply,
}

const WAYS: [How; 5] = [
    How::Plain,
    How::Address(Kind::Reset),
    How::System(Kind::Reset),
    How::System(Kind::Close),
    How::System(Kind::Reply),
];

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only builds it
    }
    let mut costs = vec![Vec::new(); WAYS.len()];
    for _ in 0..ROUNDS {
        for (cost, &how) in costs.iter_mut().zip(&WAYS) {
            cost.push(measure(how));
        }
    }
    let plain = costs[0].clone();
    for (cost, how) in costs.into_iter().zip(WAYS) {
        let ratios = cost.iter().zip(&plain).map(|(cost, plain)| cost / plain);
        println!(
            "{:<18} {:>6.2} us of CPU a refusal, {:.2} of the plain loop",
            format!("{how:?}"),
            median(cost.clone()),
            median(ratios.collect()),
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The CPU time of the server's thread for one connection, in microseconds.
fn measure(how: How) -> f64 {
    let (address_sender, address) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            address_sender.send(listener.local_addr().unwrap()).unwrap();
            let cpu = ThreadTime::now();
            tokio::spawn(refuse(listener, how));
            stopped.await.unwrap();
            cpu.elapsed()
        })
    });
    connect_and_read(address.recv().unwrap());
    stop.send(()).unwrap();
    let cpu: Duration = server.join().unwrap();
    cpu.as_secs_f64() * 1e6 / f64::from(CONNECTIONS)
}

fn connect_and_read(address: SocketAddr) {
    for _ in 0..CONNECTIONS {
        // A reset may arrive before the connect returns.
        if let Ok(mut client) = TcpStream::connect(address) {
            let _ = client.read_to_end(&mut Vec::new());
        }
    }
}

async fn refuse(listener: TcpListener, how: How) {
    let kind = match how {
        How::Plain => loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_zero_linger().unwrap();
        },
        How::Address(kind) | How::System(kind) => kind,
    };
    let mut limits = Limits::unlimited();
    limits.addresses = AddressLimits::new(AddressConfig {
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns: if matches!(how, How::Address(_)) {
                    0
                } else {
                    100
                },
            }],
            ..SubnetLimits::none()
        },
        trust_loopback: false,
        ..AddressConfig::none()
    })
    .unwrap();
    if matches!(how, How::System(_)) {
        limits.system.conns_inbound = 0.into();
    }
    let refusal = match kind {
        Kind::Close => Refusal::Close,
        Kind::Reset => Refusal::Reset,
        Kind::Reply => Refusal::Reply(b"busy\r\n"),
    };
    let manager = Manager::new(limits).unwrap();
    Guarded::new(listener, manager)
        .service("echo")
        .on_refusal(refusal)
        .accept()
        .await;
}
