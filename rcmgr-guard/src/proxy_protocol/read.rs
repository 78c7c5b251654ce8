//! Reads a header from a socket.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use thiserror::Error;
use tokio::net::TcpStream;

use super::{BadHeader, Parsed, parse};

/// How much one read takes at most, in bytes.
const CHUNK: usize = 1024;
/// How much the buffer grows at a time, in bytes. It grows for received bytes alone: a declared
/// length allocates nothing.
const GROWTH: usize = 256;

/// Why there is no header.
#[derive(Debug, Error)]
pub enum HeaderError {
    /// The connection begins with other bytes.
    #[error(transparent)]
    Bad(#[from] BadHeader),
    /// The sender closed the connection first.
    #[error("the sender closed after {received} bytes, before its PROXY header was whole")]
    Ended {
        /// The bytes that came.
        received: usize,
    },
    /// The socket failed.
    #[error("the PROXY header could not be read: {0}")]
    Failed(#[from] io::Error),
}

/// Reads the header that the connection must begin with. Returns the client, if the header names
/// one, and the bytes that came behind the header.
///
/// It has no deadline: the caller sets one. Dropping the future is safe, but the bytes read so far
/// are lost, so the connection must be closed then.
///
/// # Errors
///
/// The first bytes are no header, the connection ended first, or the socket failed.
pub async fn read_header(socket: &TcpStream) -> Result<(Option<SocketAddr>, Bytes), HeaderError> {
    let mut received = Vec::new();
    loop {
        socket.readable().await?;
        if !read_some(socket, &mut received)? {
            continue;
        }
        if let Parsed::Header { client, length } = parse(&received)? {
            // A copy, so that the memory of the header is freed. It allocates nothing if empty.
            return Ok((client, Bytes::copy_from_slice(&received[length..])));
        }
    }
}

/// Reads once. `false`: there was nothing to read yet.
///
/// The chunk lies on the stack of this function. In the future it would stay for the whole wait.
fn read_some(socket: &TcpStream, received: &mut Vec<u8>) -> Result<bool, HeaderError> {
    let mut chunk = [0; CHUNK];
    match socket.try_read(&mut chunk) {
        Ok(0) => Err(HeaderError::Ended {
            received: received.len(),
        }),
        Ok(count) => {
            let needed = received.len() + count;
            if needed > received.capacity() {
                let capacity = needed.next_multiple_of(GROWTH);
                received.reserve_exact(capacity - received.len());
            }
            received.extend_from_slice(&chunk[..count]);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error.into()),
    }
}
