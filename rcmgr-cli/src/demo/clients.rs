//! Starts the clients of a plan as tasks.

use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::dial::Dialer;
use super::flood::Flooder;
use super::honest::{Crowd, Honest};
use super::plan::{Behaviour, HOARD_OPENINGS, Plan};
use super::stage::Stage;
use super::tally::Tally;

/// Starts the clients. `came` counts honest clients when they are first admitted.
pub fn start(
    plan: &Plan,
    dialer: Dialer,
    tally: &Arc<Tally>,
    came: watch::Sender<u64>,
    stage: &watch::Receiver<Stage>,
) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let crowd = Arc::new(Crowd {
        dialer,
        tally: tally.clone(),
        openings: Semaphore::new(plan.honest_openings as usize),
        came,
    });
    let connections = plan
        .shares()
        .flat_map(|(from, share)| (0..share).map(move |_| from));
    for (number, from) in (0..).zip(connections) {
        let honest = Honest {
            crowd: crowd.clone(),
            from,
            number,
        };
        clients.spawn(honest.run(stage.clone()));
    }
    for &flood in &plan.floods {
        let flooder = Flooder {
            flood,
            dialer,
            tally: tally.clone(),
            hoard: Arc::new(Mutex::new(Vec::new())),
            wanted: plan.wanted,
        };
        let openings = match flood.behaviour {
            Behaviour::Hoard => HOARD_OPENINGS,
            Behaviour::Silent => plan.silent_openings,
        };
        for _ in 0..openings {
            clients.spawn(flooder.clone().run(stage.clone()));
        }
    }
    clients
}
