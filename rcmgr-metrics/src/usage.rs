//! Usage in relation to a limit.

use rcmgr_core::{Limit, Resource, ScopeStat};

/// Usage divided by the limit: 1 at the limit, and more if the limit was lowered below the usage.
/// `None` if there is no limit.
///
/// A limit of zero counts as one. So an unused scope that allows nothing has the utilisation 0.
pub(crate) fn utilisation(stat: &ScopeStat, limit: &Limit, resource: Resource) -> Option<f64> {
    let most = limit.get(resource).number()?;
    Some(stat.get(resource) as f64 / most.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utilisation_is_usage_divided_by_the_limit() {
        let mut limit = Limit::UNLIMITED;
        limit.memory = 200.into();
        limit.streams = 0.into();
        let mut stat = ScopeStat {
            memory: 300,
            conns_inbound: 5,
            ..ScopeStat::ZERO
        };
        assert_eq!(utilisation(&stat, &limit, Resource::Memory), Some(1.5));
        assert_eq!(utilisation(&stat, &limit, Resource::Conns), None);
        assert_eq!(utilisation(&stat, &limit, Resource::Streams), Some(0.0));
        stat.streams_outbound = 2;
        assert_eq!(utilisation(&stat, &limit, Resource::Streams), Some(2.0));
    }
}
