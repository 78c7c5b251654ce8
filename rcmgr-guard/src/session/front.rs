//! A listener as its sessions see it: its settings, which a reload replaces, and its counters.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use rcmgr_atomic::{Manager, Scope};
use rcmgr_tokio::Refusal;

use super::line::Line;
use super::senders::Pending;
use super::shared::Shared;
use crate::backends::Backends;
use crate::counts::Counters;
use crate::proxy_protocol::Senders;
use crate::settings::{Listen, OnRefusal};

/// A listener on all workers.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Counters,
    route: ArcSwap<Route>,
    pub(super) line: Line,
    pub(super) pending: Pending,
}

/// The settings of a listener in the form in which a session uses them.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) listen: Listen,
    senders: Senders,
    pub(super) backends: Arc<Backends>,
    service: Scope,
    refusal: Refusal,
}

impl Route {
    fn new(listen: Listen, manager: &Manager, before: Option<&Self>) -> Self {
        // The same backends keep their turn, and what is known about them.
        let kept = before.filter(|before| before.backends.are(&listen.to));
        let backends = match kept {
            Some(before) => Arc::clone(&before.backends),
            None => Arc::new(Backends::new(&listen.to)),
        };
        let refusal = match &listen.on_refusal {
            OnRefusal::Close => Refusal::Close,
            OnRefusal::Reset => Refusal::Reset,
            OnRefusal::Reply(reply) => Refusal::ReplyBytes(Bytes::from_owner(Arc::clone(reply))),
        };
        Self {
            senders: Senders::new(&listen.proxy_protocol.accept_from),
            backends,
            service: manager.view_service(&listen.service),
            refusal,
            listen,
        }
    }
}

impl Route {
    /// The scope of the service.
    pub(crate) const fn service(&self) -> &Scope {
        &self.service
    }

    /// Whether a connection from this address must begin with a header.
    pub(super) fn requires_header(&self, sender: IpAddr) -> bool {
        self.senders.requires_header(sender)
    }

    /// Whether only proxies may connect, and this address is none of them.
    pub(super) fn refuses(&self, sender: IpAddr) -> bool {
        self.senders.refuses(sender)
    }
}

impl Front {
    pub(crate) fn new(listen: Listen, shared: &Arc<Shared>) -> Self {
        let route = Route::new(listen, &shared.manager, None);
        Self {
            shared: Arc::clone(shared),
            counters: Counters::default(),
            route: ArcSwap::from_pointee(route),
            line: Line::default(),
            pending: Pending::default(),
        }
    }

    /// The address of the settings.
    pub(crate) fn on(&self) -> SocketAddr {
        self.route.load().listen.on
    }

    /// The settings in force.
    pub(crate) fn route(&self) -> Arc<Route> {
        self.route.load_full()
    }

    /// Replaces the settings for the sessions that begin from now on. The timeouts of running
    /// sessions change too.
    pub(crate) fn change(&self, listen: Listen) {
        let before = self.route();
        if before.listen != listen {
            let route = Route::new(listen, &self.shared.manager, Some(&before));
            self.route.store(Arc::new(route));
        }
    }

    /// The answer to a refused client, as the settings in force have it.
    pub(crate) fn refusal(self: &Arc<Self>) -> Refusal {
        let front = Arc::clone(self);
        Refusal::with(move |_, _| front.route.load().refusal.clone())
    }
}
