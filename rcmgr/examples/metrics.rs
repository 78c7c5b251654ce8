//! Metrics for Prometheus: the manager is read when it is scraped.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rcmgr::metrics::Observer;
use rcmgr::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 1.into();
    let manager = Manager::new(limits)?;

    let mut registry = Registry::default();
    registry.register_collector(Box::new(Observer::new(manager.clone())));

    let open = || manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    let connection = open()?;
    assert!(open().is_err());

    // The answer of a server at `/metrics`.
    let mut page = String::new();
    encode(&mut page, &registry)?;
    let system = page.lines().filter(|line| {
        !line.starts_with('#') && line.contains("scope=\"system\"") && !line.ends_with(" 0")
    });
    for line in system {
        println!("{line}");
    }
    assert!(page.contains("libp2p_rcmgr_connections{dir=\"inbound\",scope=\"system\"} 1"));
    assert!(page.contains("libp2p_rcmgr_fds{scope=\"system\"} 1"));
    drop(connection);
    Ok(())
}
