//! Hostile remotes beside an honest peer, over TCP and QUIC.

#[path = "../support/mod.rs"]
mod support;
mod victim;

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcmgr_core::ScopeClass;
use support::attack::{Attack, Attackers};
use support::{Kind, until, until_nothing_is_held};
use victim::{CONNECTIONS, Honest, Victim};

/// Pings of the honest peer during an attack.
const PINGS: usize = 50;
/// The most heap that the victim takes.
const MOST_BYTES: u64 = 64 << 20;

/// The attacks that go on at least.
fn attacks(attack: Attack) -> u64 {
    match attack {
        Attack::SilentStreams | Attack::OpenAndReset => 2000,
        Attack::LongNames => 8000,
        Attack::ManyConnections => 100,
        Attack::Garbage => 500,
    }
}

#[tokio::test]
async fn an_honest_peer_goes_on_during_each_attack_and_nothing_is_left_in_the_end() {
    // A task that panics would end without notice.
    let panics = Arc::new(AtomicU64::new(0));
    let (counted, report) = (panics.clone(), panic::take_hook());
    panic::set_hook(Box::new(move |info| {
        counted.fetch_add(1, Ordering::Relaxed);
        report(info);
    }));

    for kind in Kind::ALL {
        for attack in Attack::ALL {
            let victim = Victim::start(kind).await;
            let mut honest = Honest::start(&victim.address, Duration::from_millis(1));
            honest.ping().await;

            let attackers = Attackers::start(attack, kind, &victim.address);
            let mut most_conns = 0;
            until("the attackers have begun", || {
                attackers.attacks.load(Ordering::Relaxed) > 0
            })
            .await;
            for _ in 0..PINGS {
                // It fails if a ping fails, or the connection ends.
                honest.ping().await;
                most_conns = most_conns.max(victim.manager.stat().system.conns_inbound);
            }
            until("the attack has gone on for long enough", || {
                let refused = victim.manager.refusals(ScopeClass::Peer).total();
                attackers.attacks.load(Ordering::Relaxed) >= attacks(attack)
                    // An attacker over QUIC ends streams to be let open others, sooner than the victim
                    // accepts them. Then none is refused.
                    && (attack != Attack::SilentStreams || kind == Kind::Quic || refused > 500)
            })
            .await;
            // None of those that came meanwhile has failed.
            while let Ok(ping) = honest.pings.try_recv() {
                ping.unwrap();
            }
            honest.ping().await;

            // The limits had to do with it.
            let refused = victim.manager.refusals(ScopeClass::Peer).total();
            assert!(
                most_conns <= CONNECTIONS,
                "{kind:?} {attack:?}: {most_conns}"
            );

            // Nothing is left, although the victim goes on.
            drop((attackers, honest));
            until_nothing_is_held(&victim.manager).await;
            let bytes = victim.end();
            eprintln!(
                "{kind:?} {attack:?}: the victim had {bytes} bytes at most, {refused} refused"
            );
            assert!(bytes < MOST_BYTES, "{kind:?} {attack:?}: {bytes} bytes");
            assert_eq!(panics.load(Ordering::Relaxed), 0);
        }
    }
}
