//! Services.

use rcmgr_atomic::{Error, Limit, Priority, ScopeClass, ScopeStat, Service};

use crate::support::{connection, manager, peer};

#[test]
fn a_connection_can_be_attached_to_a_service_before_or_after_its_peer() {
    for service_first in [true, false] {
        let manager = manager(|_| {});
        let connection = connection(&manager);
        connection.reserve_memory(10, Priority::Always).unwrap();
        if service_first {
            connection.set_service("web").unwrap();
            assert!(manager.stat().transient.is_zero());
            connection.set_peer(&peer()).unwrap();
        } else {
            connection.set_peer(&peer()).unwrap();
            connection.set_service("web").unwrap();
        }
        let held = ScopeStat {
            conns_inbound: 1,
            fd: 1,
            memory: 10,
            ..ScopeStat::ZERO
        };
        let scopes: Vec<_> = manager
            .scopes()
            .into_iter()
            .filter(|scope| scope.stat == held)
            .map(|scope| scope.id.to_string())
            .collect();
        let expected = [
            "system",
            "service:web",
            "service:web.peer:tenant-7",
            "peer:tenant-7",
        ];
        assert_eq!(scopes, expected);
        let again = connection.set_service("dns");
        assert!(matches!(
            again,
            Err(Error::AlreadyAttached {
                to: ScopeClass::Service,
                ..
            })
        ));
        drop(connection);
        assert!(manager.stat().system.is_zero());
    }
}

#[test]
fn a_service_without_any_limit_is_a_span_of_the_system_scope() {
    let manager = manager(|limits| {
        limits.service_default = None;
        limits.service.insert("dht".into(), Limit::UNLIMITED);
    });
    let dht = manager.open_service("dht").unwrap();
    assert!(matches!(dht, Service::Scope(_)));
    let other = manager.open_service("other").unwrap();
    assert!(matches!(other, Service::Span(_)));
    other.reserve_memory(10, Priority::Always).unwrap();
    assert_eq!(manager.stat().system.memory, 10);
    assert_eq!(manager.services(), ["dht".into()]);
    drop(other);
    assert!(manager.stat().system.is_zero());
}

#[test]
fn a_service_with_an_override_has_a_scope() {
    let manager = manager(|limits| limits.service_default = None);
    manager.view_service("dht").set_limit(Limit::BLOCK_ALL);
    assert!(matches!(manager.open_service("dht"), Ok(Service::Scope(_))));
    manager.view_service("dht").reset_limit();
    assert!(matches!(manager.open_service("dht"), Ok(Service::Span(_))));
}
