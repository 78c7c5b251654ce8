//! What the proxy prints when it starts: its listeners, and how many connections its file
//! descriptors allow.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

use rcmgr_atomic::{LimitsKey, Resource, shown};
use rcmgr_config::{LimitsExt, LimitsFile};
use rcmgr_guard::{Descriptors, GuardFile, Listen, TooHigh, limits};

use crate::demo::grouped;

/// What the proxy does, and with how many file descriptors.
#[derive(Debug)]
pub struct Start<'f> {
    file: &'f GuardFile,
    descriptors: Descriptors,
    /// The addresses that it listens on, in the order of the file.
    addresses: Vec<SocketAddr>,
}

/// Raises the soft limit of file descriptors as far as it goes. Returns the limit now.
pub fn allowed_descriptors() -> u64 {
    let raised = rlimit::increase_nofile_limit(u64::MAX);
    let soft = || rlimit::getrlimit(rlimit::Resource::NOFILE).map(|(soft, _)| soft);
    // If the limit is unknown, use the number that every system allows.
    raised.or_else(|_| soft()).unwrap_or(256)
}

impl<'f> Start<'f> {
    /// The start of a proxy with these file descriptors.
    pub fn new(file: &'f GuardFile, descriptors: Descriptors) -> Self {
        let listeners = file.settings.listeners.iter();
        Self {
            file,
            descriptors,
            addresses: listeners.map(|listen| listen.on).collect(),
        }
    }

    /// The same after it has started: the kernel chooses an address for port 0.
    pub fn running(self, addresses: Vec<SocketAddr>) -> Self {
        Self { addresses, ..self }
    }

    /// A line for each limit of the file that cannot work as written.
    pub fn warnings(&self) -> Vec<String> {
        let limits_file = &self.file.limits;
        let path = limits_file.path.as_deref();
        let path = path.map_or_else(String::new, |path| path.display().to_string());
        let path = shown(&path);
        let set = limits(&limits_file.limits, false);
        let defaults = limits(&Default::default(), false);
        let of_limits = set
            .warnings_over(&defaults, None)
            .into_iter()
            .map(|warning| match limits_file.line_of(&warning.setting) {
                Some(line) => format!("{path:.1000}:{line}: warning: {warning}"),
                None => format!("{path:.1000}: warning: {warning}"),
            });
        let above = self.descriptors.limits_above(limits_file);
        let of_descriptors = above.iter().map(|above| {
            let TooHigh {
                key,
                resource,
                limit,
                most,
                line,
            } = above;
            format!(
                "{path:.1000}:{line}: warning: {key}.{}: {} is more than the file descriptors \
                 allow: at most {}, for {}",
                resource.field_name(),
                grouped(*limit),
                grouped(*most),
                self.connections(),
            )
        });
        let of_peers = limits_without_effect(limits_file)
            .map(|(line, text)| format!("{path:.1000}:{line}: warning: {text}"));
        of_limits.chain(of_descriptors).chain(of_peers).collect()
    }

    fn connections(&self) -> String {
        let Descriptors {
            in_a_table, tables, ..
        } = self.descriptors;
        let each = match tables {
            1 => String::new(),
            tables => format!(" for each of {tables} workers"),
        };
        format!(
            "{} connections with {} file descriptors{each}",
            grouped(self.descriptors.connections()),
            grouped(in_a_table),
        )
    }
}

/// The limits of single IPv6 addresses, with their lines: no client is such a peer.
fn limits_without_effect(file: &LimitsFile) -> impl Iterator<Item = (usize, String)> {
    let set = limits(&file.limits, false).peer.into_keys();
    set.filter_map(|peer| {
        let ip: Ipv6Addr = peer.to_string().parse().ok()?;
        let key = LimitsKey::Peer(peer);
        let of_resource = |resource| file.line(&key, resource);
        let line = Resource::ALL.into_iter().find_map(of_resource)?;
        let text = match ip.is_unicast_link_local() {
            true => format!(
                "Peer.\"{ip}\": has no effect on clients that connect directly: a link-local client is \
                 a peer with the number of its zone, such as \"{ip}%2\""
            ),
            false => format!(
                "Peer.\"{ip}\": has no effect, because an IPv6 client is the peer of its /64; limit a \
                 network in Addresses.Networks"
            ),
        };
        Some((line, text))
    })
}

/// A line for each listener, and one for the connections.
impl fmt::Display for Start<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (listen, address) in self.file.settings.listeners.iter().zip(&self.addresses) {
            writeln!(f, "{}", listening(listen, *address))?;
        }
        if self.file.dry_run {
            writeln!(f, "dry run: no limit is enforced")?;
        }
        writeln!(f, "{}", self.connections())
    }
}

/// A listener with its address and backends.
pub fn listening(listen: &Listen, address: SocketAddr) -> String {
    let service = shown(&listen.service);
    format!("{address} -> {}, service {service}", listen.to.join(", "))
}
