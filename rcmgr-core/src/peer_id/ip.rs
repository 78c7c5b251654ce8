//! The text of a peer that is named by its IP address.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::canonical_ip;

/// The longest name of a network interface, in bytes.
const LONGEST_ZONE: usize = 15;

/// An IP address, and its zone if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZonedIp<'a> {
    ip: IpAddr,
    /// The interface of a link-local address: its name or number.
    zone: Option<Zone<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone<'a> {
    Name(&'a str),
    Number(u32),
}

impl<'a> ZonedIp<'a> {
    /// An address with a zone. A zone is kept only where it matters: the same link-local address
    /// can occur on each interface, and any other address has one meaning.
    fn new(ip: IpAddr, zone: Option<Zone<'a>>) -> Self {
        let ip = canonical_ip(ip);
        let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let zone = zone.filter(|zone| is_link_local && *zone != Zone::Number(0));
        Self { ip, zone }
    }

    /// Reads an address in any spelling: with brackets, with a zone, in both cases.
    pub fn parse(text: &'a str) -> Option<Self> {
        let inner = match text.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            None => text,
        };
        let (ip, zone) = match inner.split_once('%') {
            Some((ip, name)) => (ip.parse::<Ipv6Addr>().ok()?.into(), Some(zone(name)?)),
            None => (inner.parse().ok()?, None),
        };
        // Brackets belong to IPv6 only.
        let is_plain = inner.len() == text.len();
        (is_plain || matches!(ip, IpAddr::V6(_))).then(|| Self::new(ip, zone))
    }

    /// Writes the canonical text. Returns its length, or `None` if it does not fit.
    pub fn write(self, mut bytes: &mut [u8]) -> Option<usize> {
        let room = bytes.len();
        let mut text = Text(&mut bytes);
        match self.zone {
            None => write!(text, "{}", self.ip),
            Some(Zone::Name(name)) => write!(text, "{}%{name}", self.ip),
            Some(Zone::Number(number)) => write!(text, "{}%{number}", self.ip),
        }
        .ok()?;
        Some(room - bytes.len())
    }
}

/// The zone with this name or number; `None` if no interface can have the name.
fn zone(name: &str) -> Option<Zone<'_>> {
    let is_name = (1..=LONGEST_ZONE).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"%/[]".contains(&byte));
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    match number {
        true if is_name => name.parse().ok().map(Zone::Number),
        _ => is_name.then_some(Zone::Name(name)),
    }
}

impl From<IpAddr> for ZonedIp<'_> {
    fn from(ip: IpAddr) -> Self {
        Self::new(ip, None)
    }
}

impl From<SocketAddr> for ZonedIp<'_> {
    fn from(socket: SocketAddr) -> Self {
        let zone = match socket {
            SocketAddr::V4(_) => None,
            SocketAddr::V6(socket) => Some(Zone::Number(socket.scope_id())),
        };
        Self::new(socket.ip(), zone)
    }
}

/// Writes text into a buffer, and moves the start of the buffer behind it.
struct Text<'a, 'b>(&'a mut &'b mut [u8]);

impl Write for Text<'_, '_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let bytes = std::mem::take(self.0);
        let (head, rest) = bytes
            .split_at_mut_checked(text.len())
            .ok_or(std::fmt::Error)?;
        head.copy_from_slice(text.as_bytes());
        *self.0 = rest;
        Ok(())
    }
}
