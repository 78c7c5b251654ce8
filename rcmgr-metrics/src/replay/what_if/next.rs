//! The scopes that are asked for a refused request, and that a trace does not show.

use rcmgr_core::{ScopeClass, ScopeStat};

use super::scopes::{Scopes, Step};
use crate::replay::scope::{base_of, class_of, ends_by_itself, owner_of};
use crate::trace::{Event, EventKind};

/// The scopes that are asked for a refused request, besides those in the trace.
#[derive(Debug, Default)]
pub struct Next {
    /// The requests to those that are known.
    pub known: Vec<Step>,
    /// The classes of those that may be asked, if it is unknown which ones are.
    pub unknown: Vec<&'static str>,
    /// The connection or stream, if it was about to move. It asks for all that it holds, and the
    /// trace has only the part that was refused.
    pub mover: Option<Held>,
}

/// What a connection or stream holds.
#[derive(Debug)]
pub enum Held {
    /// This.
    Known(ScopeStat),
    /// At most as much as any scope of this class.
    AtMost(&'static str),
}

/// The shared scopes of a path, in the order in which they are asked for memory.
const PATH: [ScopeClass; 9] = [
    ScopeClass::Peer,
    ScopeClass::ProtocolPeer,
    ScopeClass::ServicePeer,
    ScopeClass::Protocol,
    ScopeClass::Service,
    ScopeClass::Transient,
    ScopeClass::AllowlistedTransient,
    ScopeClass::System,
    ScopeClass::AllowlistedSystem,
];

impl Scopes {
    /// The scopes that would have been asked after this refusal by the last of `steps`.
    ///
    /// A connection, stream or span is asked before its owner, and all of them before their path.
    /// A shared scope that refused does not tell who asked; opening and memory go up to system.
    pub fn next(&self, steps: &[Step], refusal: &Event, opening: Option<&str>) -> Next {
        let mut known = Vec::new();
        let Some(last) = steps.last() else {
            return Next::default();
        };
        let allowlisted = steps
            .iter()
            .any(|step| step.name.starts_with("allowlisted"));
        let [transient, system] = match allowlisted {
            true => ["allowlistedTransient", "allowlistedSystem"],
            false => ["transient", "system"],
        };
        let is_of_memory = refusal.kind == EventKind::BlockReserveMemory;
        let mut add = |name: &str| {
            let is_new = |steps: &[Step]| steps.iter().all(|step| *step.name != *name);
            if is_new(steps) && is_new(&known) {
                known.extend(self.same_request(name, last));
            }
        };
        // The owners of a span, up to the connection, stream or shared scope at the base.
        let base = base_of(&last.name);
        let class = class_of(base);
        let mut owner = owner_of(&last.name);
        while let Some(name) = owner {
            add(name);
            owner = owner_of(name);
        }
        add(base);
        let path = self.path(base);
        path.iter().for_each(|name| add(name));
        if let Some(leaf) = opening {
            [leaf, transient, system].into_iter().for_each(add);
        } else if is_of_memory && path.is_empty() {
            add(system);
        }
        // The rest of an unknown path.
        let place = |class| PATH.iter().position(|&other| other == class);
        let place_of_last = class
            .filter(|&class| !ends_by_itself(Some(class)))
            .and_then(place);
        let asks = |next: ScopeClass| {
            use ScopeClass::{Protocol, ProtocolPeer, Service, ServicePeer};
            // A connection or stream that moves asks both in either order.
            let is_of_the_same = matches!(
                (class, next),
                (Some(Protocol), ProtocolPeer)
                    | (Some(ProtocolPeer), Protocol)
                    | (Some(Service), ServicePeer)
                    | (Some(ServicePeer), Service)
            );
            let goes_up = match opening {
                Some(_) => last.amount.conns() == 0,
                None => is_of_memory,
            };
            path.is_empty() && (is_of_the_same || goes_up && place(next) > place_of_last)
        };
        let is_asked = |class: &ScopeClass| {
            let mut asked = steps.iter().chain(&known);
            asked.any(|step| step.counts_in == class.as_str())
        };
        let rest = PATH.iter().filter(|&&class| asks(class));
        let rest = rest.chain(if is_of_memory { askers(steps) } else { &[] });
        let unknown = rest.filter(|class| !is_asked(class));
        Next {
            unknown: unknown.map(|class| class.as_str()).collect(),
            mover: match opening {
                None => self.refused_mover(steps),
                Some(_) => None,
            },
            known,
        }
    }

    /// The connection or stream that one of these scopes refused as its peer, protocol or service,
    /// if that is what happened.
    fn refused_mover(&self, steps: &[Step]) -> Option<Held> {
        use ScopeClass::{Peer, Protocol, ProtocolPeer, Service, ServicePeer};
        let first = steps.first()?;
        let is_connection = first.amount.conns() > 0;
        let class = class_of(&first.name)?;
        match class {
            // The events of a scope that granted show all that it was asked for.
            Protocol | ProtocolPeer | Service | ServicePeer if steps.len() > 1 => {
                Some(Held::Known(first.amount))
            }
            Protocol | ProtocolPeer | Service | ServicePeer if !is_connection => {
                Some(Held::AtMost(ScopeClass::Stream.as_str()))
            }
            Service | ServicePeer if is_connection => {
                Some(Held::AtMost(ScopeClass::Connection.as_str()))
            }
            // A connection in transient may have got its peer.
            Peer if is_connection => self.connection_like(&first.amount).map(Held::Known),
            Peer if steps.len() == 1 => self.connection_with(first.amount.memory).map(Held::Known),
            _ => None,
        }
    }
}

/// The classes of connections and streams that may have asked these shared scopes for memory. They
/// granted it before, but the trace names them only if all scopes grant.
fn askers(steps: &[Step]) -> &'static [ScopeClass] {
    use ScopeClass::{AllowlistedTransient, Connection, Peer, Service, Stream, Transient};
    let classes = || steps.iter().map(|step| class_of(&step.name));
    match classes().next().flatten() {
        // The path of a stream begins with its peer, and goes on with one of these.
        Some(Peer) => match classes().any(|class| {
            use ScopeClass::{Protocol, ProtocolPeer};
            matches!(
                class,
                Some(ProtocolPeer | Protocol | Transient | AllowlistedTransient)
            )
        }) {
            true => &[Stream],
            false => &[Connection, Stream],
        },
        // A connection without a peer.
        Some(Transient | AllowlistedTransient | Service) => &[Connection],
        _ => &[],
    }
}
