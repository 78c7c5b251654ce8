//! Which operations a recorder gets, and when. It gets a charge after it was made and before another
//! thread can give it back. It gets a release before the scopes have the amount back.

use std::sync::{Arc, Mutex};

use rcmgr_atomic::record::{Operation, Record, Recorder};
use rcmgr_atomic::{
    Connection, ConnectionScope, Direction, Endpoint, Limits, Manager, Priority, ResourceScope,
    Scope, Stream, StreamScope, UsesFd,
};

/// A recorder that reads scopes whenever it is called. (Reading a scope through a handle takes no lock,
/// so a recorder can do it.)
#[derive(Debug, Default)]
struct Looks {
    at: Mutex<At>,
    seen: Mutex<Vec<(Operation, Vec<String>)>>,
}

#[derive(Debug, Default)]
struct At {
    shared: Vec<Scope>,
    stream: Option<Arc<Stream>>,
    connection: Option<Arc<Connection>>,
}

impl Recorder for Looks {
    fn record(&self, record: Record) {
        let at = self.at.lock().unwrap();
        let shared = at.shared.iter().map(|scope| scope.stat());
        let stream = at.stream.iter().map(|stream| stream.stat());
        let connection = at.connection.iter().map(|connection| connection.stat());
        let stats = shared.chain(stream).chain(connection);
        let stats = stats.map(|stat| {
            let leaves = stat.streams() + stat.conns();
            format!("{leaves} {}", stat.memory)
        });
        let seen = (record.operation(), stats.collect());
        self.seen.lock().unwrap().push(seen);
    }
}

impl Looks {
    /// What it has seen since the last call: leaves and memory of each scope.
    fn take(&self) -> Vec<(Operation, Vec<String>)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn looked_at() -> (Arc<Looks>, Manager) {
    let looks = Arc::new(Looks::default());
    let builder = Manager::builder().limits(Limits::unlimited());
    let manager = builder.recorder(looks.clone()).build().unwrap();
    (looks, manager)
}

#[test]
fn memory_is_recorded_between_the_scopes_and_the_stream() {
    let (looks, manager) = looked_at();
    let stream = manager.open_stream(&"a".parse().unwrap(), Direction::Inbound);
    let stream = Arc::new(stream.unwrap());
    *looks.at.lock().unwrap() = At {
        shared: vec![manager.view_system()],
        stream: Some(stream.clone()),
        connection: None,
    };
    looks.take();
    let saw =
        |operation, system: &str, stream: &str| (operation, vec![system.into(), stream.into()]);
    stream.reserve_memory(100, Priority::Always).unwrap();
    assert_eq!(looks.take(), [saw(Operation::Reserve, "1 100", "1 0")]);
    stream.release_memory(40);
    assert_eq!(looks.take(), [saw(Operation::Release, "1 100", "1 60")]);

    let span = stream.begin_span().unwrap();
    looks.take();
    span.reserve_memory(5, Priority::Always).unwrap();
    let of_owner = saw(Operation::Reserve, "1 65", "1 60");
    let of_span = saw(Operation::Reserve, "1 65", "1 65");
    assert_eq!(looks.take(), [of_owner, of_span]);
    span.done();
    let of_owner = saw(Operation::Release, "1 65", "1 60");
    let of_span = saw(Operation::End, "1 60", "1 60");
    assert_eq!(looks.take(), [of_owner, of_span]);

    stream.done();
    assert_eq!(looks.take()[0], saw(Operation::End, "1 60", "0 0"));
    assert!(manager.stat().system.is_zero());
}

#[test]
fn a_move_is_recorded_in_two_parts_before_and_after_it() {
    let (looks, manager) = looked_at();
    let open = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    let connection = Arc::new(open.unwrap());
    connection.reserve_memory(7, Priority::Always).unwrap();
    let peer = "a".parse().unwrap();
    *looks.at.lock().unwrap() = At {
        shared: vec![manager.view_peer(&peer), manager.view_transient()],
        stream: None,
        connection: Some(connection.clone()),
    };
    looks.take();
    connection.set_peer(&peer).unwrap();
    let both = ["1 7", "1 7", "1 7"].map(str::to_owned).to_vec();
    assert_eq!(
        looks.take(),
        [(Operation::Join, both.clone()), (Operation::Leave, both)]
    );
    assert_eq!(manager.view_transient().stat().conns(), 0);
}

#[test]
fn memory_on_a_shared_scope_is_recorded_while_it_is_charged() {
    let (looks, manager) = looked_at();
    let dht = manager.view_service("dht");
    looks.at.lock().unwrap().shared = vec![manager.view_system(), dht.clone()];
    looks.take();
    dht.reserve_memory(9, Priority::Always).unwrap();
    dht.release_memory(9);
    let charged = ["0 9", "0 9"].map(str::to_owned).to_vec();
    assert_eq!(
        looks.take(),
        [
            (Operation::Reserve, charged.clone()),
            (Operation::Release, charged)
        ]
    );
}

#[test]
fn a_refusal_is_recorded_with_the_scope_that_refused() {
    #[derive(Debug, Default)]
    struct Refusals(Mutex<Vec<String>>);

    impl Recorder for Refusals {
        fn record(&self, record: Record) {
            let Some(refusal) = record.refusal() else {
                return;
            };
            let scope = refusal.scope.and_then(|at| record.scopes().nth(at));
            let scope = scope.map(|scope| scope.id().to_string());
            let subject = record.subject().map(|name| name.to_string());
            let (scope, subject) = (scope.unwrap_or_default(), subject.unwrap_or_default());
            let said = format!(
                "{:?} {subject} {scope} {}",
                record.operation(),
                refusal.resource
            );
            self.0.lock().unwrap().push(said);
        }
    }

    let mut limits = Limits::unlimited();
    limits.system.memory = 100.into();
    limits.stream.memory = 50.into();
    limits.peer_default.streams = 1.into();
    limits.protocol_default.streams = 0.into();
    let refusals = Arc::new(Refusals::default());
    let builder = Manager::builder().limits(limits);
    let manager = builder.recorder(refusals.clone()).build().unwrap();
    let peer = "a".parse().unwrap();
    let stream = manager.open_stream(&peer, Direction::Inbound).unwrap();
    manager.open_stream(&peer, Direction::Inbound).unwrap_err();
    manager
        .open_stream_with(&peer, Direction::Inbound, "/a", None)
        .unwrap_err();
    stream.set_protocol("/a").unwrap_err();
    stream.reserve_memory(51, Priority::Always).unwrap_err();
    manager
        .view_transient()
        .reserve_memory(101, Priority::Always)
        .unwrap_err();
    stream.reserve_memory(50, Priority::Medium).unwrap_err();
    let span = stream.begin_span().unwrap();
    span.set_limit(rcmgr_atomic::Limit {
        memory: 1.into(),
        ..rcmgr_atomic::Limit::UNLIMITED
    });
    span.reserve_memory(2, Priority::Always).unwrap_err();
    assert_eq!(
        *refusals.0.lock().unwrap(),
        [
            "Open stream-2 peer:a Streams",
            "Open stream-3 peer:a Streams",
            "Join stream-1 protocol:/a Streams",
            "Reserve stream-1  Memory",
            "Reserve  system Memory",
            "Reserve stream-1  Memory",
            "Reserve stream-1.span-1  Memory",
        ]
    );
}
