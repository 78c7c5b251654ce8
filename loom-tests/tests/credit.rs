//! Each step of credit against the others: nothing is granted over a limit, nothing is lost, and a
//! path that is collected gives everything back.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{
    connection, conserved, lenders, lending_engine, loads_may_be_stale, one_lender_engine, peers,
    set_peer, stream, usage, within,
};
use rcmgr_atomic::internals::{Contention, Engine, Kind, Leaf, Memory, Path, Shared, Ticket};
use rcmgr_atomic::{Error, Limits, Priority};

/// A limit that is high enough to have credit below it.
const LIMIT: u64 = 4096;

/// The most credit in a stock, in bytes.
const MOST: u64 = 4;

/// A charge that credit can pay for.
const ONE_BYTE: Memory = Memory {
    ticket: Ticket::NOW,
    size: 1,
    level: u8::MAX,
};

fn limits() -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.memory = LIMIT.into();
    limits
}

/// A connection with a peer that holds two bytes, on a path that has two bytes of credit. There is a guess
/// of its word, and of the word of the stock.
fn leaf(engine: &Arc<Engine>) -> Arc<Leaf> {
    let leaf = connection(engine);
    set_peer(&leaf).unwrap();
    for _ in 0..3 {
        leaf.reserve(1, Priority::Always).unwrap();
    }
    leaf.release(1);
    leaf
}

/// Another connection. Its path has no credit.
fn other(engine: &Arc<Engine>) -> Arc<Leaf> {
    connection(engine)
}

/// Closes all, and checks that there is no credit left.
fn nothing_is_left(engine: &Engine, leaves: &[&Leaf]) {
    leaves.iter().for_each(|leaf| leaf.close());
    conserved(engine, &[]);
    engine.for_each_node(&mut |node| {
        assert_eq!(usage(node), (0, 0), "{}", node.id());
        assert_eq!(node.credit_bound(Kind::Memory), 0, "{}", node.id());
    });
    assert_eq!((peers(engine), lenders(engine)), (0, 0));
}

/// Checks that the system scope holds the sum of these leaves, and that this is within its limit.
fn within_the_limit(engine: &Engine, leaves: &[&Leaf]) {
    let held: u64 = leaves.iter().map(|leaf| leaf.stat().memory).sum();
    assert!(held <= LIMIT, "{held}");
    assert_eq!(engine.stat(engine.system()).memory, held);
}

#[test]
fn a_path_has_credit() {
    loom::model(|| {
        let engine = lending_engine(limits(), MOST, 0);
        let leaf = leaf(&engine);
        assert_eq!(usage(engine.system()), (1, 4));
        assert_eq!(engine.stat(engine.system()).memory, 2);
        nothing_is_left(&engine, &[&leaf]);
    });
}

#[test]
fn two_reservations_take_the_same_credit() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let one = leaf(&engine);
        let two = connection(&engine);
        set_peer(&two).unwrap();
        let taker = two.clone();
        let thread = thread::spawn(move || taker.reserve(2, Priority::Always).unwrap());
        one.reserve(2, Priority::Always).unwrap();
        thread.join().unwrap();

        conserved(&engine, &[&one, &two]);
        nothing_is_left(&engine, &[&one, &two]);
    });
}

#[test]
fn credit_is_taken_while_it_is_recalled() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let (leaf, other) = (leaf(&engine), other(&engine));
        let taker = leaf.clone();
        let thread = thread::spawn(move || drop(taker.reserve(1, Priority::Always)));
        // The charge leaves no room, the usage does.
        let _ = other.reserve(LIMIT - 3, Priority::Always);
        thread.join().unwrap();

        within_the_limit(&engine, &[&leaf, &other]);
        nothing_is_left(&engine, &[&leaf, &other]);
    });
}

/// The part of the limit that the medium priority may use.
const MEDIUM: u64 = LIMIT / 256 * 153;

