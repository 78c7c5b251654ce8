//! The metrics of a dry run.

#![cfg(feature = "prometheus")]

mod exposition;

use exposition::Exposition;
use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, PeerId, UsesFd};
use rcmgr_metrics::Observer;

#[test]
fn what_a_dry_run_would_have_refused_is_counted_if_there_is_one() {
    let without = Exposition::of(&Observer::new(Manager::new(Limits::unlimited()).unwrap()));
    assert!(!without.kinds.contains_key("rcmgr_dry_run_refusals"));
    let mut dry_run = Limits::unlimited();
    dry_run.peer_default.streams_outbound = 1.into();
    dry_run.system.fd = 0.into();
    let manager = Manager::builder().dry_run(dry_run).build().unwrap();
    let peer: PeerId = "a".parse().unwrap();
    let held = [(); 3].map(|()| manager.open_stream(&peer, Direction::Outbound).unwrap());
    let connection = manager
        .open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)
        .unwrap();
    let found = Exposition::of(&Observer::new(manager));
    let get = |scope, resource, dir| {
        let labels = [("dir", dir), ("resource", resource), ("scope", scope)];
        found.get("rcmgr_dry_run_refusals_total", &labels)
    };
    assert_eq!(get("peer", "stream", "outbound"), Some(2.0));
    assert_eq!(get("system", "fd", ""), Some(1.0));
    assert_eq!(get("system", "stream", "outbound"), None);
    for limiter in ["rate", "subnet"] {
        let refused = found.get(
            "rcmgr_dry_run_address_refusals_total",
            &[("limiter", limiter)],
        );
        assert_eq!(refused, Some(0.0));
    }
    // Nothing was refused.
    let refused = found.values("libp2p_rcmgr_blocked_resources", "scope");
    assert!(refused.is_empty(), "{refused:?}");
    drop((held, connection));
}
