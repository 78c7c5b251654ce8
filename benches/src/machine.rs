//! The machine that the study runs on.

use std::fs;
use std::path::Path;
use std::thread;

use serde::{Deserialize, Serialize};

/// The properties of the machine. Times can only be compared on the same machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: Option<String>,
    /// The number of threads that can run at once.
    pub cores: usize,
    /// The caches of the first core, such as `L1 Data 48K`.
    pub caches: Vec<String>,
    /// The clock frequency at the start of the study, in MHz.
    pub mhz: Option<f64>,
    /// The highest clock frequency, in MHz.
    pub max_mhz: Option<f64>,
    /// The frequency governor of the first core, such as `performance`.
    pub governor: Option<String>,
    /// The memory, in bytes.
    pub memory: Option<u64>,
    /// The memory that was available at the start of the study, in bytes.
    pub available_memory: Option<u64>,
    /// The load average of the minute before the study: the number of threads that other programs
    /// kept busy.
    pub load: Option<f64>,
    /// The operating system and its version.
    pub os: String,
    /// The instruction set.
    pub arch: String,
}

impl Machine {
    /// Reads the properties of this machine, on Linux from `/proc` and `/sys`. A property that
    /// cannot be read is `None`.
    pub fn detect() -> Self {
        let cpu_info = read("/proc/cpuinfo").unwrap_or_default();
        let memory_info = read("/proc/meminfo").unwrap_or_default();
        let cpu = Path::new("/sys/devices/system/cpu/cpu0");
        let khz = read(cpu.join("cpufreq/cpuinfo_max_freq"));
        let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
        let bytes = |name| kibibytes(&memory_info, name);
        Self {
            cpu: field(&cpu_info, "model name").map(str::to_owned),
            cores: thread::available_parallelism().map_or(1, usize::from),
            caches: caches(&cpu.join("cache")),
            mhz: field(&cpu_info, "cpu MHz").and_then(|mhz| mhz.parse().ok()),
            max_mhz: khz.and_then(|khz| Some(khz.trim().parse::<f64>().ok()? / 1000.0)),
            governor: read(cpu.join("cpufreq/scaling_governor"))
                .map(|governor| governor.trim().to_owned()),
            memory: bytes("MemTotal"),
            available_memory: bytes("MemAvailable"),
            load: read("/proc/loadavg").and_then(|load| load.split(' ').next()?.parse().ok()),
            os: format!("{} {}", std::env::consts::OS, kernel.trim())
                .trim()
                .to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
        }
    }

    /// The machine as one line of text.
    pub fn describe(&self) -> String {
        let mhz = match (self.mhz, self.max_mhz) {
            (Some(mhz), Some(max)) => format!(" at {mhz:.0} MHz, {max:.0} at most"),
            (Some(mhz), None) | (None, Some(mhz)) => format!(" at {mhz:.0} MHz"),
            (None, None) => String::new(),
        };
        let cpu = self.cpu.as_deref().unwrap_or("unknown processor");
        let cores = match self.cores {
            1 => "1 core".to_owned(),
            cores => format!("{cores} cores"),
        };
        let mut parts = vec![format!("{cpu}{mhz}"), cores];
        if let Some(governor) = &self.governor {
            parts.push(format!("governor {governor}"));
        }
        if !self.caches.is_empty() {
            parts.push(format!("caches {}", self.caches.join(", ")));
        }
        if let Some(memory) = self.memory {
            parts.push(format!(
                "{:.0} GiB of memory",
                memory as f64 / f64::from(1 << 30)
            ));
        }
        parts.push(format!("{} on {}", self.os, self.arch));
        if let Some(load) = self.load {
            parts.push(format!("load {load:.2} before"));
        }
        parts.join("; ")
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The value after the first `name :`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(found, _)| found.trim() == name)?;
    Some(value.trim()).filter(|value| !value.is_empty())
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let number = field(text, name)?.strip_suffix(" kB")?;
    Some(number.parse::<u64>().ok()? * 1024)
}

fn caches(folder: &Path) -> Vec<String> {
    let cache = |index: usize| {
        let part = |name| {
            let text = read(folder.join(format!("index{index}/{name}")))?;
            Some(text.trim().to_owned())
        };
        let (level, kind, size) = (part("level")?, part("type")?, part("size")?);
        let kind = match kind.as_str() {
            "Unified" => String::new(),
            other => format!("{other} "),
        };
        Some(format!("L{level} {kind}{size}"))
    };
    (0..).map_while(cache).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_linux_writes_them() {
        let text = "processor\t: 0\nmodel name\t: A Processor @ 2.10GHz\ncpu MHz\t\t: 2100.5\n\n";
        assert_eq!(field(text, "model name"), Some("A Processor @ 2.10GHz"));
        assert_eq!(field(text, "cache size"), None);
        assert_eq!(
            kibibytes("MemTotal:       16 kB\n", "MemTotal"),
            Some(16384)
        );
    }

    #[test]
    fn a_machine_without_known_properties_can_be_described() {
        let machine = Machine {
            cores: 1,
            os: "plan9".into(),
            arch: "mips".into(),
            ..Machine::default()
        };
        assert_eq!(
            machine.describe(),
            "unknown processor; 1 core; plan9 on mips"
        );
        assert!(Machine::detect().cores >= 1);
    }
}
