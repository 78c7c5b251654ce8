//! Code of the user that panics when the engine calls it: the operation proceeds, every counter stays
//! right, and later operations work.

use std::fmt;
use std::mem::{self, Discriminant};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use rcmgr_atomic::address::{AddressConfig, Rate, RateLimits, SubnetLimit, SubnetLimits};
use rcmgr_atomic::record::{Record, Recorder};
use rcmgr_atomic::{
    AddressLimits, Clock, Direction, Endpoint, Error, Limits, Manager, Priority, Result,
    ScopeClass, ScopeStat, UsesFd,
};
use rcmgr_testkit::{Kind, Model, Op, RandomOps, Session, passed_in_own_process, random_limits};
use tracing::{Event, Metadata, Subscriber, span};

const SLOTS: usize = 12;
const OPS: usize = 150;

/// Counts calls, and panics at one of them; at each, if that is number zero.
#[derive(Debug, Default)]
struct Fuse {
    calls: AtomicU64,
    at: u64,
}

impl Fuse {
    fn at(at: u64) -> Arc<Self> {
        let calls = AtomicU64::new(0);
        Arc::new(Self { calls, at })
    }

    fn call(&self) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(self.at != 0 && self.at != call, "call {call}");
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Recorder for Fuse {
    fn record(&self, record: Record) {
        // The record is dropped while the thread unwinds.
        let _record = record;
        self.call();
    }
}

impl Clock for Fuse {
    fn now(&self) -> Duration {
        self.call();
        Duration::ZERO
    }
}

/// A subscriber of the log.
impl Subscriber for Fuse {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        self.call();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What `f` returns, or that it panicked.
fn caught<T>(f: impl FnOnce() -> T) -> thread::Result<T> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Keeps the thousands of panics of these tests out of their output.
fn without_reports() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let message = info.payload().downcast_ref::<String>();
            if !message.is_some_and(|message| message.starts_with("call ")) {
                report(info);
            }
        }));
    });
}

fn addresses() -> AddressConfig {
    AddressConfig {
        allowlist: vec!["/ip4/10.0.0.0/ipcidr/8".parse().unwrap()],
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns: 3,
            }],
            ..SubnetLimits::none()
        },
        ..AddressConfig::none()
    }
}

fn operations() -> RandomOps {
    let ip = |ip: &str| Endpoint::from(ip.parse::<IpAddr>().unwrap());
    RandomOps {
        kinds: vec![
            (8, Kind::OpenConnection),
            (6, Kind::OpenStream),
            (4, Kind::OpenStreamWith),
            (6, Kind::OpenStreamThrough),
            (8, Kind::SetPeer),
            (8, Kind::SetProtocol),
            (8, Kind::SetService),
            (20, Kind::Reserve),
            (2, Kind::Hold),
            (10, Kind::Release),
            (2, Kind::ReleaseAll),
            (5, Kind::BeginSpan),
            (4, Kind::Done),
            (4, Kind::Drop),
            (1, Kind::SetLimits),
        ],
        on_shared: 25,
        peers: ["alice", "bob"].map(|peer| peer.parse().unwrap()).to_vec(),
        protocols: vec!["/a".into(), "/b".into()],
        services: vec!["dht".into()],
        endpoints: vec![ip("10.1.2.3"), ip("198.51.100.1"), Endpoint::None],
        addresses: AddressLimits::new(addresses()).unwrap(),
        priorities: vec![Priority::Always, Priority::Low],
        size: |rng| rng.u64(..2_000),
    }
}

/// A sequence with refusals, moves, over-releases and ends of all kinds.
fn sequence(seed: u64) -> (Limits, Vec<Op>) {
    let (operations, mut rng) = (operations(), Rng::with_seed(seed));
    let limits = random_limits(&mut rng, &operations);
    let ops = (0..OPS).map(|_| operations.draw(&mut rng)).collect();
    (limits, ops)
}