/// Fails if a node is compared with the part of its limit before the credit is taken
/// (`Path::take_guessed`): then the other thread may fill the stock in between.
#[test]
fn a_low_priority_finds_credit_that_was_filled_above_its_part_of_the_limit() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let (leaf, other) = (leaf(&engine), other(&engine));
        let filler = connection(&engine);
        set_peer(&filler).unwrap();
        // All credit is used, and so is the part of the limit.
        leaf.reserve(2, Priority::Always).unwrap();
        other.reserve(MEDIUM - 4, Priority::Always).unwrap();
        assert_eq!(usage(engine.system()).1, MEDIUM);
        let fills = filler.clone();
        let thread = thread::spawn(move || fills.reserve(1, Priority::Always).unwrap());
        let granted = leaf.reserve(1, Priority::Medium).is_ok();
        thread.join().unwrap();

        assert!(!granted, "the part of the limit was used all the time");
        within_the_limit(&engine, &[&leaf, &other, &filler]);
        nothing_is_left(&engine, &[&leaf, &other, &filler]);
    });
}

/// Fails if credit that was not used is dropped when the stock was recalled
/// (`Path::put_back`).
#[test]
fn a_low_priority_puts_credit_back_while_credit_is_recalled() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let (leaf, other) = (leaf(&engine), other(&engine));
        // With the credit the part of the limit is exceeded, and without it a byte is free.
        other.reserve(MEDIUM - 3, Priority::Always).unwrap();
        let refused = other.clone();
        // It is refused by the system scope, which recalls the credit first.
        let thread = thread::spawn(move || assert!(refused.reserve(1, Priority::Low).is_err()));
        let granted = leaf.reserve(1, Priority::Medium).is_ok();
        thread.join().unwrap();

        // Without another thread, credit causes no refusal.
        if !granted {
            leaf.reserve(1, Priority::Medium).unwrap();
        }
        within_the_limit(&engine, &[&leaf, &other]);
        assert!(leaf.reserve(1, Priority::Medium).is_err());
        nothing_is_left(&engine, &[&leaf, &other]);
    });
}

#[test]
fn a_released_amount_becomes_credit_while_credit_is_recalled() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let (leaf, other) = (leaf(&engine), other(&engine));
        let releaser = leaf.clone();
        let thread = thread::spawn(move || releaser.release(1));
        let granted = other.reserve(LIMIT - 2, Priority::Always).is_ok();
        thread.join().unwrap();

        assert!(granted, "credit is no reason to refuse");
        within_the_limit(&engine, &[&leaf, &other]);
        // Nor is the amount that was released.
        other.reserve(1, Priority::Always).unwrap();
        assert!(other.reserve(1, Priority::Always).is_err());
        nothing_is_left(&engine, &[&leaf, &other]);
    });
}

#[test]
fn a_stock_is_filled_while_it_is_recalled() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let (leaf, other) = (leaf(&engine), other(&engine));
        leaf.reserve(2, Priority::Always).unwrap();
        let filler = leaf.clone();
        let thread = thread::spawn(move || drop(filler.reserve(1, Priority::Always)));
        let _ = other.reserve(LIMIT - 5, Priority::Always);
        thread.join().unwrap();

        within_the_limit(&engine, &[&leaf, &other]);
        // Without another thread, credit causes no refusal.
        let left = LIMIT - leaf.stat().memory - other.stat().memory;
        other.reserve(left, Priority::Always).unwrap();
        nothing_is_left(&engine, &[&leaf, &other]);
    });
}

#[test]
fn the_path_is_collected_while_a_reservation_takes_credit() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let leaf = leaf(&engine);
        let taker = leaf.clone();
        let thread = thread::spawn(move || drop(taker.reserve(1, Priority::Always)));
        leaf.close();
        thread.join().unwrap();
        nothing_is_left(&engine, &[&leaf]);
    });
}

#[test]
fn the_path_is_collected_while_a_stock_is_filled() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let leaf = leaf(&engine);
        let filler = leaf.clone();
        let thread = thread::spawn(move || drop(filler.reserve(3, Priority::Always)));
        leaf.close();
        thread.join().unwrap();
        nothing_is_left(&engine, &[&leaf]);
    });
}

#[test]
fn the_path_is_collected_while_it_begins_to_lend() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let leaf = connection(&engine);
        set_peer(&leaf).unwrap();
        let beginner = leaf.clone();
        let thread = thread::spawn(move || drop(beginner.reserve(1, Priority::Always)));
        leaf.close();
        thread.join().unwrap();
        nothing_is_left(&engine, &[&leaf]);
    });
}

