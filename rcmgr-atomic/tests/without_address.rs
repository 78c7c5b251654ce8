//! Limits by address without the feature `address`: they are an error, or are logged once.
//!
//! `cargo test -p rcmgr-atomic --no-default-features --test without_address` runs it.
#![cfg(not(feature = "address"))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcmgr_atomic::{AddressLimits, Error, Limits, Manager};
use rcmgr_core::address::{AddressConfig, SubnetLimit, SubnetLimits};
use rcmgr_testkit::passed_in_own_process;
use tracing::{Event, Metadata, Subscriber, span};

fn limited_by_address() -> Limits {
    let subnets = SubnetLimits {
        v4: vec![SubnetLimit {
            prefix_len: 32,
            conns: 8,
        }],
        ..SubnetLimits::none()
    };
    let config = AddressConfig {
        subnets,
        ..AddressConfig::none()
    };
    let mut limits = Limits::unlimited();
    limits.addresses = AddressLimits::new(config).unwrap();
    limits
}

#[test]
fn a_manager_with_limits_by_address_is_not_built_without_the_feature() {
    let mut with_dry_run = Limits::unlimited();
    with_dry_run.dry_run = Some(Arc::new(limited_by_address()));
    for limits in [limited_by_address(), with_dry_run] {
        let error = Manager::new(limits).unwrap_err();
        assert!(matches!(error, Error::BadConfiguration(_)));
        assert!(error.to_string().contains("feature `address`"), "{error}");
    }
    Manager::new(Limits::unlimited()).unwrap();
}

/// Counts the lines of the log.
#[derive(Debug, Default)]
struct Log(AtomicU64);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn limits_by_address_that_are_set_later_are_logged_once_without_the_feature() {
    if passed_in_own_process(
        "limits_by_address_that_are_set_later_are_logged_once_without_the_feature",
    ) {
        return;
    }
    let log = Arc::new(Log::default());
    let manager = Manager::new(Limits::unlimited()).unwrap();
    tracing::subscriber::with_default(log.clone(), || {
        manager.set_limits(Limits::unlimited());
        assert_eq!(log.0.load(Ordering::Relaxed), 0);
        for _ in 0..3 {
            manager.set_limits(limited_by_address());
        }
    });
    assert_eq!(log.0.load(Ordering::Relaxed), 1);
    assert_eq!(*manager.limits(), limited_by_address());
}
