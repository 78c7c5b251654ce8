//! Names and classes of scopes.

use std::fmt;
use std::sync::Arc;

use crate::{PeerId, Shown, shown};

/// The kind of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeClass {
    /// All connections and streams together.
    System,
    /// Connections without a peer or service, and streams without a protocol.
    Transient,
    /// The system scope of allowlisted connections.
    AllowlistedSystem,
    /// The transient scope of allowlisted connections.
    AllowlistedTransient,
    /// A service of this node.
    Service,
    /// One peer's share of a service.
    ServicePeer,
    /// A protocol.
    Protocol,
    /// One peer's share of a protocol.
    ProtocolPeer,
    /// A peer.
    Peer,
    /// A connection.
    Connection,
    /// A stream.
    Stream,
    /// A part of another scope that ends on its own.
    Span,
}

impl ScopeClass {
    /// All classes.
    pub const ALL: [Self; 12] = [
        Self::System,
        Self::Transient,
        Self::AllowlistedSystem,
        Self::AllowlistedTransient,
        Self::Service,
        Self::ServicePeer,
        Self::Protocol,
        Self::ProtocolPeer,
        Self::Peer,
        Self::Connection,
        Self::Stream,
        Self::Span,
    ];

    /// The name used in errors, traces and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Transient => "transient",
            Self::AllowlistedSystem => "allowlistedSystem",
            Self::AllowlistedTransient => "allowlistedTransient",
            Self::Service => "service",
            Self::ServicePeer => "service-peer",
            Self::Protocol => "protocol",
            Self::ProtocolPeer => "protocol-peer",
            Self::Peer => "peer",
            Self::Connection => "conn",
            Self::Stream => "stream",
            Self::Span => "span",
        }
    }
}

impl fmt::Display for ScopeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The identity of a scope, without spans.
///
/// Its text is `system`, `transient`, `allowlistedSystem`, `allowlistedTransient`, `service:NAME`,
/// `service:NAME.peer:PEER`, `protocol:ID`, `protocol:ID.peer:PEER`, `peer:PEER`, `conn-N` or
/// `stream-N`, as in go-libp2p.
///
/// The text is for people. A remote chooses the ids of protocols, so names are shown as with
/// [`shown`]: escaped, and cut; a precision sets the maximum, as there. [`exact`](Self::exact) is the
/// text for programs.
///
/// ```
/// use rcmgr_core::ScopeId;
///
/// let id = ScopeId::Protocol("/a/1.0\n".into());
/// assert_eq!(id.to_string(), r"protocol:/a/1.0\n");
/// assert_eq!(id.exact().to_string(), "protocol:/a/1.0\n");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeId {
    /// The system scope.
    System,
    /// The transient scope.
    Transient,
    /// The system scope of allowlisted connections.
    AllowlistedSystem,
    /// The transient scope of allowlisted connections.
    AllowlistedTransient,
    /// A service by name.
    Service(Arc<str>),
    /// A peer's share of a service.
    ServicePeer(Arc<str>, PeerId),
    /// A protocol by id.
    Protocol(Arc<str>),
    /// A peer's share of a protocol.
    ProtocolPeer(Arc<str>, PeerId),
    /// A peer by id.
    Peer(PeerId),
    /// A connection, numbered from 1 by its manager.
    Connection(u64),
    /// A stream, numbered from 1 by its manager.
    Stream(u64),
}

impl ScopeId {
    /// The class of the scope.
    pub const fn class(&self) -> ScopeClass {
        match self {
            Self::System => ScopeClass::System,
            Self::Transient => ScopeClass::Transient,
            Self::AllowlistedSystem => ScopeClass::AllowlistedSystem,
            Self::AllowlistedTransient => ScopeClass::AllowlistedTransient,
            Self::Service(_) => ScopeClass::Service,
            Self::ServicePeer(..) => ScopeClass::ServicePeer,
            Self::Protocol(_) => ScopeClass::Protocol,
            Self::ProtocolPeer(..) => ScopeClass::ProtocolPeer,
            Self::Peer(_) => ScopeClass::Peer,
            Self::Connection(_) => ScopeClass::Connection,
            Self::Stream(_) => ScopeClass::Stream,
        }
    }
}

