//! Guard beside HAProxy, on the same loads, in turns: the CPU time of the proxy for each operation, and
//! its memory for each idle connection. Without HAProxy, guard beside a plain proxy of tokio. Then the
//! time that honest clients wait, with and without a flood from another address.
//!
//! Run it with `cargo bench -p rcmgr-guard --bench beside_haproxy -- [--pairs N] [NAME]...`. A `NAME` is
//! a part of a workload's name. Each proxy is a process of its own with one thread that works, and has
//! a limit for each source. The clients and servers are in other processes, and their time does not count.

mod backend;
mod figures;
mod flood;
mod holder;
mod load;
mod process;
mod proxy;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use self::backend::{Backends, Service};
use self::figures::{Figures, head};
use self::holder::Holder;
use self::load::Sources;
use self::proxy::{Kind, Proxy, Setup};

const PAIRS: usize = 7;
/// A limit for each source that no workload reaches.
const NOT_REACHED: u64 = 9_000;
/// The limit for each source under which connections are refused.
const REACHED: u64 = 20;
/// A proxy with one descriptor table holds so many connections, if it may have 20,000 descriptors.
const IDLE: usize = 9_500;
/// Connections that a proxy may have beyond those that are measured.
const SPARE: u64 = 200;
/// With a descriptor table for each worker.
const IDLE_IN_TABLES: usize = 20_000;
const TABLES: usize = 3;
/// The descriptors of each table: the kernel does not spread the connections evenly.
const IN_A_TABLE: u64 = (2 * IDLE_IN_TABLES / TABLES) as u64 + 600;

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Load = fn(SocketAddr) -> Pin<Box<dyn Future<Output = io::Result<f64>>>>;

/// A workload whose CPU time is measured.
struct Workload {
    name: &'static str,
    /// What the CPU time is told in: so many of these are a second.
    unit: (&'static str, f64),
    goal: f64,
    service: Service,
    per_source: u64,
    load: Load,
}

const MICROSECONDS: f64 = 1e6;
const MILLISECONDS: f64 = 1e3;

const WORKLOADS: [Workload; 6] = [
    Workload {
        name: "churn, 16 addresses",
        unit: ("us/connection", MICROSECONDS),
        goal: 1.1,
        service: Service::Echo,
        per_source: NOT_REACHED,
        load: |to| Box::pin(load::churn(to, Sources::Shared)),
    },
    Workload {
        name: "churn, all addresses different",
        unit: ("us/connection", MICROSECONDS),
        goal: 1.1,
        service: Service::Echo,
        per_source: NOT_REACHED,
        load: |to| Box::pin(load::churn(to, Sources::Different)),
    },
    Workload {
        name: "round trip of 64 bytes",
        unit: ("us/round trip", MICROSECONDS),
        goal: 1.1,
        service: Service::Echo,
        per_source: NOT_REACHED,
        load: |to| Box::pin(load::round_trips(to)),
    },
    Workload {
        name: "download",
        unit: ("ms/GB", MILLISECONDS),
        goal: 0.8,
        service: Service::Source,
        per_source: NOT_REACHED,
        load: |to| Box::pin(load::download(to)),
    },
    Workload {
        name: "upload",
        unit: ("ms/GB", MILLISECONDS),
        goal: 0.8,
        service: Service::Sink,
        per_source: NOT_REACHED,
        load: |to| Box::pin(load::upload(to)),
    },
    Workload {
        name: "refusal",
        unit: ("us/refusal", MICROSECONDS),
        goal: 1.1,
        service: Service::Echo,
        per_source: REACHED,
        load: |to| Box::pin(load::refusals(to)),
    },
];

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &*arguments {
        [role, name, rest @ ..] if role == "--role" => match name.as_str() {
            "guard" => proxy::run_guard(proxy::setup_of(rest)?),
            "copy" => proxy::run_copy(proxy::setup_of(rest)?),
            _ => holder::run(),
        },
        // `cargo test --benches` only builds it.
        _ if !arguments.iter().any(|argument| argument == "--bench") => Ok(()),
        _ => compare(&Options::of(&arguments)?),
    }
}

struct Options {
    pairs: usize,
    names: Vec<String>,
}

impl Options {
    fn of(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            pairs: PAIRS,
            names: Vec::new(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--pairs" => {
                    let number = arguments.next().ok_or("--pairs needs a number")?;
                    options.pairs = number.parse::<usize>()?.max(1);
                }
                name => options.names.push(name.to_owned()),
            }
        }
        Ok(options)
    }

    fn include(&self, workload: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| workload.contains(name))
    }
}

fn compare(options: &Options) -> Result<()> {
    // The processes that are started have the same limit.
    let descriptors = rlimit::increase_nofile_limit(u64::MAX)?;
    let other = match proxy::haproxy_version() {
        Some(version) => {
            println!(
                "guard beside {version}, one thread each, {} pairs",
                options.pairs
            );
            Kind::HaProxy
        }
        None => {
            println!(
                "HAProxy is not installed: guard beside a plain proxy of tokio, for which there are no goals"
            );
            Kind::Copy
        }
    };
    println!("{}", head(&other));
    let backends = Backends::start()?;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    for workload in WORKLOADS
        .iter()
        .filter(|workload| options.include(workload.name))
    {
        let setup = Setup {
            backends: vec![backends.address(workload.service)],
            per_source: workload.per_source,
            own_tables: 0,
        };
        println!("{}", cpu(&runtime, options.pairs, workload, other, &setup)?);
    }
    for (name, sources, goal) in [
        ("memory, 16 addresses", Sources::Shared, 1.0),
        ("memory, all addresses different", Sources::Different, 1.4),
    ] {
        if options.include(name) {
            let goal = goal_beside(other, goal);
            println!(
                "{}",
                memory(options.pairs, name, sources, goal, other, descriptors)?
            );
        }
    }
    if options.include("idle in tables") {
        match descriptors < IN_A_TABLE {
            true => {
                println!("{IDLE_IN_TABLES} idle connections need {IN_A_TABLE} file descriptors")
            }
            false => idle_in_tables()?,
        }
    }
    if options.include("honest clients under flood") {
        for kind in [Kind::Guard, other] {
            println!("{}", under_flood(&runtime, options.pairs, kind, &backends)?);
        }
    }
    Ok(())
}

