//! The honest peer: it measures round trips to the victim.

use std::io;
use std::time::{Duration, Instant};

use libp2p::futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::{NetworkBehaviour, Stream, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, ping};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::Result;
use super::support::streams::{self, Opener};
use super::support::{Running, plain_swarm, spawn_with};

pub const ECHO: &str = "/echo/1.0.0";
/// The size of an echo, which is that of a ping.
const BYTES: usize = 32;
/// The pause between two round trips. The attackers, on the same CPU, need about a millisecond for a
/// connection over QUIC. With a pause of that length the round trips stay in step with the connections:
/// all meet a handshake, or none does.
const PAUSE: Duration = Duration::from_millis(3);

/// The kinds of round trips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Echo,
    Ping,
}

impl What {
    pub const ALL: [Self; 2] = [Self::Echo, Self::Ping];
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    ping: ping::Behaviour,
    streams: streams::Behaviour,
}

/// A peer that is connected to the victim.
pub struct Honest {
    runtime: Runtime,
    round_trips: RoundTrips,
    _running: Running,
}

enum RoundTrips {
    Echo(Stream),
    Ping(mpsc::UnboundedReceiver<std::result::Result<Duration, String>>),
}

impl Honest {
    pub fn connect(what: What, victim: &str) -> Result<Self> {
        let victim: Multiaddr = victim.parse()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (round_trips, running) = runtime.block_on(async {
            let (streams, _, opener) = streams::behaviour(&[ECHO]);
            let config = match what {
                What::Echo => ping::Config::new(),
                What::Ping => ping::Config::new().with_interval(PAUSE),
            };
            let ping = ping::Behaviour::new(config);
            let mut swarm = plain_swarm(Behaviour { ping, streams });
            swarm.dial(victim)?;
            let victim = established(&mut swarm).await?;
            let (pings, answered) = mpsc::unbounded_channel();
            let running = spawn_with(swarm, move |_, event| {
                let outcome = match event {
                    SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => {
                        ping.result.map_err(|failure| failure.to_string())
                    }
                    SwarmEvent::ConnectionClosed { cause, .. } => Err(format!("closed: {cause:?}")),
                    _ => return,
                };
                // Only pings are received.
                let _ = pings.send(outcome);
            });
            let round_trips = match what {
                What::Echo => RoundTrips::Echo(open(&opener, victim).await?),
                What::Ping => RoundTrips::Ping(answered),
            };
            Result::Ok((round_trips, running))
        })?;
        Ok(Self {
            runtime,
            round_trips,
            _running: running,
        })
    }

    /// The median of the round trips for a while, in microseconds.
    pub fn measure(&mut self, time: Duration) -> Result<f64> {
        let mut took = Vec::new();
        let round_trips = &mut self.round_trips;
        self.runtime.block_on(async {
            let begun = Instant::now();
            // One at least.
            while took.is_empty() || begun.elapsed() < time {
                took.push(match round_trips {
                    RoundTrips::Echo(stream) => {
                        tokio::time::sleep(PAUSE).await;
                        echo(stream).await?
                    }
                    RoundTrips::Ping(pings) => {
                        // Pings from before that nothing has read.
                        while pings.len() > 1 {
                            pings.recv().await;
                        }
                        pings.recv().await.ok_or("the honest peer has ended")??
                    }
                });
            }
            Result::Ok(())
        })?;
        took.sort_unstable();
        Ok(took[took.len() / 2].as_secs_f64() * 1e6)
    }
}

async fn established(swarm: &mut Swarm<Behaviour>) -> Result<PeerId> {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => return Ok(peer_id),
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            _ => {}
        }
    }
}

/// A stream that stays open.
async fn open(opener: &Opener, victim: PeerId) -> Result<Stream> {
    let mut stream = opener.open(victim, &[ECHO]).await?;
    echo(&mut stream).await?;
    Ok(stream)
}

async fn echo(stream: &mut Stream) -> io::Result<Duration> {
    let begun = Instant::now();
    stream.write_all(&[7; BYTES]).await?;
    stream.flush().await?;
    stream.read_exact(&mut [0; BYTES]).await?;
    Ok(begun.elapsed())
}

/// At the victim: sends back what each stream brings.
pub async fn echo_all(mut accepted: mpsc::UnboundedReceiver<Stream>) {
    while let Some(mut stream) = accepted.recv().await {
        tokio::spawn(async move {
            let mut bytes = [0; BYTES];
            // A stream may end with its connection at any time.
            while stream.read_exact(&mut bytes).await.is_ok() {
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        });
    }
}
