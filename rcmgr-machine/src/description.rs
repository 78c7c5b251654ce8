//! A machine as a file: its topology and its costs.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// The topology and the costs of a simulated machine.
///
/// Core `n` is in cluster `n / cores_per_cluster`, and cluster `m` in socket
/// `m / clusters_per_socket`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The name on the command line.
    pub name: String,
    /// A description in one sentence.
    pub about: String,
    /// Where the costs come from, such as the address of a published table.
    pub sources: Vec<String>,
    /// The cores that share a cache of their own, such as an L3.
    pub cores_per_cluster: usize,
    /// The clusters of a socket.
    pub clusters_per_socket: usize,
    /// The sockets.
    pub sockets: usize,
    /// Whether a load takes a line away from the core that wrote it, in place of a copy. Then the core that
    /// loads it can write it at once. False where the file does not say.
    #[serde(default)]
    pub loads_take: bool,
    /// The costs, in nanoseconds.
    pub ns: Costs,
}

/// The costs of a machine, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// A load from a line that the core has, or a store to a line that it owns.
    pub hit: f64,
    /// A locked read-modify-write on a line that the core owns, such as a CAS.
    pub update: f64,
    /// A full fence.
    pub fence: f64,
    /// The mean time of a line from another core of the same cluster.
    pub within_cluster: f64,
    /// The same from another cluster of the same socket.
    pub within_socket: f64,
    /// The same from another socket.
    pub across_sockets: f64,
    /// Each sharer to invalidate, except for the first.
    pub invalidate: f64,
    /// The mean time that an owner goes on with a line after another core has asked for it.
    pub kept: f64,
    /// A line that no core has.
    pub memory: f64,
    /// One processor pause in a spin loop.
    pub pause: f64,
    /// A thread that gives the processor up, and has it again at once.
    pub yield_now: f64,
    /// The time that a thread takes to wake another one.
    pub wake: f64,
    /// The time from then on until the other one runs.
    pub wake_latency: f64,
}

/// The reason why a text is no machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// It is not TOML, or has other fields.
    #[error("{0}")]
    Format(String),
    /// A text has a control character, such as a line end or the begin of an escape sequence: it is printed
    /// on terminals.
    #[error("{field}: the control character {character:?} is not allowed")]
    Text {
        /// The field.
        field: &'static str,
        /// The character.
        character: char,
    },
    /// A cost is negative, or not a number, or longer than a second.
    #[error("ns.{field}: {value} is not a time from 0 to 1000000000 ns")]
    Cost {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
    },
    /// Accesses take no time, so a run without work between them takes none.
    #[error("ns.{0}: an access takes more than 0 ns, at least 0.001")]
    Free(&'static str),
    /// There are no cores, or more than can be simulated.
    #[error("the machine has {0} cores; from 1 to {most} are possible", most = Machine::MAX_CORES)]
    Cores(usize),
}

/// The files of the machines that are part of this crate.
const SHIPPED: [&str; 4] = [
    include_str!("../machines/two-core-vm.toml"),
    include_str!("../machines/desktop.toml"),
    include_str!("../machines/one-socket.toml"),
    include_str!("../machines/two-socket.toml"),
];

impl Machine {
    /// The largest number of cores.
    pub const MAX_CORES: usize = 128;

    /// Reads a machine from TOML.
    ///
    /// # Errors
    ///
    /// [`MachineError`], with the field and the reason.
    pub fn from_toml(text: &str) -> Result<Self, MachineError> {
        let machine: Self =
            toml::from_str(text).map_err(|error| MachineError::Format(error.to_string()))?;
        let texts = [("name", &machine.name), ("about", &machine.about)];
        let sources = machine.sources.iter().map(|source| ("sources", source));
        for (field, text) in texts.into_iter().chain(sources) {
            if let Some(character) = text.chars().find(|character| character.is_control()) {
                return Err(MachineError::Text { field, character });
            }
        }
        let cores = machine
            .cores_per_cluster
            .saturating_mul(machine.clusters_per_socket)
            .saturating_mul(machine.sockets);
        if !(1..=Self::MAX_CORES).contains(&cores) {
            return Err(MachineError::Cores(cores));
        }
        for (field, value) in machine.ns.fields() {
            // A NaN is in no range.
            if !(0.0..=1e9).contains(&value) {
                let value = value.to_string();
                return Err(MachineError::Cost { field, value });
            }
        }
        for (field, value) in [("hit", machine.ns.hit), ("update", machine.ns.update)] {
            if Time::from_ns(value) == Time::ZERO {
                return Err(MachineError::Free(field));
            }
        }
        Ok(machine)
    }

