//! A flood of connections from one address, beside an honest client.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_core::Limits;
use rcmgr_core::address::{AddressConfig, AddressLimits, SubnetLimit, SubnetLimits};
use rcmgr_tokio::{Guarded, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);
const PER_ADDRESS: u64 = 20;
const REFUSED: usize = 5000;
/// How many connections of the flood are tried at the same time.
const AT_A_TIME: usize = 50;

const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const FLOODER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// A connection. It fails if the reset of a refusal arrives before the connection is looked at.
async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    timeout(LONG, socket.connect(to)).await.unwrap()
}

/// Sends a byte and reads the answer. `None` if the connection was refused.
async fn echo(stream: &mut TcpStream) -> Option<u8> {
    stream.write_u8(7).await.ok()?;
    timeout(LONG, stream.read_u8()).await.unwrap().ok()
}

fn manager() -> Manager {
    let v4 = vec![SubnetLimit {
        prefix_len: 32,
        conns: PER_ADDRESS,
    }];
    let config = AddressConfig {
        subnets: SubnetLimits {
            v4,
            ..SubnetLimits::none()
        },
        trust_loopback: false,
        ..AddressConfig::none()
    };
    let mut limits = Limits::unlimited();
    limits.addresses = AddressLimits::new(config).unwrap();
    Manager::new(limits).unwrap()
}

#[cfg(target_os = "linux")] // Every address of 127.0.0.0/8 can be used there.
#[tokio::test]
async fn five_thousand_refused_connections_leave_an_honest_client_served() {
    let manager = manager();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Guarded::new(listener, manager.clone()).on_refusal(Refusal::Reset);
    let server = tokio::spawn(async move {
        loop {
            let mut stream = listener.accept().await;
            tokio::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    stream.write_u8(byte).await.unwrap();
                }
            });
        }
    });

    // The flooder keeps all that it may have.
    let mut held = Vec::new();
    for _ in 0..PER_ADDRESS {
        let mut stream = connect(FLOODER, address).await.unwrap();
        assert_eq!(echo(&mut stream).await, Some(7));
        held.push(stream);
    }
    let flood = tokio::spawn(async move {
        let mut tried = JoinSet::new();
        let mut refused = 0;
        for at in 0..REFUSED {
            tried.spawn(async move {
                let mut stream = connect(FLOODER, address).await.ok()?;
                echo(&mut stream).await
            });
            if at >= AT_A_TIME {
                refused += usize::from(tried.join_next().await.unwrap().unwrap().is_none());
            }
        }
        let rest = tried.join_all().await;
        refused + rest.iter().filter(|answer| answer.is_none()).count()
    });
    let mut served = 0;
    while !flood.is_finished() || served < 100 {
        let mut stream = connect(HONEST, address).await.unwrap();
        assert_eq!(echo(&mut stream).await, Some(7));
        served += 1;
    }
    assert_eq!(flood.await.unwrap(), REFUSED);
    // Each of them was refused by the limit of its address, and counted once.
    let stat = manager.addresses().stat();
    assert_eq!(stat.refused_by_subnet, REFUSED as u64);
    for stream in &mut held {
        assert_eq!(echo(stream).await, Some(7), "it is still admitted");
    }
    drop(held);
    timeout(LONG, async {
        while !manager.stat().system.is_zero() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    server.abort();
}
