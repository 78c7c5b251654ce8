//! A value with users and references: it is removed when it has no user, and freed once, when no
//! thread can reach it.
#![cfg(loom)]
#![allow(unsafe_code)]

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use rcmgr_atomic::internals::{Collect, Shared, Use};

/// The place where a thing is found, in the part of the map of paths.
type Place = Arc<Mutex<Option<Shared<Thing>>>>;

struct Thing {
    place: Place,
    /// How often it was removed from its place, and how often it was freed.
    ends: Arc<[AtomicUsize; 2]>,
    /// Written when the thing is freed: loom fails if another access overlaps that.
    memory: UnsafeCell<u64>,
    /// Written by each of two users. loom fails if the thread that removes the thing does not see
    /// that.
    notes: [UnsafeCell<u64>; 2],
}

impl Thing {
    fn look(&self) {
        // SAFETY: the caller has a reference, and it is written when there is none.
        assert_eq!(self.memory.with(|memory| unsafe { *memory }), 7);
    }

    fn note(&self, user: usize) {
        // SAFETY: each user has its own cell, and the cells are read when the thing has no user.
        self.notes[user].with_mut(|note| unsafe { *note = 1 });
    }

    fn notes(&self) -> u64 {
        // SAFETY: the thing has no user, and gets none again.
        let read = |note: &UnsafeCell<u64>| note.with(|note| unsafe { *note });
        self.notes.iter().map(read).sum()
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        // SAFETY: there is no reference to it.
        self.memory.with_mut(|memory| unsafe { *memory = 0 });
        self.ends[1].fetch_add(1, Ordering::AcqRel);
    }
}

impl Collect for Thing {
    fn unused(this: &Shared<Self>) {
        this.look();
        let mut place = this.place.lock().unwrap();
        let removed = place.take_if(|found| found.is(this) && this.is_unused());
        drop(place);
        if removed.is_some() {
            assert!(this.notes() <= 2);
            this.ends[0].fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// A thing in its place, and a user of it.
fn thing() -> (Place, Use<Thing>, Arc<[AtomicUsize; 2]>) {
    let place = Place::default();
    let ends = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let shared = Shared::new(Thing {
        place: place.clone(),
        ends: ends.clone(),
        memory: UnsafeCell::new(7),
        notes: [0, 0].map(UnsafeCell::new),
    });
    let user = shared.join();
    *place.lock().unwrap() = Some(shared);
    (place, user, ends)
}

fn ended(ends: &[AtomicUsize; 2]) -> [usize; 2] {
    [0, 1].map(|at| ends[at].load(Ordering::Acquire))
}

#[test]
fn two_users_leave() {
    loom::model(|| {
        let (place, one, ends) = thing();
        let two = one.clone();
        let thread = thread::spawn(move || {
            two.note(1);
            drop(two);
        });
        one.note(0);
        drop(one);
        thread.join().unwrap();

        assert!(place.lock().unwrap().is_none());
        assert_eq!(ended(&ends), [1, 1]);
    });
}

#[test]
fn the_last_user_leaves_while_another_finds_it() {
    loom::model(|| {
        let (place, user, ends) = thing();
        let other = place.clone();
        let thread = thread::spawn(move || {
            let found = other.lock().unwrap().as_ref().map(Shared::join);
            found.inspect(|found| found.note(1)).is_some()
        });
        user.note(0);
        drop(user);
        thread.join().unwrap();

        assert!(place.lock().unwrap().is_none());
        assert_eq!(ended(&ends), [1, 1]);
    });
}

#[test]
fn a_reference_becomes_a_user_only_while_there_is_another() {
    loom::model(|| {
        let (place, user, ends) = thing();
        let reference = (*user).clone();
        let thread = thread::spawn(move || {
            reference.look();
            if let Some(user) = reference.try_join() {
                let place = user.place.lock().unwrap();
                assert!(place.is_some(), "with a user it stays in its place");
            }
        });
        drop(user);
        thread.join().unwrap();

        assert!(place.lock().unwrap().is_none());
        assert_eq!(ended(&ends), [1, 1]);
    });
}

#[test]
fn the_last_two_references_are_dropped_at_once() {
    loom::model(|| {
        let (_, user, ends) = thing();
        let reference = (*user).clone();
        drop(user);
        assert_eq!(ended(&ends), [1, 0]);
        let other = reference.clone();
        let thread = thread::spawn(move || other.look());
        reference.look();
        drop(reference);
        thread.join().unwrap();
        assert_eq!(ended(&ends), [1, 1]);
    });
}
