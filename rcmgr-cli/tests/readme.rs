//! The first program of README lets in the connections that README says, and no others.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use rcmgr_atomic::{Connection, Direction, Limits, Manager, Result, UsesFd};
use rcmgr_config::{LimitsFile, Machine, PartialLimits, ScalingLimits};

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    std::fs::read_to_string(path).expect("README is readable")
}

/// README with one space between its words.
fn sentences() -> String {
    readme().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The limits of README's first program.
fn limits() -> Limits {
    let program = "Manager::new(rcmgr::ScalingLimits::server().auto_scale())?";
    assert!(readme().contains(program), "README has another program");
    ScalingLimits::server().auto_scale()
}

fn open(manager: &Manager, from: impl Into<IpAddr>) -> Result<Connection> {
    let from = SocketAddr::new(from.into(), 4001);
    manager.open_connection(Direction::Inbound, UsesFd::Yes, from)
}

/// How many connections are let in from these addresses, while all of them stay open.
fn let_in(limits: Limits, from: impl Iterator<Item = IpAddr>) -> usize {
    let manager = Manager::new(limits).expect("the limits are valid");
    let open: Vec<_> = from.map_while(|from| open(&manager, from).ok()).collect();
    open.len()
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// As many IPv6 addresses as needed: the first 48 bits are the same, and each is in its own /56.
fn in_one_48() -> impl Iterator<Item = IpAddr> {
    (0..256).map(|n| IpAddr::from([0x2001, 0xdb8, 7, n << 8, 0, 0, 0, 1]))
}

#[test]
fn the_program_lets_in_as_many_connections_of_an_address_as_readme_says() {
    let of_v4 = let_in(limits(), std::iter::repeat(address("203.0.113.7")));
    let of_56 = (0..).map(|n| IpAddr::from([0x2001, 0xdb8, 7, 0x4200 + n % 256, 0, 0, 0, n]));
    assert_eq!(let_in(limits(), of_56), of_v4, "one IPv6 /56");
    let of_48 = let_in(limits(), in_one_48());
    let sentence = format!(
        "It lets in at most {of_v4} connections from one IPv4 address or IPv6 /56, and {of_48} from \
         an IPv6 /48."
    );
    assert!(sentences().contains(&sentence), "{sentence}");
}

#[test]
fn the_program_lets_in_as_many_connections_of_all_addresses_as_readme_says() {
    let sentence = "From all addresses together it lets in 128, and 128 more for each GiB of the \
                    machine's memory (over 1 GiB), but at most an eighth of `ulimit -n` (at least 64)";
    assert!(sentences().contains(sentence));

    let Machine { memory, fds, .. } = Machine::detect();
    let gib = (memory - 1) >> 30;
    let by_memory = if gib == 0 {
        128..=128
    } else {
        128 * (gib + 1)..=128 * (gib + 2)
    };
    let by_fds = (fds / 8).max(64);
    let expected = *by_memory.start().min(&by_fds)..=*by_memory.end().min(&by_fds);
    let everyone =
        (0..u32::MAX).map(|n| IpAddr::from(0x0b00_0000_u32.wrapping_add(n).to_be_bytes()));
    let count = let_in(limits(), everyone) as u64;
    assert!(
        expected.contains(&count),
        "{count} are not within {expected:?}"
    );
    // Loopback counts in the totals only.
    let loopback = let_in(limits(), std::iter::repeat(address("127.0.0.1"))) as u64;
    assert_eq!(loopback, count);
}

#[test]
fn the_program_has_no_limit_on_short_connections_that_follow_each_other() {
    assert!(sentences().contains("there is no limit on the rate of new connections"));
    for from in ["203.0.113.7", "2001:db8::7", "127.0.0.1"] {
        for limits in [limits(), Limits::unlimited()] {
            let manager = Manager::new(limits).expect("the limits are valid");
            for number in 1..=1000 {
                let refused = open(&manager, address(from)).err();
                assert_eq!(refused, None, "connection {number} from {from}");
            }
        }
    }
}

#[test]
fn the_file_of_readme_lets_in_what_it_says_over_the_same_limits_as_the_program() {
    let readme = readme();
    let (_, file) = readme
        .split_once("```toml,file=limits.toml\n")
        .expect("README has a file");
    let (file, _) = file.split_once("```").expect("the file has an end");
    let line = file.lines().find(|line| line.starts_with("\"IPv4/32\" = "));
    let most = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    let over_program = LimitsFile::from_toml(file)
        .expect("a limits file")
        .limits
        .build(&limits());
    let count = let_in(
        over_program.clone(),
        std::iter::repeat(address("203.0.113.7")),
    );
    assert_eq!(Some(count), most);

    // The command of README shows the same limits as the program would have.
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    std::fs::write(folder.path().join("limits.toml"), file).expect("the folder is writable");
    assert!(sentences().contains("`cargo run --release -- limits limits.toml` shows"));
    let shown = Command::new(env!("CARGO_BIN_EXE_rcmgr"))
        .args(["limits", "limits.toml", "--json"])
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    let shown = String::from_utf8(shown.stdout).expect("the output is UTF-8");
    let shown = PartialLimits::from_json(&shown).expect("a limits file");
    assert_eq!(shown.build(&Limits::unlimited()), over_program);
}