#[test]
fn credit_is_taken_while_limits_change() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let leaf = leaf(&engine);
        let set = engine.clone();
        let thread = thread::spawn(move || {
            let mut limits = limits();
            limits.system.memory = 2.into();
            set.set_limits(limits);
        });
        let granted = leaf.reserve(1, Priority::Always).is_ok();
        thread.join().unwrap();

        assert!(
            leaf.reserve(1, Priority::Always).is_err(),
            "the change was made"
        );
        assert_eq!(leaf.stat().memory, 2 + u64::from(granted));
        conserved(&engine, &[&leaf]);
        nothing_is_left(&engine, &[&leaf]);
    });
}

/// A thread that lowers a limit, and then reads the usage, sees all grants under the old limit.
#[test]
fn no_credit_is_taken_under_the_old_limits_after_a_change_was_seen() {
    if loads_may_be_stale() {
        return;
    }
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let leaf = leaf(&engine);
        let set = engine.clone();
        let thread = thread::spawn(move || {
            let mut limits = limits();
            limits.system.memory = 2.into();
            set.set_limits(limits);
            set.stat(set.system()).memory
        });
        let _ = leaf.reserve(1, Priority::Always);
        let seen = thread.join().unwrap();

        let held = leaf.stat().memory;
        assert!(held <= seen, "{held} are held, and {seen} were seen");
        nothing_is_left(&engine, &[&leaf]);
    });
}

#[test]
fn a_stock_is_filled_under_limits_that_are_no_longer_in_force() {
    const LOWERED: u64 = 90;
    within(3, || {
        let mut limits = limits();
        limits.system.memory = (2 * LIMIT).into();
        let engine = lending_engine(limits.clone(), 64, 0);
        let leaf = leaf(&engine);
        leaf.reserve(32, Priority::Always).unwrap();
        // All credit is used, and the stock has room for two batches of 32.
        assert_eq!(usage(engine.system()), (1, 34));

        let (filler, passed) = (leaf.clone(), engine.versions().get());
        let fill = move |version| {
            let path = filler.path();
            path.home()
                .fill_credit(path, version, ONE_BYTE, Contention::None);
        };
        let late = fill.clone();
        let thread = thread::spawn(move || late(passed));
        limits.system.memory = LOWERED.into();
        engine.set_limits(limits);
        // The lowered limit leaves room for one of them.
        fill(engine.versions().get());
        thread.join().unwrap();

        let _ = leaf.reserve(64, Priority::Always);
        assert!(leaf.stat().memory <= LOWERED);
        conserved(&engine, &[&leaf]);
        nothing_is_left(&engine, &[&leaf]);
    });
}

#[test]
fn two_reservations_recall_the_same_credit() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let (leaf, one, two) = (leaf(&engine), other(&engine), other(&engine));
        let recaller = one.clone();
        let thread = thread::spawn(move || drop(recaller.reserve(LIMIT - 2, Priority::Always)));
        let _ = two.reserve(LIMIT - 2, Priority::Always);
        thread.join().unwrap();

        within_the_limit(&engine, &[&leaf, &one, &two]);
        // Without another thread, credit causes no refusal.
        one.release_up_to(LIMIT);
        two.release_up_to(LIMIT);
        two.reserve(LIMIT - 2, Priority::Always).unwrap();
        nothing_is_left(&engine, &[&leaf, &one, &two]);
    });
}

#[test]
fn a_node_is_never_seen_below_its_leaf_while_credit_is_recalled() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let (leaf, other) = (leaf(&engine), other(&engine));
        let recaller = other.clone();
        let thread = thread::spawn(move || drop(recaller.reserve(LIMIT - 2, Priority::Always)));
        assert!(engine.stat(engine.system()).memory >= leaf.stat().memory);
        thread.join().unwrap();
        nothing_is_left(&engine, &[&leaf, &other]);
    });
}

#[test]
fn a_node_is_never_seen_below_its_leaf_while_a_stock_is_filled() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let leaf = leaf(&engine);
        let filler = leaf.clone();
        let thread = thread::spawn(move || filler.reserve(3, Priority::Always).unwrap());
        let held = leaf.stat().memory;
        assert!(engine.stat(engine.system()).memory >= held);
        thread.join().unwrap();
        nothing_is_left(&engine, &[&leaf]);
    });
}

