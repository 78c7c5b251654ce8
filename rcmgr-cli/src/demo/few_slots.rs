//! A server with few slots that cannot be changed. One address takes all of them: first without a
//! proxy, then with the proxy of `rcmgr guard` in front of the server.

mod clients;
mod report;
mod server;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::{Limits, Manager, ScopeClass};
use rcmgr_guard::{
    Listen, OnRefusal, Overflow, ProxyProtocol, Server, Settings, Timeouts, Workers,
};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::dial::Naming;
use super::interrupt::Interrupt;
use clients::{Clients, Tally};
pub use report::FewSlots;

/// How many connections the server serves at a time, if the machine allows so many.
const SLOTS: u64 = 500;
/// Fewer slots show nothing.
const FEWEST: u64 = 50;
/// Connections that the flooding address wants beyond the slots.
const BEYOND: u64 = 100;
/// The limit of the proxy: connections of a source at a time.
const OF_A_SOURCE: u64 = 20;
/// How many honest clients come.
const HONEST: u64 = 200;
/// File descriptors for listeners, runtimes, and the rest of the program.
const OTHER_FDS: u64 = 100;
/// The time that the flood has to take the slots, or to be refused. A busy machine may need it.
const EFFECT_WITHIN: Duration = Duration::from_secs(2);
/// The time between two looks for the effect.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// All addresses of loopback: the clients that may say whom they represent.
const LOOPBACK: &str = "127.0.0.0/8";

/// The file descriptors of both ends, without the proxy: the flood has the most then.
pub fn fds() -> u64 {
    fds_of(SLOTS)
}

fn fds_of(slots: u64) -> u64 {
    2 * (slots + BEYOND) + 4 * (OF_A_SOURCE + HONEST) + OTHER_FDS
}

/// The slots that fit into the available file descriptors; `None` if they are too few.
fn slots(allowed: u64) -> Option<u64> {
    let most = allowed.saturating_sub(fds_of(0)) / 2;
    (most >= FEWEST).then(|| most.min(SLOTS))
}

/// Plays both runs. The honest clients come within `length` in each. `None`: the machine has too few
/// file descriptors, or the user has interrupted it.
pub async fn play(
    allowed: u64,
    naming: Naming,
    length: Duration,
    interrupt: &Interrupt,
) -> io::Result<Option<FewSlots>> {
    let Some(slots) = slots(allowed) else {
        return Ok(None);
    };
    let mut interrupt = interrupt.clone();
    let runs = async {
        let without = without_proxy(slots, naming, length).await?;
        let (with, manager) = with_proxy(slots, naming, length).await?;
        io::Result::Ok(FewSlots {
            slots,
            of_a_source: OF_A_SOURCE,
            without,
            with,
            manager,
        })
    };
    tokio::select! {
        played = runs => played.map(Some),
        () = interrupt.pressed() => Ok(None),
    }
}

async fn without_proxy(slots: u64, naming: Naming, length: Duration) -> io::Result<Tally> {
    let (server, _serving) = serve(slots)?;
    let clients = Clients {
        server,
        naming,
        // All clients have one address then, and nothing distinguishes them.
        says_source: false,
        tally: Arc::default(),
    };
    let is_full = |tally: &Tally| tally.held.now() >= slots;
    run(clients, slots, length, is_full).await
}

async fn with_proxy(slots: u64, naming: Naming, length: Duration) -> io::Result<(Tally, Manager)> {
    let (server, _serving) = serve(slots)?;
    let manager = Manager::new(limits()).map_err(io::Error::other)?;
    let settings = settings(server, naming);
    let started = {
        let manager = manager.clone();
        spawn_blocking(|| Server::start(manager, settings))
    };
    let guard = started.await.map_err(io::Error::other)??;
    let clients = Clients {
        server: guard.addresses()[0],
        naming,
        says_source: naming == Naming::ByHello,
        tally: Arc::default(),
    };
    let refuses = |_: &Tally| manager.refusals(ScopeClass::Peer).total() > 0;
    let tally = run(clients, slots, length, refuses).await;
    // Dropping it waits for its threads.
    let ended = spawn_blocking(|| drop(guard)).await;
    ended.map_err(io::Error::other)?;
    Ok((tally?, manager))
}

/// Starts a server. It ends when the set is dropped.
fn serve(slots: u64) -> io::Result<(SocketAddr, JoinSet<()>)> {
    // Its queue takes the whole flood. A client that a full queue forgets would hang.
    let listener = super::server::listen()?;
    let address = listener.local_addr()?;
    let mut serving = JoinSet::new();
    serving.spawn(server::serve(listener, slots as usize));
    Ok((address, serving))
}

/// One limit: so many connections of a source.
fn limits() -> Limits {
    let mut limits = Limits::unlimited();
    limits.peer_default.conns_inbound = OF_A_SOURCE.into();
    limits
}

fn settings(server: SocketAddr, naming: Naming) -> Settings {
    let accept_from = match naming {
        Naming::BySource => Vec::new(),
        Naming::ByHello => vec![LOOPBACK.parse().expect("a network")],
    };
    Settings {
        listeners: vec![Listen {
            on: (Ipv4Addr::LOCALHOST, 0).into(),
            to: vec![server.to_string().into()],
            service: "few-slots".into(),
            proxy_protocol: ProxyProtocol {
                accept_from,
                send: None,
            },
            queue: None,
            timeouts: Timeouts::default(),
            on_refusal: OnRefusal::Reset,
            splice: false,
        }],
        workers: Workers {
            count: 1,
            own_descriptors: false,
        },
        overflow: Overflow::Keep,
        drain: Duration::ZERO,
    }
}

/// The flood comes first. The honest clients follow when it has had its effect.
async fn run(
    clients: Clients,
    slots: u64,
    length: Duration,
    has_effect: impl Fn(&Tally) -> bool,
) -> io::Result<Tally> {
    let flood = clients.flood(slots + BEYOND);
    let effect = async {
        while !has_effect(&clients.tally) {
            sleep(LOOK_EVERY).await;
        }
    };
    // Continue in any case: a report of a flood without effect is better than none.
    let _ = timeout(EFFECT_WITHIN, effect).await;
    clients.honest(HONEST, length).await;
    // The clients of the flood have ended after this.
    let mut flood = flood;
    flood.shutdown().await;
    let tally = Arc::into_inner(clients.tally);
    tally.ok_or_else(|| io::Error::other("a client has not ended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_few_descriptors_gets_fewer_slots_or_none() {
        assert_eq!(slots(u64::MAX), Some(SLOTS));
        assert_eq!(slots(fds()), Some(SLOTS));
        assert_eq!(slots(fds() - 2), Some(SLOTS - 1));
        assert_eq!(slots(fds_of(FEWEST)), Some(FEWEST));
        assert_eq!(slots(fds_of(FEWEST) - 1), None);
        assert_eq!(slots(0), None);
    }
}