/// The kind of an error, and the class of its scope. (With a recorder, leaves that are refused take
/// numbers, which they do not in the model.)
fn outcome(done: Result<()>) -> std::result::Result<(), (Discriminant<Error>, Option<ScopeClass>)> {
    done.map_err(|error| {
        let class = error.scope().map(|scope| scope.class());
        (mem::discriminant(&error), class)
    })
}

/// Performs all operations on the engine and on the model, drops all handles, and releases the memory
/// that is left on shared scopes.
fn perform(manager: Manager, limits: Limits, ops: &[Op]) {
    let session = Session::new(manager.clone(), SLOTS);
    let mut model = Model::new(limits, &addresses(), SLOTS);
    for op in ops {
        let done = caught(|| session.perform(op));
        let done = done.expect("a panic of the user's code does not come out of an operation");
        assert_eq!(outcome(done), outcome(model.perform(op)), "{op:?}");
        let shared = manager.scopes().into_iter();
        let mut usage = session.usage(shared.map(|scope| (scope.id, scope.stat)));
        let mut want = model.usage();
        // With a recorder, a stream that is refused may have made its service.
        for usage in [&mut usage, &mut want] {
            usage.retain(|_, usage| *usage != [0; 6]);
        }
        assert_eq!(usage, want, "{op:?}");
    }
    for class in ScopeClass::ALL {
        assert_eq!(manager.over_releases(class), model.over_releases(class));
        assert_eq!(manager.refusals(class), model.refusals(class));
    }
    drop(session);
    nothing_is_left(&manager);
}

fn nothing_is_left(manager: &Manager) {
    assert_eq!(manager.addresses().stat().permits, 0);
    let session = Session::new(manager.clone(), 1);
    for scope in manager.scopes() {
        if let Some(view) = session.view(&scope.id) {
            view.release();
        }
    }
    let stat = manager.stat();
    assert!(stat.peers.is_empty() && stat.protocols.is_empty());
    for scope in manager.scopes() {
        assert_eq!(scope.stat, ScopeStat::ZERO, "{}", scope.id);
    }
}

#[test]
fn a_recorder_that_panics_at_any_call_leaves_every_counter_right() {
    without_reports();
    for seed in 0..2 {
        let (limits, ops) = sequence(seed);
        let run = |at| {
            let recorder = Fuse::at(at);
            let builder = Manager::builder().limits(limits.clone());
            let manager = builder.recorder(recorder.clone()).build().unwrap();
            perform(manager, limits.clone(), &ops);
            recorder.calls()
        };
        // It panics at each call; then at the first alone, the second alone, ...
        let calls = run(0);
        assert!(calls > 100, "only {calls} calls");
        for at in 1..=calls {
            assert_eq!(run(at), calls, "it gets the later records as usual");
        }
    }
}

#[test]
fn a_recorder_that_panics_while_a_thread_unwinds_does_not_abort_the_program() {
    without_reports();
    let builder = Manager::builder().recorder(Fuse::at(0));
    let manager = builder.build().unwrap();
    let unwound = caught(|| {
        let open = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
        let connection = open.unwrap();
        let _buffer = connection.reserve(100_u64, Priority::Always).unwrap();
        panic!("call {}", "of a handler");
    });
    assert!(unwound.is_err());
    nothing_is_left(&manager);
}

/// The payload of a panic is a value of the user: its destructor is code of the user, too.
#[test]
fn a_recorder_that_panics_with_a_value_whose_destructor_panics_leaves_no_charge_behind() {
    struct Payload;

    impl Drop for Payload {
        fn drop(&mut self) {
            std::panic::panic_any("call of a destructor".to_owned());
        }
    }

    #[derive(Debug)]
    struct PanicsTwice;

    impl Recorder for PanicsTwice {
        fn record(&self, _: Record) {
            std::panic::resume_unwind(Box::new(Payload));
        }
    }

    without_reports();
    let builder = Manager::builder().recorder(Arc::new(PanicsTwice));
    let manager = builder.build().unwrap();
    let open = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    let connection = open.unwrap();
    connection.reserve_memory(100, Priority::Always).unwrap();
    connection.set_peer(&"alice".parse().unwrap()).unwrap();
    drop(connection);
    nothing_is_left(&manager);
}