#[test]
fn a_late_filler_meets_a_path_that_lends_again() {
    within(3, || {
        let engine = one_lender_engine(limits(), MOST);
        let leaf = leaf(&engine);
        let other = stream(&engine).unwrap();
        let (path, version) = (leaf.path().clone(), engine.versions().get());
        // Now the path counts as unused, and makes room for another lender.
        for stock in path.credit().unwrap().all_stocks() {
            stock.was_used();
        }
        let charge = {
            let engine = engine.clone();
            move |path: &Shared<Path>| {
                engine.fill_credit(path, version, ONE_BYTE, Contention::None);
            }
        };
        let (late, of_leaf, closer) = (charge.clone(), path.clone(), leaf.clone());
        let thread = thread::spawn(move || {
            late(&of_leaf);
            closer.close();
        });
        charge(other.path());
        charge(&path);
        charge(&path);
        thread.join().unwrap();
        drop((path, charge));
        nothing_is_left(&engine, &[&leaf, &other]);
    });
}

#[test]
fn a_path_that_made_room_for_another_lends_again() {
    within(3, || {
        let engine = one_lender_engine(limits(), MOST);
        let leaf = leaf(&engine);
        let other = stream(&engine).unwrap();
        let (path, version) = (leaf.path().clone(), engine.versions().get());
        let charge = |path: &Shared<Path>| {
            engine.fill_credit(path, version, ONE_BYTE, Contention::None);
        };
        let is_unused = |path: &Path| {
            for stock in path.credit().unwrap().all_stocks() {
                stock.was_used();
            }
        };
        // Its stocks are closed.
        is_unused(&path);
        charge(other.path());
        assert!(!path.lend_state().lends());
        // Now the other path makes room, while it is collected.
        is_unused(other.path());
        let closer = other.clone();
        let thread = thread::spawn(move || closer.close());
        charge(&path);
        thread.join().unwrap();
        // Once to begin, if the list was changed by the other thread, and once to open a stock.
        charge(&path);
        charge(&path);
        assert!(path.credit().unwrap().amount(Kind::Memory) > 0);
        drop(path);
        nothing_is_left(&engine, &[&leaf, &other]);
    });
}

#[test]
fn nothing_is_refused_under_limits_that_are_no_longer_in_force() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let (leaf, other) = (leaf(&engine), other(&engine));
        let set = engine.clone();
        let set_memory = move |memory: u64| {
            let mut limit = set.limit(set.system());
            limit.memory = memory.into();
            set.set_limit(set.system(), Some(limit));
        };
        let thread = thread::spawn(move || {
            set_memory(2 * LIMIT);
            set_memory(10);
        });
        // Only the last of these limits has no room for it.
        if let Err(Error::LimitExceeded(refused)) = other.reserve(LIMIT - 3, Priority::Always) {
            let now = engine.limit(engine.system()).memory;
            assert_eq!(refused.limit, now);
        }
        thread.join().unwrap();
        nothing_is_left(&engine, &[&leaf, &other]);
    });
}

#[test]
fn credit_is_recalled_while_its_path_is_collected_and_another_path_begins_to_lend() {
    within(3, || {
        let engine = lending_engine(limits(), MOST, 0);
        let leaf = leaf(&engine);
        let (begins, other) = (stream(&engine).unwrap(), other(&engine));
        let version = engine.versions().get();
        let (closer, path) = (leaf.clone(), leaf.path().clone());
        let thread = thread::spawn(move || closer.close());
        engine.fill_credit(begins.path(), version, ONE_BYTE, Contention::None);
        let granted = other.reserve(LIMIT - 1, Priority::Always).is_ok();
        let credit = path.credit().unwrap().amount(Kind::Memory);
        assert!(
            granted || credit == 0 || !leaf.is_closed(),
            "{credit} bytes of credit are in the way"
        );
        thread.join().unwrap();
        nothing_is_left(&engine, &[&leaf, &begins, &other]);
    });
}

#[test]
fn a_stock_that_is_too_small_is_opened_again() {
    within(3, || {
        let engine = lending_engine(limits(), 64, 0);
        let other = other(&engine);
        other.reserve(LIMIT / 4 * 3 - 64, Priority::Always).unwrap();
        let leaf = leaf(&engine);
        let credit = leaf.path().credit().unwrap();
        let capacity = || {
            credit
                .stocks(Kind::Memory)
                .next()
                .unwrap()
                .load()
                .capacity()
        };
        let before = capacity();
        other.release_up_to(LIMIT);
        // More charges than the stock backs off for: it is too small for each of them.
        for _ in 0..150 {
            leaf.reserve(before, Priority::Always).unwrap();
            leaf.release(before);
        }
        assert!(capacity() > before);
        nothing_is_left(&engine, &[&leaf, &other]);
    });
}
