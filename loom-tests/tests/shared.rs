//! A value with users and references: it is removed when it has no user, and freed once, when no
//! thread can reach it.
#![cfg(loom)]
#![allow(unsafe_code)]
// The threads of loom take turns; its `spawn` asks for no `Send`.
#![allow(clippy::arc_with_non_send_sync)]

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, ThreadId};
use loom_tests::within;
use rcmgr_atomic::internals::{
    Collect, EntryUses, HandedOver, HotPaths, Retire, ShardUses, Shared, Use,
};

/// The place where a thing is found, in the part of the map of paths.
type Place = Arc<Mutex<Option<Shared<Thing>>>>;

struct Thing {
    place: Place,
    /// The thing that this one is a branch of.
    before: Option<Shared<Thing>>,
    /// Where it is found without the lock of its place.
    hot: Arc<HotPaths<Arc<str>, Thing>>,
    /// The uses that began in its place.
    entry_uses: EntryUses,
    /// The uses in the shard of the first thread, and in that of others.
    shards: [ShardUses; 2],
    first: ThreadId,
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
        let removed = place.take_if(|found| found.is(this) && this.end_if_unused());
        if removed.is_some() {
            this.hot.remove(this);
        }
        drop(place);
        if removed.is_some() {
            assert!(this.notes() <= 2);
            this.ends[0].fetch_add(1, Ordering::AcqRel);
        }
    }

    fn entry_uses(&self) -> &EntryUses {
        &self.entry_uses
    }

    fn before(&self) -> Option<&Shared<Self>> {
        self.before.as_ref()
    }

    fn shard_of_this_thread(&self) -> Option<(usize, &ShardUses)> {
        let number = usize::from(thread::current().id() != self.first);
        Some((number, &self.shards[number]))
    }

    fn shard(&self, number: usize) -> Option<&ShardUses> {
        self.shards.get(number)
    }
}

trait MakeHot {
    /// The caller holds the lock of its place, or no other thread runs.
    fn make_hot(&self);
}

impl MakeHot for Shared<Thing> {
    fn make_hot(&self) {
        self.hot.add(&Arc::from("a"), self);
    }
}

/// A thing in its place, and a user of it.
fn thing() -> (Place, Use<Thing>, Arc<[AtomicUsize; 2]>) {
    thing_after(None)
}

/// The same, a branch of another thing if one is given.
fn thing_after(before: Option<Shared<Thing>>) -> (Place, Use<Thing>, Arc<[AtomicUsize; 2]>) {
    let place = Place::default();
    let ends = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let shared = Shared::new(Thing {
        place: place.clone(),
        before,
        hot: Arc::new(HotPaths::new()),
        entry_uses: EntryUses::new(),
        shards: [ShardUses::new(), ShardUses::new()],
        first: thread::current().id(),
        ends: ends.clone(),
        memory: UnsafeCell::new(7),
        notes: [0, 0].map(UnsafeCell::new),
    });
    let user = shared.join();
    *place.lock().unwrap() = Some(shared);
    (place, user, ends)
}

/// The thing in its place, with the caller as a user.
fn find(place: &Place) -> Option<Use<Thing>> {
    place.lock().unwrap().as_ref().map(Shared::join_in_entry)
}

/// A thing, and two users of it that found it in its place. No use began in its word.
fn found_twice() -> (Place, [Use<Thing>; 2], Arc<[AtomicUsize; 2]>) {
    let (place, user, ends) = thing();
    let found = [0, 1].map(|_| find(&place).expect("it is in use"));
    drop(user);
    (place, found, ends)
}

fn ended(ends: &[AtomicUsize; 2]) -> [usize; 2] {
    [0, 1].map(|at| ends[at].load(Ordering::Acquire))
}

/// Checks that the thing was removed once, and freed once.
fn is_gone(place: &Place, ends: &[AtomicUsize; 2]) {
    assert!(place.lock().unwrap().is_none());
    assert_eq!(ended(ends), [1, 1]);
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

        is_gone(&place, &ends);
    });
}