/// The goals are ratios to HAProxy.
fn goal_beside(other: Kind, goal: f64) -> Option<f64> {
    (other == Kind::HaProxy).then_some(goal)
}

/// Both proxies, in pairs. The first of a pair is the second of the next one.
fn in_pairs(pairs: usize, mut measure: impl FnMut(bool) -> Result<f64>) -> Result<Vec<(f64, f64)>> {
    (0..pairs)
        .map(|pair| {
            let first = measure(pair % 2 == 0)?;
            let second = measure(pair % 2 != 0)?;
            Ok(if pair % 2 == 0 {
                (first, second)
            } else {
                (second, first)
            })
        })
        .collect()
}

/// The CPU time of an operation.
fn cpu(
    runtime: &Runtime,
    pairs: usize,
    workload: &Workload,
    other: Kind,
    setup: &Setup,
) -> Result<Figures> {
    let goal = goal_beside(other, workload.goal);
    let guard = Proxy::start(Kind::Guard, setup)?;
    let other = Proxy::start(other, setup)?;
    let full = workload.per_source == REACHED;
    let mut held = Vec::new();
    for proxy in [&guard, &other] {
        if full {
            let taken = load::hold(proxy.address, Sources::One, 0, REACHED as usize);
            held.extend(runtime.block_on(taken)?);
        }
        // To warm up.
        runtime.block_on((workload.load)(proxy.address))?;
    }
    let measure = |is_guard| {
        let proxy = if is_guard { &guard } else { &other };
        let before = quiet(proxy)?;
        let operations = runtime.block_on((workload.load)(proxy.address))?;
        let used = quiet(proxy)? - before;
        Ok(used.as_secs_f64() * workload.unit.1 / operations)
    };
    Ok(Figures {
        workload: workload.name,
        unit: workload.unit.0,
        goal,
        pairs: in_pairs(pairs, measure)?,
    })
}

/// The CPU time of a proxy once it has nothing to do.
fn quiet(proxy: &Proxy) -> Result<Duration> {
    let mut before = proxy.process.cpu()?;
    loop {
        thread::sleep(Duration::from_millis(20));
        let now = proxy.process.cpu()?;
        // It may look at its timers now and then.
        if now - before < Duration::from_micros(500) {
            return Ok(now);
        }
        before = now;
    }
}

/// The memory of an idle connection.
fn memory(
    pairs: usize,
    name: &'static str,
    sources: Sources,
    goal: Option<f64>,
    other: Kind,
    descriptors: u64,
) -> Result<Figures> {
    let most = proxy::most_connections(descriptors).saturating_sub(SPARE);
    let connections = IDLE.min(most as usize);
    if connections < IDLE {
        println!("{descriptors} file descriptors are allowed: {connections} idle connections");
    }
    let measure = |is_guard| {
        let mut holder = Holder::start()?;
        let setup = Setup {
            backends: vec![holder.backend],
            per_source: NOT_REACHED,
            own_tables: 0,
        };
        let proxy = Proxy::start(if is_guard { Kind::Guard } else { other }, &setup)?;
        let before = proxy.process.memory()?;
        holder.hold(proxy.address, sources, 0, connections)?;
        Ok((proxy.process.memory()? - before) / connections as f64)
    };
    Ok(Figures {
        workload: name,
        unit: "KiB/connection",
        goal,
        pairs: in_pairs(pairs, measure)?,
    })
}

/// More idle connections than a table of descriptors has room for.
fn idle_in_tables() -> Result<()> {
    let mut holders = Vec::new();
    for _ in 0..TABLES {
        holders.push(Holder::start()?);
    }
    let setup = Setup {
        backends: holders.iter().map(|holder| holder.backend).collect(),
        per_source: NOT_REACHED,
        own_tables: TABLES,
    };
    let proxy = Proxy::start(Kind::Guard, &setup)?;
    let (before, start) = (proxy.process.memory()?, Instant::now());
    let mut held = 0;
    for (at, holder) in holders.iter_mut().enumerate() {
        let count = (IDLE_IN_TABLES - held).div_ceil(TABLES - at);
        holder.hold(proxy.address, Sources::Shared, held, count)?;
        held += count;
    }
    let memory = (proxy.process.memory()? - before) / held as f64;
    println!(
        "{held} idle connections with {TABLES} descriptor tables in {:.1} s, {memory:.2} KiB each",
        start.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// The time that honest clients wait for a proxy, with and without a flood.
fn under_flood(
    runtime: &Runtime,
    pairs: usize,
    kind: Kind,
    backends: &Backends,
) -> Result<flood::Figures> {
    let setup = Setup {
        backends: vec![backends.address(Service::Echo)],
        per_source: REACHED,
        own_tables: 0,
    };
    let proxy = Proxy::start(kind, &setup)?;
    let taken = load::hold(proxy.address, Sources::One, 0, REACHED as usize);
    let _held = runtime.block_on(taken)?;
    flood::measure(&kind, proxy.address, runtime, pairs)
}
