//! How many connections the file descriptors of the process allow.

use rcmgr_config::LimitsFile;
use rcmgr_core::{LimitValue, Limits, LimitsKey, Resource};

use crate::limits::limits;
use crate::relay::PIPE_DESCRIPTORS;
use crate::{Listen, Settings, Workers};

/// The descriptors that are open before the first client, without those of workers: the standard
/// streams, signals, the file and its events, the live view with its clients.
const OPEN_AT_START: u64 = 64;
/// The descriptors of the runtime of a worker.
const OF_A_RUNTIME: u64 = 3;
/// What stays free for names that are looked up, the log, files, and a client that is refused.
const FREE: u64 = 32;
/// What stays free for clients that are refused with a reply.
const REPLIES: u64 = 64;

/// The file descriptors that the proxy may open. A proxied connection uses two of them: one to the
/// client and one to the backend.
///
/// ```
/// use rcmgr_core::Limits;
/// use rcmgr_guard::{Descriptors, GuardFile};
///
/// let file = GuardFile::from_toml("[[listen]]\non = '0.0.0.0:5432'\nto = '10.0.0.2:5432'\n")?;
/// let descriptors = Descriptors::of(&file.settings, 20_000);
/// assert_eq!(descriptors.connections(), 9_918);
///
/// let mut limits = Limits::unlimited();
/// descriptors.clamp(&mut limits);
/// assert_eq!(limits.system.fd, 19_836.into());
/// # Ok::<(), rcmgr_config::LimitsFileErrors>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// How many a table may have.
    pub in_a_table: u64,
    /// How many tables there are: one, or one for each worker.
    pub tables: u64,
    /// How many of a table are not used for connections: those of listeners, runtimes, pipes, the
    /// file, the log and the live view, of clients that wait for room, and of refused clients.
    pub others: u64,
}

/// A limit of a file that allows more than the file descriptors do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooHigh {
    /// The scope.
    pub key: LimitsKey,
    /// The resource.
    pub resource: Resource,
    /// The limit.
    pub limit: u64,
    /// The highest limit that has an effect.
    pub most: u64,
    /// The line of the file that sets the limit, from 1.
    pub line: usize,
}

impl Descriptors {
    /// The descriptors of a proxy with these settings, with `in_a_table` (`RLIMIT_NOFILE`) for each
    /// table.
    pub fn of(settings: &Settings, in_a_table: u64) -> Self {
        let Settings {
            listeners, workers, ..
        } = settings;
        let of_a_worker = OF_A_RUNTIME + listeners.len() as u64;
        let of_workers = of_a_worker.saturating_mul(workers.count as u64);
        let free = in_reserve(listeners, *workers, in_a_table);
        Self {
            in_a_table,
            tables: match workers.own_descriptors {
                true => workers.count as u64,
                false => 1,
            },
            others: OPEN_AT_START + of_workers + free + REPLIES,
        }
    }

    /// How many proxied connections they allow.
    pub const fn connections(self) -> u64 {
        let in_a_table = self.in_a_table.saturating_sub(self.others) / 2;
        in_a_table.saturating_mul(self.tables)
    }

    /// How many descriptors the connections may use.
    const fn for_connections(self) -> u64 {
        self.connections().saturating_mul(2)
    }

    /// Lowers the limits of the system's file descriptors to what there is, so that a connection is
    /// refused before the descriptors run out. Allowlisted connections count apart from the others,
    /// and each kind may use all descriptors.
    pub fn clamp(self, limits: &mut Limits) {
        let most = LimitValue::Limited(self.for_connections());
        for system in [&mut limits.system, &mut limits.allowlisted_system] {
            system.fd = system.fd.min(most);
        }
    }

