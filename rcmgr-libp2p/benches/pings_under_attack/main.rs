//! The round trips of an honest peer while other peers attack the same swarm, beside the same round
//! trips in calm: over TCP and QUIC, for each kind of attack.
//!
//! The victim is a swarm with one thread, under the limits that the book recommends, without the rate
//! of connections from one address. Each pair has a new victim. The honest peer connects to it, and
//! measures for half a second in calm. Then four remotes attack, and it measures for half a second
//! more. The output has, over all pairs, the median of the medians in calm and under attack, and the
//! median, smallest and largest ratio. The goal is a ratio of at most 2. It also has the part of a CPU
//! that the victim and the attackers used during the attack, and the numbers of attacks and refusals in
//! a second.
//!
//! Two kinds of round trips are measured, one after the other:
//!
//! - `echo`: 32 bytes go through a stream that stays open, and come back.
//! - `ping`: libp2p-ping. The victim's handler is polled twice, so that it answers each ping at once.
//!
//! Attackers that take the victim's CPU time away slow it down, whatever limits it has. On a server
//! they run on machines of their own. So the victim has a CPU for itself here. The attackers run on a
//! second one, at the idle priority of Linux (`chrt --idle 0`). The honest peer runs there too, and
//! comes before them. With `--shared`, all run on all CPUs at the same priority.
//!
//! All remotes have the same address, and the victim's limit of a subnet holds for them. With
//! `--many-subnets` it does not: they stand for remotes of many subnets. With `--global-rate N` they
//! stand for the same, and the victim admits `N` connections in a second from all remotes together.
//!
//! Run it with `cargo bench -p rcmgr-libp2p --bench pings_under_attack -- [--pairs N] [--shared]
//! [--many-subnets | --global-rate N] [NAME]...`. A `NAME` is a part of a row's name, such as `quic` or `ping`.

#[path = "../../tests/support/mod.rs"]
mod support;

mod answering;
mod attackers;
mod figures;
mod honest;
mod process;
mod victim;

use std::error::Error;
use std::time::{Duration, Instant};

use self::figures::{Figures, Pair};
use self::honest::{Honest, What};
use self::process::{Process, Role};
use self::support::Kind;
use self::support::attack::Attack;
use self::victim::Origin;

const PAIRS: usize = 7;
/// How long each half of a pair is.
const HALF: Duration = Duration::from_millis(500);
/// What the attackers have done at least before it counts as an attack.
const BEGUN: u64 = 100;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--role", role, rest @ ..] = &*arguments {
        return match Role::named(role)? {
            Role::Victim => victim::run(rest),
            Role::Attackers => attackers::run(rest),
        };
    }
    let options = Options::of(&arguments)?;
    if !options.is_shared {
        process::take_second_cpu()?;
    }
    println!("{} pairs; {}", options.pairs, options.placement());
    println!("{}", Figures::head());
    for what in What::ALL {
        for kind in Kind::ALL {
            for attack in Attack::ALL {
                let name = format!("{what:?} {kind:?} {attack:?}").to_lowercase();
                if options.include(&name) {
                    let pairs = (0..options.pairs).map(|_| pair(&options, what, kind, attack));
                    let pairs = pairs.collect::<Result<_>>()?;
                    println!("{}", Figures { name, pairs });
                }
            }
        }
    }
    Ok(())
}

/// One victim, in calm and then under attack.
fn pair(options: &Options, what: What, kind: Kind, attack: Attack) -> Result<Pair> {
    let victim_arguments = [format!("{kind:?}"), options.origin.to_string()];
    let mut victim = Process::start(Role::Victim, &victim_arguments, options.is_shared)?;
    let address = victim.line()?;
    let mut honest = Honest::connect(what, &address)?;
    let calm = honest.measure(options.half)?;

    let attack = [format!("{kind:?}"), format!("{attack:?}"), address];
    let mut attackers = Process::start(Role::Attackers, &attack, options.is_shared)?;
    while attackers.count()? < BEGUN {
        std::thread::sleep(Duration::from_millis(1));
    }
    let usage = |victim: &mut Process, attackers: &mut Process| -> Result<_> {
        let counts = [victim.count()?, attackers.count()?].map(|count| count as f64);
        let cpu = [victim.cpu()?, attackers.cpu()?].map(|cpu| cpu.as_secs_f64());
        Ok((Instant::now(), counts, cpu))
    };
    let (begun, counts_before, cpu_before) = usage(&mut victim, &mut attackers)?;
    let attacked = honest.measure(options.half)?;
    let (ended, counts, cpu) = usage(&mut victim, &mut attackers)?;

    let seconds = (ended - begun).as_secs_f64();
    let per_second = |now: [f64; 2], before: [f64; 2]| {
        [0, 1].map(|which| (now[which] - before[which]) / seconds)
    };
    let [refusals, attacks] = per_second(counts, counts_before);
    let [victim_cpu, attackers_cpu] = per_second(cpu, cpu_before);
    Ok(Pair {
        calm,
        attacked,
        victim_cpu,
        attackers_cpu,
        attacks,
        refusals,
    })
}

struct Options {
    pairs: usize,
    half: Duration,
    is_shared: bool,
    origin: Origin,
    names: Vec<String>,
}

impl Options {
    fn of(arguments: &[&str]) -> Result<Self> {
        // `cargo test` runs benches too: then only check that they work.
        let is_bench = arguments.contains(&"--bench");
        let mut options = Self {
            pairs: if is_bench { PAIRS } else { 1 },
            half: if is_bench { HALF } else { HALF / 25 },
            is_shared: arguments.contains(&"--shared"),
            origin: Origin::OneSubnet,
            names: Vec::new(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match *argument {
                "--pairs" => {
                    let number = arguments.next().ok_or("--pairs needs a number")?;
                    options.pairs = number.parse::<usize>()?.max(1);
                }
                "--many-subnets" => options.origin = Origin::ManySubnets,
                "--global-rate" => {
                    let rate = arguments.next().ok_or("--global-rate needs a number")?;
                    options.origin = Origin::ManySubnetsAtRate(rate.parse()?);
                }
                option if option.starts_with("--") => {}
                name => options.names.push(name.to_lowercase()),
            }
        }
        Ok(options)
    }

    fn include(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|part| name.contains(part))
    }

    fn placement(&self) -> &'static str {
        match self.is_shared {
            true => "all processes on all CPUs",
            false => "the victim on a CPU of its own, the attackers at idle priority on another",
        }
    }
}
