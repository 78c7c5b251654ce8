//! Follows multistream-select as it passes through a stream, to learn the protocol that both sides
//! have agreed on. It changes no byte, does no I/O and knows no manager.
//!
//! A name becomes known only if this side has written it: the listener writes the name that it
//! supports, the dialer the name that it proposes. What the remote sends is compared and never
//! kept. So a negotiation keeps the following bytes at most, whatever the remote does:
//!
//! - Dialer: its own proposal, and the part of its own message that the inner stream has taken.
//! - Listener: the part of its own message that the inner stream has taken.
//!
//! A message has at most [`MAX_LENGTH`](messages::MAX_LENGTH) bytes.

mod answer;
mod messages;
mod proposal;
mod written;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::{ControlFlow, Deref};

use answer::{Answer, Answers};
use messages::{HEADER, HEADER_MESSAGE, begins_like_name, is_name};
use proposal::Proposal;
use written::Written;

/// Which side of the negotiation this end of the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The remote has opened the stream and proposes protocols.
    Listener,
    /// This end has opened the stream and proposes protocols.
    Dialer,
}

/// The first byte that a listener writes: the length of its header.
pub(crate) const FIRST_BYTE: u8 = HEADER.len() as u8;

/// What is known of the negotiation on one stream.
#[derive(Debug, Clone)]
pub(crate) struct Negotiation {
    // None once it is over: there is nothing left to look at.
    running: Option<Running>,
}

#[derive(Debug, Clone)]
struct Running {
    written: Written,
    // None for a listener. Only its own messages count.
    dialer: Option<Dialer>,
}

#[derive(Debug, Clone, Default)]
struct Dialer {
    /// Written as a whole, and not rejected.
    proposal: Option<Proposal>,
    answers: Answers,
}

/// The protocol that a negotiation has settled. It is text if this side is multistream-select.
#[derive(Debug)]
pub(crate) enum Settled<'a> {
    /// By a listener that writes its name.
    Written(Cow<'a, [u8]>),
    /// By a dialer that has proposed it.
    Proposed(Proposal),
}

impl Deref for Settled<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Written(name) => name,
            Self::Proposed(proposal) => proposal.name(),
        }
    }
}

/// `Break` ends the negotiation, with the protocol if one is settled.
type Step<'a> = ControlFlow<Option<Settled<'a>>>;

/// Bytes that are about to be written.
#[derive(Debug)]
pub(crate) struct Writing<'a> {
    bytes: &'a [u8],
    settled: Option<Settled<'a>>,
    after: After<'a>,
}

/// What is known when all bytes have been written.
#[derive(Debug)]
enum After<'a> {
    /// The header has been written.
    Header,
    /// The header and this message have been written, which is a proposal.
    Proposal(&'a [u8]),
    /// The protocol is settled.
    Over,
    Other(Box<Negotiation>),
}

impl Writing<'_> {
    /// The protocol that is settled when these bytes are passed on: of a listener, the name that it
    /// confirms; of a dialer, its proposal, if bytes follow before the answer is read.
    #[inline]
    pub(crate) fn settled(&self) -> Option<&[u8]> {
        self.settled.as_deref()
    }
}

impl Negotiation {
    /// The negotiation on a stream before its first byte.
    #[inline]
    pub(crate) fn new(role: Role) -> Self {
        let dialer = (role == Role::Dialer).then(Dialer::default);
        Self {
            running: Some(Running {
                written: Written::default(),
                dialer,
            }),
        }
    }

