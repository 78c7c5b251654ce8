//! How many connections the file descriptors of the process allow.

use rcmgr_config::LimitsFile;
use rcmgr_core::{LimitValue, Limits, LimitsKey, Resource};

use crate::Workers;
use crate::limits::limits;

/// The file descriptors that the proxy may open. A proxied connection uses two of them: one to the
/// client and one to the backend.
///
/// ```
/// use rcmgr_core::Limits;
/// use rcmgr_guard::{Descriptors, Workers};
///
/// let workers = Workers { count: 4, own_descriptors: false };
/// let descriptors = Descriptors::of(workers, 20_000);
/// assert_eq!(descriptors.connections(), 9_980);
///
/// let mut limits = Limits::unlimited();
/// descriptors.clamp(&mut limits);
/// assert_eq!(limits.system.fd, 19_960.into());
///
/// let workers = Workers { count: 4, own_descriptors: true };
/// assert_eq!(Descriptors::of(workers, 20_000).connections(), 39_920);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// How many a table may have.
    pub in_a_table: u64,
    /// How many tables there are: one, or one for each worker.
    pub tables: u64,
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
    /// The descriptors of a table that are not used for connections: listeners, runtimes, pipes, the
    /// file, the log and the live view.
    pub const OTHERS: u64 = 40;

    /// The descriptors of these workers, with `in_a_table` (`RLIMIT_NOFILE`) for each table.
    pub fn of(workers: Workers, in_a_table: u64) -> Self {
        let tables = match workers.own_descriptors {
            true => workers.count as u64,
            false => 1,
        };
        Self { in_a_table, tables }
    }

    /// How many proxied connections they allow.
    pub const fn connections(self) -> u64 {
        let in_a_table = self.in_a_table.saturating_sub(Self::OTHERS) / 2;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptors(in_a_table: u64) -> Descriptors {
        Descriptors {
            in_a_table,
            tables: 1,
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
}
