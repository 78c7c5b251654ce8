//! Sessions: admission, half-close, resets, timeouts.

use rcmgr_atomic::Limits;
use rcmgr_core::PeerId;
use tokio::io::AsyncWriteExt;

use crate::support::{Echo, Proxy, echo, expect, expect_end, rest, run};

#[test]
fn a_session_is_two_connections_of_its_service_one_of_them_of_its_peer() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let mut client = proxy.connect_from([127, 0, 0, 7]).await;
        echo(&mut client, b"hello").await;
        let stat = proxy.manager.stat();
        for scope in [&stat.system, &stat.services["echo"]] {
            assert_eq!(
                (scope.conns_inbound, scope.conns_outbound, scope.fd),
                (1, 1, 2)
            );
        }
        let peer: PeerId = "127.0.0.7".parse().unwrap();
        let peer = &stat.peers[&peer];
        assert_eq!(
            (peer.conns_inbound, peer.conns_outbound, peer.fd),
            (1, 0, 1)
        );
        assert!(stat.transient.is_zero());
        drop(client);
        proxy.end().await;
    });
}

#[test]
fn bytes_arrive_in_both_directions_after_the_other_one_has_ended() {
    run(async || {
        let backend = Echo::start().await;
        let proxy = Proxy::start(Limits::unlimited(), &[backend.address], |_| {});
        let mut client = proxy.served().await;
        client.write_all(b"the last bytes").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, Ok(b"the last bytes".to_vec()));
        proxy.is_idle().await;
        assert_eq!(proxy.counts().ended, 1);
        proxy.end().await;
    });
}