    /// Takes bytes that the remote has sent, when they are handed to the reader of the stream.
    ///
    /// Returns the protocol that these bytes settle: a dialer's proposal that they confirm.
    pub(crate) fn on_read(&mut self, bytes: &[u8]) -> Option<Settled<'static>> {
        let dialer = self.running.as_mut()?.dialer.as_mut()?;
        let settled = dialer.read(bytes).break_value()?;
        self.running = None;
        settled
    }

    /// Looks at bytes that are about to be written. The state stays as it is, so the same bytes or
    /// others may follow if the inner stream does not take them.
    #[inline]
    pub(crate) fn before_write<'a>(&self, bytes: &'a [u8]) -> Writing<'a> {
        let running = self.running.as_ref();
        let (settled, after) = match running.and_then(|running| running.whole(bytes)) {
            Some(found) => found,
            None => self.on_a_copy(bytes),
        };
        Writing {
            bytes,
            settled,
            after,
        }
    }

    /// What bytes change that come in any pieces.
    #[cold]
    fn on_a_copy<'a>(&self, bytes: &'a [u8]) -> (Option<Settled<'a>>, After<'a>) {
        let mut after = Box::new(self.clone());
        (after.write(bytes), After::Other(after))
    }

    /// Takes those of the bytes that the inner stream has taken: so many.
    #[inline]
    pub(crate) fn on_written(&mut self, writing: Writing<'_>, taken: usize) {
        if taken < writing.bytes.len() {
            self.write(&writing.bytes[..taken]);
            return;
        }
        match (writing.after, &mut self.running) {
            (After::Header, Some(running)) => running.written.has_header = true,
            (After::Proposal(message), Some(running)) => {
                running.written.has_header = true;
                if let Some(dialer) = &mut running.dialer {
                    dialer.proposal = Some(Proposal::written(message));
                }
            }
            (After::Over, _) => self.running = None,
            (After::Other(after), _) => *self = *after,
            (After::Header | After::Proposal(_), None) => {}
        }
    }

    /// Takes bytes that are written. Returns the protocol that they settle.
    #[cold]
    fn write<'a>(&mut self, bytes: &'a [u8]) -> Option<Settled<'a>> {
        let settled = self.running.as_mut()?.write(bytes).break_value()?;
        self.running = None;
        settled
    }

    /// Whether the bytes that are read matter. A listener decides by what it writes itself.
    #[inline]
    pub(crate) fn reads(&self) -> bool {
        (self.running.as_ref()).is_some_and(|running| running.dialer.is_some())
    }

    /// Whether nothing is looked at any longer: a protocol is settled, or the bytes were not
    /// multistream-select.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.running.is_none()
    }

    /// Whether the bytes that were written end with a whole message.
    pub(crate) fn is_between_messages(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| running.written.is_between_messages())
    }

    /// How many bytes of messages are kept.
    #[cfg(test)]
    fn kept_bytes(&self) -> usize {
        let Some(running) = &self.running else {
            return 0;
        };
        let proposal = (running.dialer.as_ref()).and_then(|dialer| dialer.proposal.as_ref());
        running.written.kept_bytes() + proposal.map_or(0, |proposal| proposal.name().len())
    }
}

impl Running {
    /// What bytes change that are the header, one whole message, or both: most are. `None`: they are not.
    #[inline]
    fn whole<'a>(&self, bytes: &'a [u8]) -> Option<(Option<Settled<'a>>, After<'a>)> {
        if !self.written.is_between_messages() || bytes.is_empty() {
            return None;
        }
        if let Some(proposal) = self.proposal() {
            return Some((Some(Settled::Proposed(proposal.clone())), After::Over));
        }
        let message = match self.written.has_header {
            true => bytes,
            false => bytes.strip_prefix(HEADER_MESSAGE)?,
        };
        if message.is_empty() {
            return Some((None, After::Header));
        }
        let name = begins_like_name(message)?;
        if self.dialer.is_some() {
            return Some((None, After::Proposal(message)));
        }
        let settled = Settled::Written(Cow::Borrowed(name));
        is_name(name).then_some((Some(settled), After::Over))
    }

    /// What a dialer has proposed. It does not wait for the answer: its first byte after the proposal is
    /// the protocol's.
    fn proposal(&self) -> Option<&Proposal> {
        self.dialer.as_ref()?.proposal.as_ref()
    }

    fn write<'a>(&mut self, mut bytes: &'a [u8]) -> Step<'a> {
        while !bytes.is_empty() {
            if let Some(proposal) = self.proposal() {
                return ControlFlow::Break(Some(Settled::Proposed(proposal.clone())));
            }
            let Ok(name) = self.written.next_name(&mut bytes) else {
                return ControlFlow::Break(None);
            };
            let Some(name) = name else { break };
            if self.dialer.is_none() && !is_name(&name) {
                continue;
            }
            match &mut self.dialer {
                Some(dialer) => dialer.proposal = Some(Proposal::of(&name)),
                None => return ControlFlow::Break(Some(Settled::Written(name))),
            }
        }
        ControlFlow::Continue(())
    }
}

impl Dialer {
    fn read(&mut self, mut bytes: &[u8]) -> Step<'static> {
        loop {
            match self.answers.next(&mut bytes, self.proposal.as_ref()) {
                Ok(Some(Answer::Confirmed)) => {
                    return ControlFlow::Break(self.proposal.take().map(Settled::Proposed));
                }
                // The next message of this side is another proposal.
                Ok(Some(Answer::NotAvailable)) => self.proposal = None,
                Ok(None) => return ControlFlow::Continue(()),
                Err(_) => return ControlFlow::Break(None),
            }
        }
    }
}
