//! Version 1 of the header: a line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::bad::{BadHeader, BadHeaderReason};
use super::parsed::{Parsed, canonical};

/// The longest line, with its line end, that the protocol allows.
const MOST_LINE: usize = 107;
const MOST_IPV4_TEXT: usize = 15;
const MOST_IPV6_TEXT: usize = 45;
const MOST_PORT_TEXT: usize = 5;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, BadHeader> {
    let mut line = Line {
        bytes: &bytes[..bytes.len().min(MOST_LINE)],
        at: 0,
    };
    match line.client() {
        Ok(client) => Ok(Parsed::Header {
            client,
            length: line.at,
        }),
        Err(Stop::Bad(bad)) => Err(bad),
        Err(Stop::End) if bytes.len() < MOST_LINE => Ok(Parsed::More),
        Err(Stop::End) => Err(BadHeaderReason::LineTooLong.at(MOST_LINE)),
    }
}

/// Why the line could not be read to its end.
enum Stop {
    /// The bytes end first.
    End,
    Bad(BadHeader),
}

impl From<BadHeader> for Stop {
    fn from(bad: BadHeader) -> Self {
        Self::Bad(bad)
    }
}

/// The line, read from the left. Each byte is checked when it is there, so bad input is refused
/// before the line ends.
struct Line<'a> {
    bytes: &'a [u8],
    /// The offset of the next byte.
    at: usize,
}

impl<'a> Line<'a> {
    fn client(&mut self) -> Result<Option<SocketAddr>, Stop> {
        self.expect(b"PROXY ", BadHeaderReason::Signature)?;
        if self.peek()? == b'U' {
            self.expect(b"UNKNOWN", BadHeaderReason::Protocol)?;
            self.skip_ignored()?;
            return Ok(None);
        }
        self.expect(b"TCP", BadHeaderReason::Protocol)?;
        let (client, _server) = match self.peek()? {
            b'4' => {
                self.expect(b"4 ", BadHeaderReason::Protocol)?;
                (self.ipv4()?, self.ipv4()?)
            }
            b'6' => {
                self.expect(b"6 ", BadHeaderReason::Protocol)?;
                (self.ipv6()?, self.ipv6()?)
            }
            _ => return Err(BadHeaderReason::Protocol.at(self.at).into()),
        };
        let port = self.port(b' ')?;
        self.port(b'\r')?;
        self.expect(b"\n", BadHeaderReason::LineEnd)?;
        Ok(Some(canonical(client, port)))
    }

    /// Skips the text after `UNKNOWN`, with the line end. A carriage return or line feed alone is
    /// refused: a reader that ends the line there would see other bytes of the client.
    fn skip_ignored(&mut self) -> Result<(), Stop> {
        if self.peek()? == b' ' {
            let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
            let rest = &self.bytes[self.at..];
            self.at += rest.iter().position(is_end).ok_or(Stop::End)?;
        }
        self.expect(b"\r\n", BadHeaderReason::LineEnd)
    }

    fn ipv4(&mut self) -> Result<IpAddr, Stop> {
        let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        self.address::<Ipv4Addr>(is_part, MOST_IPV4_TEXT)
    }

    fn ipv6(&mut self) -> Result<IpAddr, Stop> {
        // The dot is for IPv4-mapped addresses: `::ffff:192.0.2.1`.
        let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
        self.address::<Ipv6Addr>(is_part, MOST_IPV6_TEXT)
    }

    fn address<A: FromStr + Into<IpAddr>>(
        &mut self,
        is_part: impl Fn(&u8) -> bool,
        most: usize,
    ) -> Result<IpAddr, Stop> {
        let bad = BadHeaderReason::Address.at(self.at);
        let text = self.field(is_part, most, b' ', BadHeaderReason::Address)?;
        let address = text.parse::<A>().map_err(|_| bad)?;
        Ok(address.into())
    }

    fn port(&mut self, end: u8) -> Result<u16, Stop> {
        let bad = BadHeaderReason::Port.at(self.at);
        let text = self.field(
            u8::is_ascii_digit,
            MOST_PORT_TEXT,
            end,
            BadHeaderReason::Port,
        )?;
        if text.len() > 1 && text.starts_with('0') {
            return Err(bad.into());
        }
        Ok(text.parse::<u16>().map_err(|_| bad)?)
    }

    /// The text up to `end`, which is skipped.
    fn field(
        &mut self,
        is_part: impl Fn(&u8) -> bool,
        most: usize,
        end: u8,
        reason: BadHeaderReason,
    ) -> Result<&'a str, Stop> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| !is_part(byte));
        if length.unwrap_or(rest.len()) > most {
            return Err(reason.at(self.at).into());
        }
        let length = length.ok_or(Stop::End)?;
        if rest[length] != end {
            return Err(reason.at(self.at + length).into());
        }
        // All characters of a field are ASCII.
        let text = str::from_utf8(&rest[..length]).map_err(|_| reason.at(self.at))?;
        self.at += length + 1;
        Ok(text)
    }

    /// Reads exactly this text.
    fn expect(&mut self, text: &[u8], reason: BadHeaderReason) -> Result<(), Stop> {
        for wanted in text {
            if self.peek()? != *wanted {
                return Err(reason.at(self.at).into());
            }
            self.at += 1;
        }
        Ok(())
    }

    fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.at).copied().ok_or(Stop::End)
    }
}