#[test]
fn a_clock_that_panics_at_any_call_leaves_no_permit_and_no_charge_behind() {
    without_reports();
    for at in 1..40 {
        let clock = Fuse::at(at);
        let config = AddressConfig {
            rates: RateLimits {
                global: Some(Rate {
                    per_second: 1.0,
                    burst: 1_000,
                }),
                ..RateLimits::none()
            },
            ..addresses()
        };
        let built = caught(|| {
            let builder = Manager::builder().addresses(config);
            builder.clock(clock.clone()).build().unwrap()
        });
        let Ok(manager) = built else { continue };
        let ip: IpAddr = "198.51.100.1".parse().unwrap();
        let open = || manager.open_connection(Direction::Inbound, UsesFd::Yes, ip);
        let open = || caught(open);
        let mut opened: Vec<_> = (0..20).map(|_| open()).collect();
        let panicked = opened.iter().filter(|opened| opened.is_err()).count();
        assert!(panicked <= 1);
        let connected = opened.iter().flatten().flatten().count();
        assert_eq!(connected, 3, "the permits are for three connections");
        // Over-releases read the clock, too.
        for connection in opened.iter_mut().flatten().flatten() {
            connection.release_memory(1);
        }
        assert_eq!(manager.over_releases(ScopeClass::Connection), 3);
        drop(opened);
        nothing_is_left(&manager);
        let later = [open(), open()];
        assert!(
            later.iter().any(thread::Result::is_ok),
            "later operations work"
        );
    }
}

#[test]
fn a_subscriber_of_the_log_that_panics_does_not_stop_a_release() {
    if passed_in_own_process("a_subscriber_of_the_log_that_panics_does_not_stop_a_release") {
        return;
    }
    without_reports();
    let subscriber = Fuse::at(0);
    let manager = Manager::new(Limits::unlimited()).unwrap();
    tracing::subscriber::with_default(subscriber.clone(), || {
        let dht = manager.view_service("dht");
        let buffer = dht.reserve(100_u64, Priority::Always).unwrap();
        dht.release_memory(60);
        // The guard gives back more than is left.
        drop(buffer);
    });
    assert_eq!(subscriber.calls(), 1);
    assert_eq!(manager.over_releases(ScopeClass::Service), 1);
    nothing_is_left(&manager);
}

#[test]
fn a_callback_for_each_scope_that_panics_leaves_the_manager_as_it_was() {
    without_reports();
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let peer = "alice".parse().unwrap();
    let stream = manager.open_stream(&peer, Direction::Inbound).unwrap();
    for at in 1..=5 {
        let fuse = Fuse::at(at);
        let visited = caught(|| manager.for_each_scope(|_| fuse.call()));
        assert!(visited.is_err(), "scope {at}");
    }
    drop(manager.open_stream(&peer, Direction::Inbound).unwrap());
    drop(stream);
    nothing_is_left(&manager);
}

/// Writing a handle or manager calls no code of the user but the writer.
#[test]
fn a_writer_that_panics_while_handles_are_shown_leaves_them_usable() {
    struct Writer(Arc<Fuse>);

    impl fmt::Write for Writer {
        fn write_str(&mut self, _: &str) -> fmt::Result {
            self.0.call();
            Ok(())
        }
    }

    without_reports();
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let open = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    let connection = open.unwrap();
    for at in 1..=3 {
        let write = || fmt::write(&mut Writer(Fuse::at(at)), format_args!("{connection:?}"));
        assert!(caught(write).is_err());
    }
    connection.reserve_memory(1, Priority::Always).unwrap();
    drop(connection);
    nothing_is_left(&manager);
}
