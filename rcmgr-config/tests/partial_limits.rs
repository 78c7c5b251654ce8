//! Tests partial limits applied to others and built over defaults.

use rcmgr_config::PartialLimits;
use rcmgr_core::{Limit, LimitValue, Limits};

#[test]
fn apply_sets_only_unset_fields() {
    let mut mine = PartialLimits::from_toml("Conn.FD = 1\nService.a.FD = 0").unwrap();
    let other = "Conn.FD = 2\nConn.Memory = 3\nService.a = {FD = 4, Conns = 5}\nPeer.b.FD = 6";
    mine.apply(&PartialLimits::from_toml(other).unwrap());
    let both = "Conn.FD = 1\nConn.Memory = 3\nService.a = {FD = 0, Conns = 5}\nPeer.b.FD = 6";
    assert_eq!(mine, PartialLimits::from_toml(both).unwrap());
}

#[test]
fn named_entries_are_built_over_their_own_default_first() {
    let mut defaults = Limits::unlimited();
    let entry = Limit::all(LimitValue::Limited(7));
    defaults.service.insert("known".into(), entry);
    defaults.service.insert("kept".into(), entry);
    let partial = "ServiceDefault.FD = 1\nService.known.Conns = 2\nService.new.Conns = 3";
    let built = PartialLimits::from_toml(partial).unwrap().build(&defaults);
    assert_eq!(built.service["kept"], entry);
    assert_eq!(built.service["known"].fd, LimitValue::Limited(7));
    assert_eq!(built.service["known"].conns, LimitValue::Limited(2));
    assert_eq!(built.service["new"].fd, LimitValue::Limited(1));
    assert_eq!(built.service["new"].memory, LimitValue::Unlimited);
}

#[test]
fn a_missing_default_for_services_stays_missing_until_one_is_set() {
    let mut defaults = Limits::unlimited();
    defaults.service_default = None;
    let built = PartialLimits::from_toml("Service.a.FD = 1")
        .unwrap()
        .build(&defaults);
    assert_eq!(built.service_default, None);
    assert_eq!(built.service["a"].conns, LimitValue::Unlimited);
    let built = PartialLimits::from_toml("ServiceDefault.FD = 1")
        .unwrap()
        .build(&defaults);
    assert_eq!(built.service_default.unwrap().fd, LimitValue::Limited(1));
}