impl ScopeId {
    /// The service's name or the protocol's id, if the scope belongs to a service or protocol.
    pub const fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Service(name)
            | Self::ServicePeer(name, _)
            | Self::Protocol(name)
            | Self::ProtocolPeer(name, _) => Some(name),
            _ => None,
        }
    }

    /// The peer, if the scope belongs to a peer.
    pub const fn peer(&self) -> Option<PeerId> {
        match self {
            Self::Peer(peer) | Self::ServicePeer(_, peer) | Self::ProtocolPeer(_, peer) => {
                Some(*peer)
            }
            _ => None,
        }
    }
}

impl ScopeId {
    /// The text with the whole name, unescaped: for files and programs, such as traces.
    pub const fn exact(&self) -> impl fmt::Display {
        Exact(self)
    }

    /// Writes the text with this text for the name of a service or protocol.
    fn write(&self, f: &mut fmt::Formatter<'_>, name: impl fmt::Display) -> fmt::Result {
        match self {
            Self::System
            | Self::Transient
            | Self::AllowlistedSystem
            | Self::AllowlistedTransient => f.write_str(self.class().as_str()),
            Self::Service(_) => write!(f, "service:{name}"),
            Self::ServicePeer(_, peer) => write!(f, "service:{name}.peer:{peer}"),
            Self::Protocol(_) => write!(f, "protocol:{name}"),
            Self::ProtocolPeer(_, peer) => write!(f, "protocol:{name}.peer:{peer}"),
            Self::Peer(peer) => write!(f, "peer:{peer}"),
            Self::Connection(number) => write!(f, "conn-{number}"),
            Self::Stream(number) => write!(f, "stream-{number}"),
        }
    }

    fn name_or_empty(&self) -> &str {
        self.name().map_or("", |name| name)
    }
}

/// The text of a scope with its whole name.
struct Exact<'a>(&'a ScopeId);

impl fmt::Display for Exact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, self.0.name_or_empty())
    }
}

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = f.precision().unwrap_or(Shown::MOST_CHARS);
        self.write(f, format_args!("{:.most$}", shown(self.name_or_empty())))
    }
}

impl fmt::Debug for ScopeId {
    /// As the text: an error that is printed with `{:?}` is for people, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeId({self})")
    }
}

/// The path of spans from a scope to one of its spans, outermost first.
///
/// The ids are stored inline, so that copying a name allocates nothing. For spans nested deeper
/// than [`INLINE`](Self::INLINE), only the outermost ones and the innermost are stored; the others
/// are shown as `…`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanIds {
    depth: u32,
    ids: [u32; Self::INLINE],
}

impl SpanIds {
    /// How many nested spans are stored.
    pub const INLINE: usize = 3;
    /// No span: the scope itself.
    pub const NONE: Self = Self {
        depth: 0,
        ids: [0; Self::INLINE],
    };

    /// The depth: the number of nested spans.
    pub const fn depth(&self) -> u32 {
        self.depth
    }

    /// The path to the outermost of these spans; [`NONE`](Self::NONE) if there is none.
    ///
    /// ```
    /// use rcmgr_core::SpanIds;
    ///
    /// let first = SpanIds::NONE.child(7);
    /// assert_eq!(first.child(2).child(9).outermost(), first);
    /// assert_eq!(SpanIds::NONE.outermost(), SpanIds::NONE);
    /// ```
    #[must_use]
    pub fn outermost(&self) -> Self {
        match self.depth {
            0 => Self::NONE,
            _ => Self::NONE.child(self.ids[0]),
        }
    }

    /// The path to a child span with this `id`, which its owner numbers from 1.
    #[must_use]
    pub fn child(mut self, id: u32) -> Self {
        // Beyond `INLINE` spans, the innermost id replaces the last one.
        let at = (self.depth as usize).min(Self::INLINE - 1);
        self.ids[at] = id;
        self.depth += 1;
        self
    }
}

