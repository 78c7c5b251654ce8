//! How single settings are written: durations, addresses, backends and networks. The file and the
//! arguments of the command read them with the same functions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::fmt::friendly::SpanParser;
use rcmgr_core::shown;

/// Longer durations are mistakes, and would overflow clocks.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The longest host name of the DNS.
const LONGEST_HOST: usize = 253;

/// A duration such as `250ms`, `2s`, `5m` or `1h30m`; at most 366 days.
///
/// # Errors
///
/// What was expected.
///
/// ```
/// use std::time::Duration;
/// use rcmgr_guard::values::duration;
///
/// assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
/// assert_eq!(duration("1h30m"), Ok(Duration::from_secs(90 * 60)));
/// assert!(duration("5").is_err());
/// ```
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = SpanParser::new().parse_unsigned_duration(text);
    match parsed {
        Ok(duration) if duration > LONGEST => {
            Err(format!("{:?} is longer than 366 days", shown(text)))
        }
        Ok(duration) => Ok(duration),
        Err(_) => Err(format!(
            "expected a duration such as \"250ms\", \"2s\", \"5m\" or \"1h\", found {:?}",
            shown(text)
        )),
    }
}

/// A duration that is not zero.
///
/// # Errors
///
/// As [`duration`], or that it is zero.
pub fn nonzero_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must not be zero".into()),
        duration => Ok(duration),
    }
}

/// A part of a limit such as `90%`, from 1 % to 100 %.
///
/// # Errors
///
/// What was expected.
///
/// ```
/// use rcmgr_guard::values::percent;
///
/// assert_eq!(percent("90%"), Ok(90));
/// assert!(percent("101%").is_err());
/// assert!(percent("0.9").is_err());
/// assert!(percent("+90%").is_err());
/// ```
pub fn percent(text: &str) -> Result<u8, String> {
    let number = text
        .strip_suffix('%')
        .filter(|number| is_digits(number))
        .and_then(|number| number.parse().ok());
    number
        .filter(|number| (1..=100).contains(number))
        .ok_or_else(|| {
            format!(
                "expected a part from \"1%\" to \"100%\", found {:?}",
                shown(text)
            )
        })
}

/// An address to listen on: an IP address and a port. With port 0 the system chooses one.
///
/// # Errors
///
/// What was expected.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    Err(match text.parse::<IpAddr>() {
        Ok(ip) => missing_port(ip),
        Err(_) => format!(
            "expected an IP address and a port, such as \"0.0.0.0:5432\" or \"[::]:5432\", found \
             {:?}",
            shown(text)
        ),
    })
}

/// A backend: an IP address or a host name, and a port.
///
/// # Errors
///
/// What was expected.
///
/// ```
/// use rcmgr_guard::values::backend;
///
/// assert!(backend("10.0.0.2:5432").is_ok());
/// assert!(backend("db.internal:5432").is_ok());
/// assert!(backend("db.internal:+5432").is_err());
/// assert_eq!(backend("10.0.0.2").unwrap_err(), "no port: write \"10.0.0.2:PORT\"");
/// ```
pub fn backend(text: &str) -> Result<Arc<str>, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Err(missing_port(ip));
    }
    let port = match text.parse::<SocketAddr>() {
        Ok(address) => address.port(),
        Err(_) => name_and_port(text)?,
    };
    match port {
        0 => Err("a backend cannot have port 0".into()),
        _ => Ok(text.into()),
    }
}

/// The port of a backend with a name.
fn name_and_port(text: &str) -> Result<u16, String> {
    let found = || format!("found {:?}", shown(text));
    let Some((host, port)) = text.rsplit_once(':') else {
        return match is_host(text) {
            true => Err(format!("no port: write \"{}:PORT\"", shown(text))),
            false => Err(format!("expected HOST:PORT, {}", found())),
        };
    };
    let is_ipv6 = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
    if host.contains(':') && host.bytes().all(is_ipv6) {
        return Err(format!(
            "an IPv6 address must be in brackets, as in \"[2001:db8::2]:5432\", {}",
            found()
        ));
    }
    if !is_host(host) {
        return Err(format!("expected HOST:PORT, {}", found()));
    }
    let port = Some(port).filter(|port| is_digits(port));
    let port = port.and_then(|port| port.parse().ok());
    port.ok_or_else(|| {
        format!(
            "expected a port from 1 to 65535 after the last colon, {}",
            found()
        )
    })
}

/// The functions of the standard library also read a number with a `+`.
fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_host(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    // The system would read digits and dots as an address in an old notation: `10.2` is 10.0.0.2.
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    !text.is_empty() && text.len() <= LONGEST_HOST && text.bytes().all(is_plain) && !is_number
}

fn missing_port(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("no port: write \"{ip}:PORT\""),
        IpAddr::V6(ip) => format!("no port: write \"[{ip}]:PORT\""),
    }
}

/// The name of a service, as the limits' table `Service` has it.
///
/// # Errors
///
/// If it is empty or longer than 255 bytes.
pub fn service(text: &str) -> Result<Arc<str>, String> {
    match text.len() {
        0 => Err("empty: a service needs a name".into()),
        256.. => Err("longer than 255 bytes".into()),
        _ => Ok(text.into()),
    }
}

/// A network such as `10.0.0.0/8`, or a single address. An IPv4-mapped network is the IPv4 network.
///
/// # Errors
///
/// What was expected.
pub fn network(text: &str) -> Result<IpNet, String> {
    let network: Option<IpNet> = text.parse().ok();
    let network = network.or_else(|| text.parse().ok().map(|ip: IpAddr| ip.into()));
    let network = network.ok_or_else(|| {
        format!(
            "expected a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", found {:?}",
            shown(text)
        )
    })?;
    let whole = network.trunc();
    if whole != network {
        return Err(format!(
            "{network} has bits set behind its prefix; did you mean {whole}?"
        ));
    }
    let ip = whole.network().to_canonical();
    match (whole, whole.prefix_len().checked_sub(96)) {
        (IpNet::V6(_), Some(length)) if ip.is_ipv4() => {
            IpNet::new(ip, length).map_err(|error| error.to_string())
        }
        _ => Ok(whole),
    }
}

/// Whether a connection to this address arrives at a listener on `on`. A listener on `0.0.0.0` has
/// every IPv4 address of this machine; one on `[::]` has every address.
pub fn arrives_at(target: SocketAddr, on: SocketAddr) -> bool {
    if target.port() != on.port() || on.port() == 0 {
        return false;
    }
    let ip = match target.ip().to_canonical() {
        // The system connects to loopback instead.
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let listening = on.ip().to_canonical();
    match listening.is_unspecified() {
        true if listening.is_ipv4() && ip.is_ipv6() => false,
        true => is_of_this_machine(ip),
        false => ip == listening,
    }
}

/// As [`arrives_at`], for a backend as it is written. A name other than `localhost` is not looked
/// up: its addresses are known when it is connected to.
pub fn backend_arrives_at(backend: &str, on: SocketAddr) -> bool {
    if let Ok(target) = backend.parse() {
        return arrives_at(target, on);
    }
    let Some((host, port)) = backend.rsplit_once(':') else {
        return false;
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ];
    host.eq_ignore_ascii_case("localhost")
        && port
            .parse()
            .is_ok_and(|port| loopback.iter().any(|ip| arrives_at((*ip, port).into(), on)))
}

fn is_of_this_machine(ip: IpAddr) -> bool {
    // A socket can be bound only to an address of this machine. It sends nothing.
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}
