//! Backends and clients of the proxy.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use socket2::{Domain, Socket, Type};

use super::process::DEADLINE;

/// A backend that greets each client with its name and a line break, and then sends back what it gets.
pub struct Backend {
    pub address: SocketAddr,
}

impl Backend {
    pub fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                thread::spawn(move || serve(client, name));
            }
        });
        Self { address }
    }

    /// The table of a listener on `on` in front of it.
    pub fn behind(&self, on: impl std::fmt::Display) -> String {
        format!(
            "[[listen]]\non = \"{on}\"\nto = \"{}\"\nservice = \"echo\"\n",
            self.address
        )
    }
}

fn serve(mut client: TcpStream, name: &str) -> io::Result<u64> {
    writeln!(client, "{name}")?;
    io::copy(&mut client.try_clone()?, &mut client)
}

/// A client of the proxy.
pub struct Client(TcpStream);

impl Client {
    /// Connects, and does not wait for the backend.
    pub fn connect(to: SocketAddr) -> Self {
        Self::connect_from(Ipv4Addr::LOCALHOST, to)
    }

    /// Connects from an address of its own on this machine.
    pub fn connect_from(from: impl Into<IpAddr>, to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::new(from.into(), 0).into())
            .unwrap();
        socket.connect(&to.into()).unwrap();
        let socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// A client that the backend `name` has greeted.
    pub fn served_by(name: &str, to: SocketAddr) -> Self {
        let mut client = Self::connect(to);
        client.is_served_by(name);
        client
    }

    pub fn is_served_by(&mut self, name: &str) {
        assert_eq!(self.name(), name);
    }

    /// The name of the backend.
    pub fn name(&mut self) -> String {
        let mut name = String::new();
        loop {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            match byte {
                [b'\n'] => return name,
                [letter] => name.push(letter.into()),
            }
        }
    }

    pub fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    pub fn echoes(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
        let mut back = vec![0; text.len()];
        self.0.read_exact(&mut back).unwrap();
        assert_eq!(back, text.as_bytes());
    }

    /// Whether the backend sends something before the connection ends.
    pub fn sends_anything(&mut self) -> bool {
        // A client that is refused may get a reset.
        self.0.read(&mut [0]).is_ok_and(|read| read > 0)
    }

    /// Asserts that the connection ends, and that nothing was sent before.
    pub fn expect_refused(mut self) {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        assert!(bytes.is_empty(), "{bytes:?}");
    }
}

/// Whether nothing listens on the address. It makes no connection: the proxy would count that.
pub fn is_closed(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}
