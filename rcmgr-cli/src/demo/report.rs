//! The report at the end.

use std::fmt::{self, Display, Formatter};
use std::sync::atomic::Ordering;

use comfy_table::Table;
use rcmgr_atomic::{LimitValue, Manager, Refusals, ScopeClass, ScopeStat};

use super::contrast::Contrast;
use super::few_slots::FewSlots;
use super::format::{bytes, duration, grouped, of_limit, table};
use super::latency::Recorder;
use super::plan::{Plan, most_connections};
use super::scopes::{Summary, connections_refused};
use super::tally::{ClientTally, Tally};
use super::verdict::{self, Check};
use crate::fitted::fitted;

/// The results of the demo.
pub struct Report<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Notices about the machine.
    pub notices: &'a [String],
    /// The manager, which counted refusals.
    pub manager: &'a Manager,
    /// The summaries of the scopes.
    pub scopes: Vec<Summary>,
    /// The counters of server and clients.
    pub tally: &'a Tally,
    /// The counters of the run without the manager, if there was one.
    pub without: Option<&'a Tally>,
    /// The server with few slots, if it was flooded.
    pub few_slots: Option<&'a FewSlots>,
    /// The checks.
    pub checks: Vec<Check>,
    /// The columns of the terminal, if there is one.
    pub columns: Option<usize>,
}

impl Report<'_> {
    /// Whether all checks passed.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }

    fn clients(&self) -> Table {
        let mut table = table([
            "clients",
            "addresses",
            "admitted",
            "turned away",
            "failed",
            "lost",
        ]);
        let mut row = |name: &str, addresses: usize, clients: &ClientTally| {
            let counts = [
                &clients.welcomed,
                &clients.turned_away,
                &clients.failed,
                &clients.lost,
            ];
            let counts = counts.map(|count| grouped(count.get()));
            let name = [name.to_owned(), addresses.to_string()];
            table.add_row(name.into_iter().chain(counts));
        };
        row("honest", self.plan.honest.len(), &self.tally.honest);
        row("flooding", self.plan.floods.len(), &self.tally.flooding);
        table
    }

    fn connections(&self) -> Table {
        let server = &self.tally.server;
        let mut table = table(["connections at the server", "count"]);
        let rows = [
            ("accepted", server.accepted.get()),
            ("opened by the manager", server.opened.get()),
            ("refused", server.refused.get()),
            ("closed before the hello", server.without_hello.get()),
            ("most admitted at once", server.admitted.most()),
        ];
        for (name, count) in rows {
            table.add_row([name.to_owned(), grouped(count)]);
        }
        table
    }

    fn refusals(&self) -> Table {
        let mut table = table(["refused by", "connections", "file descriptors", "memory"]);
        let mut row = |name: &str, refused: &Refusals| {
            let connections = refused.conns_inbound + refused.conns_outbound;
            let counts = [connections, refused.fd, refused.memory].map(grouped);
            table.add_row([name.to_owned()].into_iter().chain(counts));
        };
        for class in [
            ScopeClass::System,
            ScopeClass::Transient,
            ScopeClass::Service,
            ScopeClass::ServicePeer,
            ScopeClass::Peer,
            ScopeClass::Connection,
        ] {
            row(class.as_str(), &self.manager.refusals(class));
        }
        // Only a limits file limits the addresses of the demo.
        let addresses = Refusals {
            conns_inbound: verdict::refused_by_address(self.manager),
            ..Refusals::default()
        };
        if addresses.conns_inbound > 0 {
            row("addresses", &addresses);
        }
        let all = ScopeClass::ALL.into_iter();
        let all = all.map(|class| self.manager.refusals(class));
        row("all", &all.chain([addresses]).sum());
        table
    }

    fn peaks(&self) -> Table {
        let mut table = table([
            "scope: peak of limit",
            "connections",
            "file descriptors",
            "memory",
            "refused",
        ]);
        let connection = self.connection();
        for scope in self.scopes.iter().chain([&connection]) {
            let Summary { peak, limit, .. } = scope;
            let connections = most_connections(&rcmgr_atomic::Limit {
                fd: LimitValue::Unlimited,
                ..*limit
            });
            table.add_row([
                scope.name.clone(),
                of_limit(peak.conns(), connections, grouped),
                of_limit(peak.fd, limit.fd, grouped),
                of_limit(peak.memory, limit.memory, bytes),
                grouped(connections_refused(&scope.refused) + scope.refused.memory),
            ]);
        }
        table
    }

    /// The highest usage of connections. They have no view that outlives them, so the server has
    /// recorded it.
    fn connection(&self) -> Summary {
        let server = &self.tally.server;
        let opened = server.opened.get().min(1);
        Summary {
            name: "conn, highest".to_owned(),
            peak: ScopeStat {
                conns_inbound: opened,
                fd: opened,
                memory: server.largest_connection.load(Ordering::Relaxed),
                ..ScopeStat::ZERO
            },
            limit: self.manager.limits().conn,
            refused: self.manager.refusals(ScopeClass::Connection),
        }
    }

    fn times(&self) -> Table {
        let mut table = table(["time taken", "count", "p50", "p99"]);
        let mut row = |name: &str, recorder: &Recorder| {
            let [count, p50, p99] = match recorder.quantiles() {
                Some(times) => [
                    grouped(times.count),
                    duration(times.p50),
                    duration(times.p99),
                ],
                None => ["0".to_owned(), "-".to_owned(), "-".to_owned()],
            };
            table.add_row([name.to_owned(), count, p50, p99]);
        };
        row("manager: to admit", &self.tally.server.admission);
        row("manager: to refuse", &self.tally.server.refusal);
        row(
            "honest client: echo round trip",
            &self.tally.honest.round_trip,
        );
        table
    }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let tables = [
            self.clients(),
            self.connections(),
            self.refusals(),
            self.peaks(),
            self.times(),
        ];
        for table in tables {
            writeln!(f, "{}\n", fitted(table, self.columns, &[]))?;
        }
        let busy = self.tally.honest.busy.get();
        if busy > 0 {
            writeln!(f, "Honest requests that got no memory: {}\n", grouped(busy))?;
        }
        let without = self
            .without
            .map(|without| (" without the manager", without));
        for (run, tally) in [("", self.tally)].into_iter().chain(without) {
            let failures = tally.failures.all();
            if !failures.is_empty() {
                writeln!(f, "Errors of the operating system{run}:")?;
                for (what, count) in failures {
                    writeln!(f, "  {} times {what}", grouped(count))?;
                }
                writeln!(f)?;
            }
        }
        if let Some(without) = self.without {
            // A server that accepted nothing was not started.
            let with = (self.tally.server.accepted.get() > 0).then_some(self.tally);
            write!(f, "{}", Contrast { without, with })?;
        }
        if let Some(few_slots) = self.few_slots {
            write!(f, "{few_slots}")?;
        }
        for notice in self.notices {
            writeln!(f, "note: {notice}")?;
        }
        for check in &self.checks {
            let mark = if check.passed { "ok" } else { "FAILED" };
            writeln!(f, "{mark}: {}", check.finding)?;
        }
        Ok(())
    }
}
