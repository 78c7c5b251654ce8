//! How a new leaf is charged.

use rcmgr_core::{Error, LimitExceeded, Result, ScopeId, ScopeName};

use crate::charge::{OneConnection, Refused, SlotCharge, Streams};
use crate::counters::Slot;
use crate::engine::{Engine, Operation, Path, Record};
use crate::lifetime::{Shared, Use};
use crate::limits::{LimitReached, LimitsVersion};
use crate::waiting::Ticket;

/// Charges a new leaf, if its own limit and the path have room.
///
/// A refusal is the hot path of a server under attack, so it changes no count of users. The caller
/// may only know that the path had a user a moment ago, and [joins](join_charged) it after the
/// charge.
///
/// # Errors
///
/// If there is no room: then nothing is charged.
#[inline(always)]
pub fn charge_new(path: &Shared<Path>, slot: Slot) -> Result<()> {
    match pay_for_new(path, slot) {
        true => Ok(()),
        false => charge_in_turn(path, slot, Ticket::NOW),
    }
}

/// Pays for a new leaf with credit, if its own limit has room and there is some: the common case. Returns
/// whether it did.
#[inline(always)]
pub fn pay_for_new(path: &Shared<Path>, slot: Slot) -> bool {
    match slot {
        Slot::Stream(direction) => {
            let one = Streams::one(direction, Ticket::NOW);
            pay_as(path, slot, one, |version| path.take_credit(version, one))
        }
        Slot::Connection(direction, uses_fd) => {
            let one = OneConnection {
                direction,
                uses_fd,
                ticket: Ticket::NOW,
            };
            let take = |version| path.take_conns(version, direction, uses_fd);
            pay_as(path, slot, one, take)
        }
    }
}

#[inline(always)]
fn pay_as(
    path: &Shared<Path>,
    slot: Slot,
    charge: impl SlotCharge,
    take_credit: impl FnOnce(LimitsVersion) -> bool,
) -> bool {
    let engine = path.home();
    let version = engine.versions().get();
    let has_room = engine.leaf_class(slot).limit.check(version, slot).is_ok();
    if !has_room || !take_credit(version) {
        return false;
    }
    let is_current = engine.versions().is_current(version);
    if !is_current {
        path.cancel(charge);
    }
    is_current
}

/// As [`charge_new`], for a request with this ticket.
///
/// # Errors
///
/// If there is no room, or others go first: then nothing is charged.
#[inline(always)]
pub fn charge_in_turn(path: &Shared<Path>, slot: Slot, ticket: Ticket) -> Result<()> {
    match slot {
        Slot::Stream(direction) => charge_new_as(path, slot, Streams::one(direction, ticket)),
        Slot::Connection(direction, uses_fd) => {
            let one = OneConnection {
                direction,
                uses_fd,
                ticket,
            };
            charge_new_as(path, slot, one)
        }
    }
}

/// A use of a path that is charged with a new leaf already. `None` if the path has no use any
/// longer: then it was collected, its nodes may be removed from their maps, and the charge is
/// cancelled.
#[inline]
pub fn join_charged(path: &Shared<Path>, slot: Slot) -> Option<Use<Path>> {
    let user = path.try_join();
    if user.is_none() {
        match slot {
            Slot::Stream(direction) => path.cancel(Streams::one(direction, Ticket::NOW)),
            Slot::Connection(direction, uses_fd) => path.cancel(OneConnection {
                direction,
                uses_fd,
                ticket: Ticket::NOW,
            }),
        }
    }
    user
}

#[inline(always)]
fn charge_new_as(path: &Shared<Path>, slot: Slot, charge: impl SlotCharge) -> Result<()> {
    let engine = path.home();
    let charged = engine.under_current_limits(|version| {
        check_own_limit(engine, version, slot, charge.ticket())?;
        engine
            .charge_path(path, version, charge)
            .map_err(|refused| engine.settle(refused, charge, version))?;
        if !engine.versions().is_current(version) {
            path.cancel(charge);
            return Err(Refused::Stale);
        }
        Ok(())
    });
    // By reference: `inspect_err` would copy the large result, also one without an error.
    if let Err(refused) = &charged
        && !charge.ticket().may_wait()
    {
        record_refused(path, slot, refused);
    }
    charged
}

/// Checks the limit of a new leaf itself.
///
/// # Errors
///
/// [`Refused::Final`] or [`Refused::Stale`].
#[inline]
pub fn check_own_limit<'a>(
    engine: &Engine,
    version: LimitsVersion,
    slot: Slot,
    ticket: Ticket,
) -> Result<(), Refused<'a>> {
    let class = engine.leaf_class(slot);
    let checked = class.limit.check(version, slot);
    let refused = |reached: LimitReached| {
        if !ticket.may_wait() {
            class.refusals.count(reached.resource, Some(slot));
        }
        class.refused(reached, slot)
    };
    checked.map_err(|reached| engine.refused_for_good(version, || refused(reached)))
}

/// Checks whether a new leaf would be let in if nothing else were in use.
///
/// # Errors
///
/// The refusal. It is not counted.
pub fn check_new_alone(path: &Shared<Path>, slot: Slot) -> Result<()> {
    let (engine, ticket) = (path.home(), Ticket::NEW);
    engine.under_current_limits(|version| {
        check_own_limit(engine, version, slot, ticket)?;
        match slot {
            Slot::Stream(direction) => {
                engine.check_alone(path.iter(), version, Streams::one(direction, ticket))
            }
            Slot::Connection(direction, uses_fd) => {
                let one = OneConnection {
                    direction,
                    uses_fd,
                    ticket,
                };
                engine.check_alone(path.iter(), version, one)
            }
        }
    })
}

/// Records that a leaf was refused.
#[inline]
fn record_refused(path: &Shared<Path>, slot: Slot, refused: &Error) {
    path.home().record_refusal(refused, || {
        let number = match refused {
            // The leaf refused itself, and the error names it.
            Error::LimitExceeded(LimitExceeded {
                scope:
                    ScopeName {
                        scope: ScopeId::Connection(number) | ScopeId::Stream(number),
                        ..
                    },
                ..
            }) => *number,
            _ => path.home().leaf_class(slot).numbers.next(),
        };
        Record::of_leaf(Operation::Open, path, slot, number)
    });
}