impl fmt::Display for SpanIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let depth = self.depth as usize;
        for (at, id) in self.ids.iter().take(depth).enumerate() {
            if at + 1 == Self::INLINE && depth > Self::INLINE {
                f.write_str(".…")?;
            }
            write!(f, ".span-{id}")?;
        }
        Ok(())
    }
}

/// The name of a scope, or of a span of it.
///
/// Its text is for people, as that of [`ScopeId`]; [`exact`](Self::exact) is the text for programs.
///
/// ```
/// use rcmgr_core::{ScopeClass, ScopeId, ScopeName, SpanIds};
///
/// let stream = ScopeName::from(ScopeId::Stream(4));
/// assert_eq!(stream.to_string(), "stream-4");
/// let span = ScopeName { spans: SpanIds::NONE.child(1).child(2), ..stream };
/// assert_eq!(span.to_string(), "stream-4.span-1.span-2");
/// assert_eq!(span.class(), ScopeClass::Span);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeName {
    /// The scope; for a span, the scope that it belongs to.
    pub scope: ScopeId,
    /// The path to the span; [`SpanIds::NONE`] for the scope itself.
    pub spans: SpanIds,
}

impl ScopeName {
    /// The class: [`ScopeClass::Span`] for any span, else the class of the scope.
    pub const fn class(&self) -> ScopeClass {
        if self.spans.depth == 0 {
            self.scope.class()
        } else {
            ScopeClass::Span
        }
    }

    /// The text with the whole name, unescaped: for files and programs, such as traces.
    pub const fn exact(&self) -> impl fmt::Display {
        ExactName(self)
    }
}

/// The text of a name with the whole name of its scope.
struct ExactName<'a>(&'a ScopeName);

impl fmt::Display for ExactName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.scope.exact(), self.0.spans)
    }
}

impl From<ScopeId> for ScopeName {
    fn from(scope: ScopeId) -> Self {
        Self {
            scope,
            spans: SpanIds::NONE,
        }
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.scope, f)?;
        write!(f, "{}", self.spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeply_nested_spans_show_the_outermost_and_the_innermost() {
        let spans = (1..=5).fold(SpanIds::NONE, SpanIds::child);
        assert_eq!(spans.to_string(), ".span-1.span-2.….span-5");
        let three = (1..=3).fold(SpanIds::NONE, SpanIds::child);
        assert_eq!(three.to_string(), ".span-1.span-2.span-3");
    }

    #[test]
    fn a_name_from_the_network_is_escaped_and_cut_where_it_is_shown() {
        let peer = PeerId::from_bytes(b"p").unwrap();
        let attack = "\u{1b}[2J\n\u{202e}";
        let escaped = r"\u{1b}[2J\n\u{202e}";
        let long = "x".repeat(1 << 20);
        let cut = "x".repeat(64) + "…";
        for (name, expected) in [(attack, escaped), (&*long, &*cut)] {
            let cases = [
                (ScopeId::Service(name.into()), format!("service:{expected}")),
                (
                    ScopeId::ServicePeer(name.into(), peer),
                    format!("service:{expected}.peer:p"),
                ),
                (
                    ScopeId::Protocol(name.into()),
                    format!("protocol:{expected}"),
                ),
                (
                    ScopeId::ProtocolPeer(name.into(), peer),
                    format!("protocol:{expected}.peer:p"),
                ),
            ];
            for (id, shown) in cases {
                assert_eq!(id.to_string(), shown);
                assert_eq!(format!("{id:?}"), format!("ScopeId({shown})"));
                let exact = shown.replace(expected, name);
                assert_eq!(id.exact().to_string(), exact);
                assert!(format!("{id:.3}").contains("…"), "{id:.3}");
                let spans = SpanIds::NONE.child(7);
                let span = ScopeName { scope: id, spans };
                assert_eq!(span.to_string(), shown + ".span-7");
                assert_eq!(span.exact().to_string(), exact + ".span-7");
            }
        }
    }
}
