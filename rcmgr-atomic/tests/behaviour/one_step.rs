//! A stream that gets its protocol and its service in one step.

use std::collections::BTreeMap;

use rcmgr_atomic::{
    Direction, Error, Limit, Limits, Manager, Priority, Result, ScopeClass, ScopeId, ScopeStat,
    Stream,
};

use crate::support::{manager, peer, stream};

const PROTOCOL: &str = "/kad";
const SERVICE: &str = "dht";

fn in_two_steps(stream: &Stream) -> Result<()> {
    stream.set_protocol(PROTOCOL)?;
    stream.set_service(SERVICE)
}

fn in_one_step(stream: &Stream) -> Result<()> {
    stream.set_protocol_and_service(PROTOCOL, SERVICE)
}

fn scopes(manager: &Manager) -> BTreeMap<ScopeId, ScopeStat> {
    let scopes = manager.scopes().into_iter();
    scopes.map(|scope| (scope.id, scope.stat)).collect()
}

#[test]
fn one_step_charges_what_two_steps_charge() {
    let after = [in_one_step, in_two_steps].map(|set| {
        let manager = manager(|_| {});
        let stream = stream(&manager);
        stream.reserve_memory(10, Priority::Always).unwrap();
        set(&stream).unwrap();
        let names = (stream.protocol(), stream.service());
        let charged = scopes(&manager);
        drop(stream);
        assert!(manager.stat().system.is_zero());
        assert!(manager.peers().is_empty() && manager.protocols().is_empty());
        (names, charged)
    });
    assert_eq!(after[0], after[1]);
}

/// Each way to block some of the four scopes that the stream gains: by streams or by memory.
fn blocked() -> impl Iterator<Item = (u32, bool)> {
    (1..16).flat_map(|scopes| [false, true].map(|memory| (scopes, memory)))
}

fn block(limits: &mut Limits, scopes: u32, memory: bool) {
    let Limits {
        protocol_default,
        protocol_peer_default,
        service_default,
        service_peer_default,
        ..
    } = limits;
    let service = service_default.get_or_insert(Limit::UNLIMITED);
    let all = [
        protocol_default,
        protocol_peer_default,
        service,
        service_peer_default,
    ];
    for (at, limit) in all.into_iter().enumerate() {
        if scopes & (1 << at) == 0 {
            continue;
        }
        match memory {
            true => limit.memory = 5.into(),
            false => limit.streams_inbound = 0.into(),
        }
    }
}

#[test]
fn one_step_is_refused_by_the_scope_that_refuses_first_in_two_steps() {
    for (scopes, memory) in blocked() {
        let errors = [in_one_step, in_two_steps].map(|set| {
            let manager = manager(|limits| block(limits, scopes, memory));
            let stream = stream(&manager);
            stream.reserve_memory(10, Priority::Always).unwrap();
            set(&stream).unwrap_err()
        });
        assert_eq!(errors[0], errors[1]);
        assert!(matches!(errors[0], Error::LimitExceeded(_)));
    }
}

#[test]
fn one_step_that_is_refused_changes_nothing_and_may_be_tried_again() {
    for (blocked, memory) in blocked() {
        let manager = manager(|limits| block(limits, blocked, memory));
        let stream = stream(&manager);
        stream.reserve_memory(10, Priority::Always).unwrap();
        manager.view_service(SERVICE);
        let before = scopes(&manager);
        in_one_step(&stream).unwrap_err();
        assert_eq!((stream.protocol(), stream.service()), (None, None));
        assert_eq!(scopes(&manager), before);
        manager.set_limits(Limits::unlimited());
        in_one_step(&stream).unwrap();
        assert!(manager.stat().transient.is_zero());
        assert_eq!(manager.stat().services[SERVICE], stream.stat());
    }
}

#[test]
fn one_step_is_for_an_open_stream_without_a_protocol() {
    let manager = manager(|_| {});
    let stream = stream(&manager);
    stream.set_protocol("/ping").unwrap();
    let again = in_one_step(&stream).unwrap_err();
    assert!(matches!(
        again,
        Error::AlreadyAttached {
            to: ScopeClass::Protocol,
            ..
        }
    ));
    assert_eq!(stream.service(), None);
    let closed = manager.open_stream(&peer(), Direction::Inbound).unwrap();
    closed.done();
    let error = in_one_step(&closed).unwrap_err();
    assert!(matches!(error, Error::ScopeClosed { .. }));
}

#[test]
fn streams_in_one_step_and_in_two_steps_share_credit() {
    let mut limits = Limits::unlimited();
    limits.protocol_default.streams = 100.into();
    let builder = Manager::builder().limits(limits).credit_after(0);
    let manager = builder.build().unwrap();
    for round in 0..50 {
        let streams: Vec<_> = (0..100).map(|_| stream(&manager)).collect();
        for (at, stream) in streams.iter().enumerate() {
            match (at + round) % 3 {
                0 => in_two_steps(stream).unwrap(),
                _ => in_one_step(stream).unwrap(),
            }
        }
        assert!(in_one_step(&stream(&manager)).is_err());
        assert_eq!(manager.stat().services[SERVICE].streams(), 100);
        assert_eq!(manager.stat().system.streams(), 100);
    }
    assert!(manager.stat().system.is_zero());
}
