//! Admission of a client, at once or after a wait in the line of its listener.

use rcmgr_atomic::address::Permit;
use rcmgr_core::{Error, QueueFull, Resource, ScopeId};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::admission::{RefusedBy, Scopes, admit};
use super::client::Client;
use super::front::{Front, Route};
use super::line::{LOOK_AGAIN, NoPlace};
use crate::settings::Queue;

/// Why a client that had to wait was not admitted.
#[derive(Debug)]
pub(super) enum NotAdmitted {
    Refused(Error),
    /// It closed its connection.
    Left,
}

impl Front {
    /// Admits a client. `None`: it should wait.
    pub(super) fn admit_at_once(
        &self,
        route: &Route,
        client: Client,
    ) -> Result<Option<Scopes>, Error> {
        let manager = &self.shared.manager;
        // Without an attempt where that is clear, because attempts count as refusals, and take tokens
        // of the limits on rates.
        let may_wait = route.listen.queue.is_some() && self.shared.may_ever_fit(route.service());
        if may_wait
            && (self.counters.waiting.get() > 0
                || self.shared.lacks_room(route.service()).is_some())
            && !client.is_allowlisted(manager)
        {
            return Ok(None);
        }
        match admit(manager, &route.listen.service, client, &mut None) {
            Err(error) if may_wait && RefusedBy::of(&error).is_shared() => Ok(None),
            admitted => admitted.map(Some),
        }
    }

    /// Admits a client when it is at the head of the line and there is room.
    ///
    /// `has_sent` says whether bytes of the client have come. If not, the end of its bytes means that it
    /// has left.
    pub(super) async fn admit_in_turn(
        &self,
        route: &Route,
        queue: Queue,
        client: Client,
        socket: &TcpStream,
        has_sent: bool,
    ) -> Result<Scopes, NotAdmitted> {
        let counters = &self.counters;
        // A client that has waited for too long asks with the permit that it waited with.
        let mut permit = None;
        let wait = self.wait(route, queue, client, &mut permit);
        let wait = timeout(queue.longest, wait);
        tokio::select! {
            biased;
            () = left(socket, has_sent) => {
                counters.queue_left.add(1);
                Err(NotAdmitted::Left)
            }
            () = self.shared.ending.cancelled() => Err(self.no_room(route)),
            waited = wait => match waited {
                Ok(admitted) => admitted,
                Err(_) => {
                    let attempt = self.last_attempt(route, client, &mut permit);
                    counters.queue_timed_out.add(attempt.is_err().into());
                    attempt
                }
            }
        }
    }

    async fn wait(
        &self,
        route: &Route,
        queue: Queue,
        client: Client,
        permit: &mut Option<Box<Permit>>,
    ) -> Result<Scopes, NotAdmitted> {
        let manager = &self.shared.manager;
        let is_allowlisted = client.is_allowlisted(manager);
        // It keeps its permit while it waits, so that no address fills the line.
        *permit = match is_allowlisted {
            true => None,
            false => manager.addresses().admit(client.endpoint())?.map(Box::new),
        };
        let peer = client.peer().map(|peer| (peer, manager.view_peer(&peer)));
        let entered = self.line.enter(queue.most, peer, &self.counters.waiting);
        let _place = match entered {
            Ok(place) => place,
            Err(NoPlace::Full) => {
                let attempt = self.last_attempt(route, client, permit);
                self.counters.queue_full.add(attempt.is_err().into());
                return attempt;
            }
            Err(NoPlace::OverPeer) => return self.last_attempt(route, client, permit),
        };
        self.counters.queued.add(1);
        let _turn = self.line.turn.lock().await;
        let head = self.shared.room.head();
        loop {
            let changed = head.changed();
            // After a limit was lowered, it may be of no use to wait.
            if !is_allowlisted && !self.shared.may_ever_fit(route.service()) {
                return self.last_attempt(route, client, permit);
            }
            if is_allowlisted || self.shared.lacks_room(route.service()).is_none() {
                match admit(manager, &route.listen.service, client, permit) {
                    Err(error) if RefusedBy::of(&error).is_shared() => {}
                    admitted => return Ok(admitted?),
                }
            }
            // Limits that are raised wake nothing, so it looks again after a while.
            let _ = timeout(LOOK_AGAIN, changed).await;
        }
    }

    /// The attempt of a client that does not wait any longer. The manager counts its refusal, so the
    /// log and the view name the scope and the limit.
    fn last_attempt(
        &self,
        route: &Route,
        client: Client,
        permit: &mut Option<Box<Permit>>,
    ) -> Result<Scopes, NotAdmitted> {
        let manager = &self.shared.manager;
        let has_room = self.shared.lacks_room(route.service()).is_none();
        let others_wait = self.counters.waiting.get() > 0;
        // Room that there is belongs to those that wait, unless the client never waits. This is a look
        // ahead: room that appears after it may go to this client.
        if has_room && others_wait && !client.is_allowlisted(manager) {
            return Err(self.no_room(route));
        }
        Ok(admit(manager, &route.listen.service, client, permit)?)
    }

    /// The error for a client that found no room without an attempt of its own.
    fn no_room(&self, route: &Route) -> NotAdmitted {
        let scope = match self.shared.lacks_room(route.service()) {
            Some(RefusedBy::System) => ScopeId::System,
            Some(RefusedBy::Transient) => ScopeId::Transient,
            // Those that wait come first.
            _ => ScopeId::Service(route.listen.service.clone()),
        };
        NotAdmitted::Refused(Error::QueueFull(QueueFull {
            scope: scope.into(),
            resource: Resource::ConnsInbound,
            requested: 1,
            waiting: self.counters.waiting.get(),
        }))
    }
}

impl From<Error> for NotAdmitted {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Ready when the client has left.
///
/// The end of its bytes is no sign of that after it has sent some: it may have sent a request, and
/// waits for the answer. Then only a reset is one.
async fn left(socket: &TcpStream, has_sent: bool) {
    if !has_sent {
        match socket.peek(&mut [0]).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    // An error means that the socket is broken.
    let _ = socket.ready(Interest::ERROR).await;
}
