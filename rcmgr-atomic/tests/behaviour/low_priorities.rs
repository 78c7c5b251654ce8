//! Low priorities and credit: credit changes no outcome, to the byte.

use rcmgr_atomic::{Connection, Limits, Manager, Priority};

use crate::support::{connection, peer};

const LIMIT: u64 = 4096;
/// The part of the limit that the medium priority may use.
const MEDIUM: u64 = LIMIT / 256 * 153;

/// A connection that holds two bytes, with two bytes of credit, and another that is not on its path
/// and holds `held`.
fn with_credit(held: u64) -> (Manager, Connection, Connection) {
    let mut limits = Limits::unlimited();
    limits.system.memory = LIMIT.into();
    let builder = Manager::builder().limits(limits).prepaid_credit(4, 0);
    let manager = builder.credit_after(0).build().unwrap();
    let (lends, other) = (connection(&manager), connection(&manager));
    lends.set_peer(&peer()).unwrap();
    lends.reserve_memory(1, Priority::Always).unwrap();
    lends.reserve_memory(1, Priority::Always).unwrap();
    // The credit is not usage, but the peak has it.
    let system = manager.view_system();
    assert_eq!((system.stat().memory, system.peak().memory), (2, 4));
    other.reserve_memory(held, Priority::Always).unwrap();
    (manager, lends, other)
}

#[test]
fn a_low_priority_takes_credit_up_to_its_part_of_the_limit() {
    let (_manager, lends, _other) = with_credit(MEDIUM - 4);
    lends.reserve_memory(2, Priority::Medium).unwrap();
    assert!(lends.reserve_memory(1, Priority::Medium).is_err());
}

#[test]
fn a_low_priority_takes_no_credit_that_lies_a_byte_above_its_part_of_the_limit() {
    let (manager, lends, other) = with_credit(MEDIUM - 3);
    assert!(lends.reserve_memory(2, Priority::Medium).is_err());
    assert_eq!(manager.stat().system.memory, MEDIUM - 1);
    // The rest is still there for both.
    lends.reserve_memory(1, Priority::Medium).unwrap();
    other.release_memory(1);
    other.reserve_memory(1, Priority::Medium).unwrap();
}

#[test]
fn credit_above_the_part_of_a_low_priority_is_no_reason_to_refuse_it() {
    let (_manager, lends, _other) = with_credit(MEDIUM - 3);
    lends.reserve_memory(1, Priority::Medium).unwrap();
    assert!(lends.reserve_memory(1, Priority::Medium).is_err());
    lends.reserve_memory(1, Priority::Always).unwrap();
}

#[test]
fn a_span_of_low_priority_takes_no_credit_that_lies_above_its_part_of_the_limit() {
    let (manager, lends, _other) = with_credit(MEDIUM - 3);
    let span = lends.begin_span().unwrap();
    assert!(span.reserve_memory(2, Priority::Medium).is_err());
    span.reserve_memory(1, Priority::Medium).unwrap();
    drop(span);
    assert_eq!(manager.stat().system.memory, MEDIUM - 1);
}
