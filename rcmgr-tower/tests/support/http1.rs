//! A client that writes HTTP/1.1 by hand: it can lie, stop, and send slowly.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// What has arrived and was not returned yet.
    buffered: Vec<u8>,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name)?;
        Some(&found.1)
    }
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("the socket is open");
        Self {
            stream,
            buffered: Vec::new(),
        }
    }

    /// The address of this end.
    pub fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("the socket is open")
    }

    /// Sends bytes. The server must take them.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the connection is open");
    }

    /// Sends bytes, unless the server has closed the connection.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("sending", self.stream.write_all(bytes.as_ref())).await
    }

    /// Sends no more, and still reads.
    pub async fn finish_sending(&mut self) {
        self.stream
            .shutdown()
            .await
            .expect("the connection is open");
    }

    /// Sends a request and waits for the response.
    pub async fn request(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request).await;
        self.response().await
    }

    /// The next response.
    pub async fn response(&mut self) -> Response {
        self.try_response().await.expect("a response arrives")
    }

    /// The next response, or the error instead of it.
    pub async fn try_response(&mut self) -> io::Result<Response> {
        let head = self.head().await?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok());
        let mut response = Response {
            status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
            headers: Vec::new(),
            body: Vec::new(),
        };
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header has a value");
            response
                .headers
                .push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let length = response.header("content-length");
        if let Some(length) = length {
            let length = length.parse().expect("the length is a number");
            response.body = self.take(length).await?;
        } else if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let chunk = self.chunk().await?;
                if chunk.is_empty() {
                    break;
                }
                response.body.extend_from_slice(&chunk);
            }
        }
        Ok(response)
    }

    /// Whether something has arrived that was not read yet, the end of the connection included.
    pub fn has_arrived(&mut self) -> bool {
        let mut byte = [0];
        let mut peek = tokio_test::task::spawn(self.stream.peek(&mut byte));
        !self.buffered.is_empty() || peek.poll().is_ready()
    }

    /// The head of the next response, without the empty line at its end. No body is read.
    pub async fn head(&mut self) -> io::Result<String> {
        let head = self.through(b"\r\n\r\n").await?;
        Ok(String::from_utf8(head).expect("a head is text"))
    }

    /// The next chunk of a body in chunks; empty at its end.
    pub async fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let length = self.through(b"\r\n").await?;
        let length = str::from_utf8(&length).expect("a length is text");
        let length = usize::from_str_radix(length, 16).expect("a length is a number");
        let mut chunk = self.take(length + 2).await?;
        chunk.truncate(length);
        Ok(chunk)
    }

    /// The next `count` bytes.
    pub async fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffered.len() < count {
            self.read().await?;
        }
        let rest = self.buffered.split_off(count);
        Ok(std::mem::replace(&mut self.buffered, rest))
    }

    /// The bytes before `end`, which is dropped.
    async fn through(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let found = self
                .buffered
                .windows(end.len())
                .position(|part| part == end);
            if let Some(at) = found {
                let bytes = self.take(at + end.len()).await?;
                return Ok(bytes[..at].to_vec());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        let read = within("reading", self.stream.read_buf(&mut self.buffered)).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Waits until the server closes the connection, and returns what it sent before.
    pub async fn closed(mut self) -> Vec<u8> {
        while self.read().await.is_ok() {}
        self.buffered
    }
}
