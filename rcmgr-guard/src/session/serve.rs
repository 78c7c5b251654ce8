//! The start of a session: what happens to a socket when it was accepted.

use std::net::SocketAddr;
use std::sync::Arc;

use rcmgr_core::Endpoint;

use super::client::Client;
use super::door::Door;
use super::listening::Accepted;
use super::setup::{Start, setup};
use super::shared::Open;

impl Door {
    /// Takes the next socket and begins its session, or refuses it. Dropping the future loses no
    /// socket.
    pub(crate) async fn serve_next(self: &Arc<Self>) {
        let (socket, sender) = self.guarded.accept_socket().await;
        // A TCP socket always has an address.
        if let Endpoint::Socket(sender) = sender {
            self.serve(socket, sender);
        }
    }

    /// Begins a session. A client that is refused at once costs no task.
    fn serve(self: &Arc<Self>, socket: Accepted, sender: SocketAddr) {
        let front = self.front();
        front.counters.accepted.add(1);
        let route = front.route();
        if route.refuses(sender.ip()) {
            // The socket is closed unread: a header in it would name a client of its choice.
            front.counters.untrusted_senders.add(1);
            tracing::debug!(
                "connection from {sender} closed: it is no trusted sender of PROXY headers"
            );
            return;
        }
        let start = if route.requires_header(sender.ip()) {
            Start::Header
        } else {
            let client = Client::at(sender, &front.shared.manager);
            match front.admit_at_once(&route, client) {
                Ok(Some(scopes)) => Start::Admitted(client, scopes),
                Ok(None) => Start::Waiting(client),
                Err(error) => return self.refuse(socket, sender, &error),
            }
        };
        let socket = match socket.register() {
            Ok(socket) => socket,
            Err(error) => {
                front.counters.no_descriptor.add(1);
                tracing::debug!("the connection of {sender} cannot be watched: {error}");
                return;
            }
        };
        let open = Open::new(&front.shared);
        // In a box, so that its memory is given back before the relay begins.
        let setup = Box::pin(setup(Arc::clone(self), route, socket, sender, start, open));
        tokio::spawn(async move {
            if let Some(mut running) = setup.await {
                let ended = running.relay().await;
                running.count(&ended);
            }
        });
    }
}
