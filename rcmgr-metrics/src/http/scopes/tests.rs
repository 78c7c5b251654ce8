//! The memory that an answer takes.

use allocation_counter::measure;
use rcmgr_atomic::{Limits, Manager};

use super::*;

#[test]
fn the_memory_for_an_answer_is_bounded_for_every_offset_and_limit() {
    const PEERS: usize = 40_000;
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
    let most = 12 << 20;
    assert!(PEERS * size_of::<ScopeReport>() > 12 << 20);
    for sort in ["utilisation", "name", "refusals"] {
        let (scopes, used) = answer(format!("sort={sort}&offset=9999&limit=1000"));
        assert_eq!(scopes, 1000);
        assert!(used < most, "{used} bytes by {sort}");
        for offset in [10_000, PEERS - 1, PEERS, 1_000_000_000, usize::MAX] {
            let (scopes, used) = answer(format!("sort={sort}&offset={offset}&limit=1000"));
            assert_eq!(scopes, 0);
            assert!(used < most / 4, "{used} bytes for {offset} by {sort}");
        }
    }
    drop(held);
}