    /// The limits that a file sets for the system or for services, and that allow more than the
    /// descriptors do.
    pub fn limits_above(self, file: &LimitsFile) -> Vec<TooHigh> {
        let limits = limits(&file.limits, false);
        let too_high = |((key, resource), line): (&(LimitsKey, Resource), &usize)| {
            if !matches!(
                key,
                LimitsKey::System | LimitsKey::ServiceDefault | LimitsKey::Service(_)
            ) {
                return None;
            }
            let most = match resource {
                Resource::Conns | Resource::Fd => self.for_connections(),
                Resource::ConnsInbound | Resource::ConnsOutbound => self.connections(),
                _ => return None,
            };
            match limits.lookup(key)?.get(*resource) {
                LimitValue::Limited(limit) if limit > most => Some(TooHigh {
                    key: key.clone(),
                    resource: *resource,
                    limit,
                    most,
                    line: *line,
                }),
                _ => None,
            }
        };
        let mut above: Vec<_> = file.lines.iter().filter_map(too_high).collect();
        above.sort_by_key(|above| above.line);
        above
    }
}

/// The file descriptors that must stay free while the server runs. The manager does not count the
/// sockets of clients that wait for room, nor pipes.
pub(crate) fn in_reserve(listeners: &[Listen], workers: Workers, in_a_table: u64) -> u64 {
    let queues = listeners.iter().filter_map(|listen| listen.queue);
    let waiting: u64 = queues.map(|queue| queue.most as u64).sum();
    let splices = listeners.iter().any(|listen| listen.splice);
    let pipes = match (splices, workers.own_descriptors) {
        (false, _) => 0,
        (true, true) => PIPE_DESCRIPTORS as u64,
        (true, false) => PIPE_DESCRIPTORS as u64 * workers.count as u64,
    };
    // Clients that wait take at most a quarter of the file descriptors from the connections.
    FREE + pipes + waiting.min(in_a_table / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptors(in_a_table: u64) -> Descriptors {
        Descriptors {
            in_a_table,
            tables: 1,
            others: 40,
        }
    }

    #[test]
    fn each_proxied_connection_is_two_descriptors_and_some_are_for_others() {
        for (allowed, connections) in [(0, 0), (40, 0), (41, 0), (42, 1), (1024, 492)] {
            assert_eq!(descriptors(allowed).connections(), connections);
        }
        // Without a limit of descriptors, nothing overflows.
        let many = Descriptors {
            in_a_table: u64::MAX,
            tables: 1024,
            others: 40,
        };
        assert_eq!(many.for_connections(), u64::MAX);
    }

    #[test]
    fn a_lower_limit_of_the_file_stays_as_it_is() {
        let mut limits = Limits::unlimited();
        limits.system.fd = 10.into();
        descriptors(1040).clamp(&mut limits);
        assert_eq!(limits.system.fd, 10.into());
        assert_eq!(limits.allowlisted_system.fd, 1000.into());
    }

    #[test]
    fn only_limits_that_the_file_sets_above_the_descriptors_are_reported() {
        let file = LimitsFile::from_toml(
            "[System]\nConns = 1001\nConnsInbound = 500\nFD = 'unlimited'\nMemory = 5000\n\
             [Service.a]\nConnsInbound = 501\nFD = 1000\n[PeerDefault]\nConns = 5000\n",
        )
        .unwrap();
        let above = descriptors(1040).limits_above(&file);
        let above = above
            .iter()
            .map(|above| (above.line, above.limit, above.most));
        assert_eq!(above.collect::<Vec<_>>(), [(2, 1001, 1000), (7, 501, 500)]);
    }

    #[test]
    fn workers_clients_that_wait_and_pipes_take_descriptors_from_the_connections() {
        let others = |text: &str, in_a_table| {
            let listener = "[[listen]]\non = '0.0.0.0:1'\nto = '10.0.0.2:1'\n";
            let file = crate::GuardFile::from_toml(&format!("{listener}{text}")).unwrap();
            Descriptors::of(&file.settings, in_a_table).others
        };
        let one = others("", 1000);
        assert_eq!(
            others("[guard]\nworkers = 3\n", 1000),
            one + 2 * (OF_A_RUNTIME + 1)
        );
        let queue = "queue = { most = 200, longest = '2s' }\n";
        assert_eq!(others(queue, 1000), one + 200);
        assert_eq!(others(queue, 400), one + 100);
        #[cfg(target_os = "linux")]
        assert_eq!(
            others("splice = true\n", 1000),
            one + PIPE_DESCRIPTORS as u64
        );
    }
}
