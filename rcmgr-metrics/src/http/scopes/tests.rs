//! The memory that an answer takes.

use allocation_counter::measure;
use rcmgr_atomic::{Limits, Manager, Priority};

use super::*;

#[test]
fn the_memory_for_an_answer_is_bounded_for_every_offset_and_limit() {
    const PEERS: usize = 48_000;
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let peers = (0..PEERS).map(|number| manager.view_peer(&format!("p{number}").parse().unwrap()));
    let held: Vec<_> = peers.collect();
    let view = View::new(Observer::new(manager));
    let answer = |text: String| {
        let query = Query::parse(&text).unwrap();
        let mut scopes = 0;
        let memory = measure(|| scopes = page(&view, &query).scopes.len());
        (scopes, memory.bytes_max)
    };
    // All reports together take more than this.
    let most = 10 << 20;
    assert!(PEERS * size_of::<ScopeReport>() > most as usize);
    for sort in ["utilisation", "name"] {
        for offset in [0, 4000, 4001, PEERS - 500] {
            let (scopes, used) = answer(format!("sort={sort}&offset={offset}&limit=1000"));
            assert_eq!(scopes, 1000.min(PEERS + 4 - offset));
            assert!(used < most, "{used} bytes for {offset} by {sort}");
        }
        for offset in [PEERS + 4, usize::MAX] {
            let (scopes, used) = answer(format!("sort={sort}&offset={offset}&limit=1000"));
            assert_eq!(scopes, 0);
            assert!(used < most, "{used} bytes for {offset} by {sort}");
        }
    }
    drop(held);
}

#[test]
fn far_pages_are_those_of_the_whole_list() {
    const PEERS: usize = 15_000;
    let mut limits = Limits::unlimited();
    limits.peer_default.memory = 1000.into();
    let manager = Manager::new(limits).unwrap();
    let peers = (0..PEERS).map(|number| {
        let peer = manager.view_peer(&format!("p{number}").parse().unwrap());
        // Many scopes are at the same place but for their name.
        let size = (number % 7) as u64;
        peer.reserve_memory(size, Priority::Always).unwrap();
        peer
    });
    let held: Vec<_> = peers.collect();
    let view = View::new(Observer::new(manager.clone()));
    for sort in ["utilisation", "memory", "name"] {
        let sorted = |text: &str| Query::parse(&format!("sort={sort}&{text}")).unwrap();
        let query = sorted("");
        let mut all = manager.scopes();
        all.sort_by(|a, b| order(a, b, query.sort));
        let all: Vec<_> = all.iter().map(|report| name(&report.id)).collect();
        for offset in [4001, 12_345, all.len() - 1] {
            let page = page(&view, &sorted(&format!("offset={offset}&limit=300")));
            let names: Vec<_> = page.scopes.into_iter().map(|scope| scope.name).collect();
            let end = all.len().min(offset + 300);
            assert_eq!(names, all[offset..end], "{sort} from {offset}");
        }
        // A search counts only the scopes that it finds.
        let found: Vec<_> = all.iter().filter(|name| name.contains("peer:")).collect();
        let page = page(&view, &sorted("search=peer:&offset=10003&limit=5"));
        let names: Vec<_> = page.scopes.iter().map(|scope| &scope.name).collect();
        assert_eq!(
            (page.matched, names),
            (found.len(), found[10_003..10_008].to_vec())
        );
    }
    drop(held);
}