#[test]
fn the_last_user_leaves_while_another_finds_it() {
    loom::model(|| {
        let (place, user, ends) = thing();
        let other = place.clone();
        let thread = thread::spawn(move || find(&other).inspect(|found| found.note(1)).is_some());
        user.note(0);
        drop(user);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}

#[test]
fn two_users_that_found_it_leave() {
    loom::model(|| {
        let (place, [one, two], ends) = found_twice();
        let thread = thread::spawn(move || {
            two.note(1);
            drop(two);
        });
        one.note(0);
        drop(one);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}

#[test]
fn two_users_that_found_it_leave_while_another_finds_it() {
    within(3, || {
        let (place, [one, two], ends) = found_twice();
        let other = place.clone();
        let thread = thread::spawn(move || drop(two));
        let finder = thread::spawn(move || find(&other).inspect(|found| found.note(1)).is_some());
        one.note(0);
        drop(one);
        thread.join().unwrap();
        finder.join().unwrap();

        is_gone(&place, &ends);
    });
}

#[test]
fn a_reference_becomes_a_user_while_users_that_found_it_come_and_leave() {
    within(3, || {
        let (place, [one, two], ends) = found_twice();
        let (reference, other) = ((*one).clone(), place.clone());
        let thread = thread::spawn(move || {
            drop(two);
            if let Some(found) = find(&other) {
                found.note(1);
            }
        });
        let joined = reference.try_join();
        assert!(joined.is_some(), "this thread has a use");
        drop(one);
        drop(joined);
        // Now it may have no use. Then it gets none.
        if let Some(user) = reference.try_join() {
            let place = user.place.lock().unwrap();
            assert!(place.is_some(), "with a user it stays in its place");
        }
        drop(reference);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}

#[test]
fn a_use_that_found_it_is_retired_while_another_ends() {
    loom::model(|| {
        let (place, [one, two], ends) = found_twice();
        let (thing, tag) = two.split();
        let thread = thread::spawn(move || {
            thing.note(1);
            // SAFETY: once, and of one use.
            unsafe { Use::retire(&thing, tag) };
            thing.look();
            // SAFETY: it was retired.
            drop(unsafe { Use::into_retired(thing, tag) });
        });
        one.note(0);
        drop(one);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}

/// A thing with a branch.
struct Tree {
    place: Place,
    /// The use that the branch has of the thing.
    user: Use<Thing>,
    ends: Arc<[AtomicUsize; 2]>,
    branches: Place,
    branch: Use<Thing>,
    handed_over: Arc<Mutex<HandedOver>>,
}

impl Tree {
    fn new() -> Self {
        let (place, user, ends) = thing();
        let (branches, branch, _) = thing_after(Some((*user).clone()));
        Self {
            place,
            user,
            ends,
            branches,
            branch,
            handed_over: Arc::new(Mutex::new(HandedOver::none())),
        }
    }

    /// A thread in which so many leaves move to the branch, and close there.
    fn move_and_close(&self, leaves: usize) -> thread::JoinHandle<()> {
        let (from, to) = (self.place.clone(), self.branches.clone());
        let handed_over = self.handed_over.clone();
        thread::spawn(move || (0..leaves).for_each(|_| move_and_close(&from, &to, &handed_over)))
    }

    /// A use of the branch, with which one of the thing is handed over.
    fn hand_over(&self) -> Use<Thing> {
        let next = find(&self.branches).expect("it is in use");
        self.handed_over.lock().unwrap().hand_over(next)
    }

    /// The branch is removed with its last use, and then the thing.
    fn end(self) {
        assert!(self.place.lock().unwrap().is_some(), "its branch has a use");
        self.handed_over.lock().unwrap().end_all(&self.branch);
        drop(self.branch);
        assert_eq!(ended(&self.ends), [0, 0], "it has a use");
        drop(self.user);

        assert!(self.branches.lock().unwrap().is_none());
        is_gone(&self.place, &self.ends);
    }
}

/// A leaf moves from one thing to its branch, hands its use over, and closes there.
fn move_and_close(from: &Place, to: &Place, handed_over: &Mutex<HandedOver>) {
    let leaving = find(from).expect("it is in use");
    let next = find(to).expect("it is in use");
    if !leaving.is_in_word() {
        return;
    }
    let next = handed_over.lock().unwrap().hand_over(next);
    let (_, (next, tag)) = (leaving.split(), next.split());
    let (tag, ended_before) = Use::<Thing>::reached(tag);
    assert!(ended_before);
    // SAFETY: both parts are of one use.
    drop(unsafe { Use::whole(next, tag) });
}

#[test]
fn a_reference_becomes_a_user_while_uses_are_handed_over_and_end() {
    within(2, || {
        let tree = Tree::new();
        let threads = [2, 1].map(|leaves| tree.move_and_close(leaves));
        let joined = (*tree.user).try_join();
        assert!(joined.is_some(), "this thread has a use");
        drop(joined);
        for thread in threads {
            thread.join().unwrap();
        }
        tree.end();
    });
}

#[test]
fn a_leaf_ends_its_use_while_it_hands_it_over_and_it_is_given_back() {
    within(2, || {
        let tree = Tree::new();
        let leaving = find(&tree.place).expect("it is in use");
        assert!(leaving.is_in_word());
        let closer = thread::spawn(move || drop(leaving));
        let other = tree.move_and_close(1);
        // The leaf does not get to the branch.
        drop(tree.hand_over());
        closer.join().unwrap();
        other.join().unwrap();
        tree.end();
    });
}

#[test]
fn leaves_hand_their_uses_over_to_a_value_with_an_open_shard_while_they_end_them() {
    within(3, || {
        let tree = Tree::new();
        drop(in_shard(&tree.branch));
        let leaving = [0, 1].map(|_| find(&tree.place).expect("it is in use"));
        let closer = thread::spawn(move || drop(leaving));
        let next = [0, 1].map(|_| tree.hand_over());
        assert!(next.iter().all(|next| !next.is_in_word()));
        // The leaves do not get to the branch.
        closer.join().unwrap();
        drop(next);
        tree.end();
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

        is_gone(&place, &ends);
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

#[test]
fn a_thing_that_many_look_up_is_found_without_the_lock_while_its_last_user_leaves() {
    loom::model(|| {
        let (place, user, ends) = thing();
        user.make_hot();
        let finder = user.hot.clone();
        let thread = thread::spawn(move || {
            if let Some(found) = finder.find(|known| **known == *"a") {
                found.look();
                found.note(1);
                let place = found.place.lock().unwrap();
                assert!(place.is_some(), "with a user it stays in its place");
            }
        });
        user.note(0);
        drop(user);
        thread.join().unwrap();

        assert!(place.lock().unwrap().is_none());
        assert_eq!(ended(&ends), [1, 1], "nothing refers to it");
    });
}

#[test]
fn a_thing_is_found_without_the_lock_while_the_last_one_that_found_it_with_the_lock_ends() {
    within(3, || {
        let (place, [one, two], ends) = found_twice();
        one.make_hot();
        let finder = one.hot.clone();
        let thread = thread::spawn(move || {
            if let Some(found) = finder.find(|known| **known == *"a") {
                found.note(1);
                let place = found.place.lock().unwrap();
                assert!(place.is_some(), "with a user it stays in its place");
            }
        });
        drop(two);
        one.note(0);
        drop(one);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}

#[test]
fn a_thing_is_made_hot_while_its_last_user_leaves() {
    loom::model(|| {
        let (place, user, ends) = thing();
        let (other, hot) = (place.clone(), user.hot.clone());
        let thread = thread::spawn(move || {
            let place = other.lock().unwrap();
            if let Some(found) = &*place {
                found.make_hot();
            }
            drop(place);
            hot.find(|known| **known == *"a").is_some()
        });
        user.note(0);
        drop(user);
        thread.join().unwrap();

        assert!(place.lock().unwrap().is_none());
        assert_eq!(ended(&ends), [1, 1], "nothing refers to it");
    });
}

/// A use in the shard of this thread, of a thing with the use `user` in its word.
fn in_shard(user: &Use<Thing>) -> Use<Thing> {
    let other = user.clone();
    user.open_shard();
    drop(other);
    let (thing, tag) = user.clone().split();
    assert_ne!(tag, 0, "it is counted in the shard");
    // SAFETY: both parts are of the new use.
    unsafe { Use::whole(thing, tag) }
}

#[test]
fn the_last_use_in_the_word_ends_while_one_in_a_shard_ends() {
    loom::model(|| {
        let (place, user, ends) = thing();
        let other = in_shard(&user);
        let thread = thread::spawn(move || {
            other.look();
            other.note(1);
            drop(other);
        });
        user.note(0);
        drop(user);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}

#[test]
fn a_use_begins_in_a_shard_while_the_last_one_in_the_word_ends() {
    within(3, || {
        let (place, user, ends) = thing();
        drop(in_shard(&user));
        let other = user.clone();
        let reference = (*user).clone();
        let thread = thread::spawn(move || {
            user.note(1);
            drop(user);
        });
        // The use in the shard ends, and another may begin there.
        drop(other);
        if let Some(user) = reference.try_join() {
            user.note(0);
            let place = user.place.lock().unwrap();
            assert!(place.is_some(), "with a user it stays in its place");
        }
        drop(reference);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}

#[test]
fn a_shard_is_opened_while_another_use_in_the_word_ends() {
    within(3, || {
        let (place, user, ends) = thing();
        let other = user.clone();
        let thread = thread::spawn(move || {
            other.open_shard();
            let another = other.clone();
            drop(other);
            another.note(1);
            drop(another);
        });
        user.note(0);
        drop(user);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}

#[test]
fn the_last_uses_in_two_shards_end_after_that_in_the_word() {
    within(3, || {
        let (place, user, ends) = thing();
        let mine = in_shard(&user);
        let thread = thread::spawn(move || {
            let theirs = in_shard(&user);
            drop(user);
            theirs.note(1);
            drop(theirs);
        });
        mine.note(0);
        drop(mine);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}

#[test]
fn a_use_in_a_shard_ends_while_the_last_one_that_found_it_ends() {
    within(3, || {
        let (place, [one, two], ends) = found_twice();
        let other = in_shard(&one);
        let thread = thread::spawn(move || {
            other.look();
            other.note(1);
            drop((two, other));
        });
        one.note(0);
        drop(one);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}

#[test]
fn a_use_in_a_shard_is_retired_while_the_last_one_in_the_word_ends() {
    loom::model(|| {
        let (place, user, ends) = thing();
        let (thing, tag) = in_shard(&user).split();
        let thread = thread::spawn(move || {
            thing.note(1);
            // SAFETY: once, and of one use.
            unsafe { Use::retire(&thing, tag) };
            thing.look();
            // SAFETY: it was retired.
            drop(unsafe { Use::into_retired(thing, tag) });
        });
        user.note(0);
        drop(user);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}

#[test]
fn a_shard_is_opened_again_while_its_last_retired_use_is_dropped() {
    within(3, || {
        let (place, user, ends) = thing();
        let (thing, tag) = in_shard(&user).split();
        // SAFETY: once, and of one use.
        unsafe { Use::retire(&thing, tag) };
        let found = place.lock().unwrap().clone().unwrap();
        drop(user);
        // The shard is closed now, and the thing was removed. Its references can be users no longer.
        assert!(found.try_join().is_none());
        let thread = thread::spawn(move || {
            thing.look();
            // SAFETY: it was retired.
            drop(unsafe { Use::into_retired(thing, tag) });
        });
        // As in a map that finds it again before it is removed.
        let [one, two] = [found.join(), found.join()];
        one.open_shard();
        let three = one.clone();
        drop((one, two, found));
        three.look();
        drop(three);
        thread.join().unwrap();

        is_gone(&place, &ends);
    });
}