    /// The machine as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field has a form in TOML")
    }

    /// The machines that are part of this crate.
    pub fn all_shipped() -> Vec<Self> {
        let read = |text: &&str| Self::from_toml(text).expect("the shipped machines are valid");
        SHIPPED.iter().map(read).collect()
    }

    /// The machine of this name, if it is part of this crate.
    pub fn shipped(name: &str) -> Option<Self> {
        let mut all = Self::all_shipped().into_iter();
        all.find(|machine| machine.name == name)
    }

    /// The number of cores.
    pub fn cores(&self) -> usize {
        self.cores_per_cluster * self.clusters_per_socket * self.sockets
    }

    /// The time of a line from one core to another.
    pub fn transfer(&self, from: usize, to: usize) -> Time {
        let cluster = |core: usize| core / self.cores_per_cluster;
        let socket = |core: usize| cluster(core) / self.clusters_per_socket;
        Time::from_ns(if cluster(from) == cluster(to) {
            self.ns.within_cluster
        } else if socket(from) == socket(to) {
            self.ns.within_socket
        } else {
            self.ns.across_sockets
        })
    }
}

impl Costs {
    /// All costs, each with the name of its field.
    pub fn fields(&self) -> [(&'static str, f64); 13] {
        [
            ("hit", self.hit),
            ("update", self.update),
            ("fence", self.fence),
            ("within_cluster", self.within_cluster),
            ("within_socket", self.within_socket),
            ("across_sockets", self.across_sockets),
            ("invalidate", self.invalidate),
            ("kept", self.kept),
            ("memory", self.memory),
            ("pause", self.pause),
            ("yield_now", self.yield_now),
            ("wake", self.wake),
            ("wake_latency", self.wake_latency),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_machine_is_read_back_as_it_is_written() {
        for machine in Machine::all_shipped() {
            assert_eq!(Machine::from_toml(&machine.to_toml()), Ok(machine.clone()));
            assert_eq!(Machine::shipped(&machine.name), Some(machine));
        }
        assert_eq!(Machine::shipped("abacus"), None);
    }

    #[test]
    fn a_transfer_costs_more_the_farther_it_goes() {
        let machine = Machine::shipped("two-socket").unwrap();
        let [cluster, socket] = [
            machine.cores_per_cluster,
            machine.cores_per_cluster * machine.clusters_per_socket,
        ];
        let other = machine.transfer(0, socket);
        assert_eq!(other, Time::from_ns(machine.ns.across_sockets));
        assert_eq!(machine.transfer(socket, 0), other);
        assert_eq!(
            machine.transfer(0, cluster - 1),
            Time::from_ns(machine.ns.within_cluster)
        );
        assert!(machine.transfer(0, socket - 1) < other);
    }

    #[test]
    fn a_file_that_is_no_machine_is_refused_with_the_field() {
        let good = Machine::shipped("desktop").unwrap();
        let refused = |machine: &Machine| Machine::from_toml(&machine.to_toml()).unwrap_err();

        let mut slow = good.clone();
        slow.ns.pause = -1.0;
        let expected = "ns.pause: -1 is not a time from 0 to 1000000000 ns";
        assert_eq!(refused(&slow).to_string(), expected);
        slow.ns.pause = f64::NAN;
        assert!(refused(&slow).to_string().starts_with("ns.pause: NaN"));

        let escape = "red \u{1b}[31m".to_owned();
        let with = |change: &dyn Fn(&mut Machine)| {
            let mut other = good.clone();
            change(&mut other);
            refused(&other).to_string()
        };
        for (told, field) in [
            (with(&|of| of.name = escape.clone()), "name"),
            (with(&|of| of.about = escape.clone()), "about"),
            (with(&|of| of.sources.push(escape.clone())), "sources"),
        ] {
            let expected = format!("{field}: the control character '\\u{{1b}}' is not allowed");
            assert_eq!(told, expected);
        }
        assert!(with(&|of| of.about = "two\nlines".to_owned()).starts_with("about: "));

        let mut free = good.clone();
        free.ns.update = 0.0;
        assert_eq!(refused(&free), MachineError::Free("update"));
        // This is less than a picosecond, in which times are counted.
        free.ns.hit = 0.0004;
        assert_eq!(refused(&free), MachineError::Free("hit"));

        for (sockets, cores) in [(0, 0), (usize::MAX >> 1, usize::MAX)] {
            let mut many = good.clone();
            many.sockets = sockets;
            assert_eq!(refused(&many), MachineError::Cores(cores));
        }

        let text = good.to_toml().replace("hit =", "hits =");
        let error = Machine::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains("hits"), "{error}");
    }
}
