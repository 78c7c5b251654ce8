//! Lines about a dry run.

use super::*;

fn case(tighten: impl FnOnce(&mut Limits), enforced: impl FnOnce(&mut Limits)) -> Case {
    let [mut limits, mut dry_run] = [Limits::unlimited(), Limits::unlimited()];
    enforced(&mut limits);
    tighten(&mut dry_run);
    let builder = Manager::builder().limits(limits).dry_run(dry_run);
    Case::of(builder.build().unwrap())
}

#[test]
fn what_a_dry_run_would_have_refused_has_lines_of_its_own() {
    let mut case = case(
        |limits| {
            limits.peer_default.streams_inbound = 2.into();
            limits.system.memory = (100 * KIB).into();
            limits.conn.memory = KIB.into();
        },
        |limits| limits.peer_default.streams_inbound = 5.into(),
    );
    let held: Vec<_> = (0..5).map(|_| case.stream("a").unwrap()).collect();
    case.refuse_streams("a", 4);
    let one = case.stream("b").unwrap();
    let system = case.manager.view_system();
    system.reserve_memory(200 * KIB, Priority::Always).unwrap();
    let connection = case.connect(OUT).unwrap();
    connection
        .reserve_memory(2 * KIB, Priority::Always)
        .unwrap();
    assert_eq!(
        case.said(),
        [
            "peer:a refused 4 inbound streams in the last 1 s: 5 of 5 in use now; the limit is \
             PeerDefault.StreamsInbound",
            "dry run: system would have refused 1 memory reservation in the last 1 s: 202.0 KiB of \
             100.0 KiB in use now; the limit is System.Memory; low priority may use 40 % of it, medium \
             60 %, high 80 %",
            "dry run: peer:a would have refused 3 inbound streams in the last 1 s: 5 of 2 in use now; \
             the limit is PeerDefault.StreamsInbound",
            "dry run: the limit of each connection would have refused 1 memory reservation in the last \
             1 s: it is 1.0 KiB (Conn.Memory); low priority may use 40 % of it, medium 60 %, high 80 %",
        ]
    );
    case.pass(60.0);
    assert_eq!(case.said(), [""; 0]);
    drop((held, one));
}

#[test]
fn an_override_holds_in_the_dry_run_and_is_no_setting_of_it() {
    let mut case = case(|limits| limits.peer_default.streams = 9.into(), |_| ());
    let view = case.manager.view_peer(&peer("a"));
    let streams = 1.into();
    view.set_limit(Limit {
        streams,
        ..view.limit()
    });
    let held = case.stream("a").unwrap();
    case.refuse_streams("a", 1);
    let line = "peer:a refused 1 inbound stream in the last 1 s: 1 of 1 in use now, both directions \
                together; the limit is an override of this scope";
    assert_eq!(case.said(), [line]);
    drop(held);
}

#[test]
fn a_dry_run_that_ends_is_logged_to_its_end() {
    let mut case = case(
        |limits| limits.peer_default.streams_inbound = 1.into(),
        |_| (),
    );
    let held = [case.stream("a").unwrap(), case.stream("a").unwrap()];
    case.manager.set_limits(Limits::unlimited());
    let line = "dry run: peer:a would have refused 1 inbound stream in the last 1 s; this limit no \
                longer exists";
    assert_eq!(case.said(), [line]);
    drop(held);
}

#[test]
fn limits_by_address_of_a_dry_run_are_logged() {
    let config = AddressConfig {
        subnets: SubnetLimits {
            v4_networks: vec![NetworkLimit {
                network: "198.51.100.0/24".parse().unwrap(),
                conns: 0.into(),
            }],
            ..SubnetLimits::none()
        },
        ..AddressConfig::none()
    };
    let mut case = case(
        |limits| limits.addresses = rcmgr_core::AddressLimits::new(config).unwrap(),
        |_| (),
    );
    let from: std::net::IpAddr = "198.51.100.7".parse().unwrap();
    let _held = case.manager.open_connection(IN, UsesFd::No, from).unwrap();
    let said = case.said();
    assert_eq!(said.len(), 1, "{said:#?}");
    let start =
        "dry run: the subnet limiter would have refused 1 connection by address in the last 1 s";
    assert!(said[0].starts_with(start), "{said:#?}");
}
