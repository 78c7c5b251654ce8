//! The protocol between client and server.
//!
//! The client starts with a line, `hello 127.0.1.7`, that names the address it represents. If the
//! server admits the client it answers with [`WELCOME`]; if not, it closes the connection. Then the
//! client sends frames: the length in four bytes, then the content. The server echoes each frame,
//! or sends [`BUSY`] in place of the length if it has no memory for it.

use std::io;
use std::net::IpAddr;

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
};

/// The server's answer to a client that is admitted.
pub const WELCOME: u8 = b'+';
/// Sent in place of a length: the request was dropped.
pub const BUSY: u32 = u32::MAX;
/// The size of the header of a frame, in bytes.
pub const HEADER: usize = size_of::<u32>();

/// The longest line, so that a line without an end is not read forever.
const LONGEST_LINE: u64 = 64;

/// Sends the hello of a client.
pub async fn write_hello(to: &mut (impl AsyncWrite + Unpin), client: IpAddr) -> io::Result<()> {
    to.write_all(format!("hello {client}\n").as_bytes()).await
}

/// Reads the hello of a client.
///
/// # Errors
///
/// Errors of the connection, and `InvalidData` for anything except a hello.
pub async fn read_hello(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<IpAddr> {
    let mut line = String::new();
    from.take(LONGEST_LINE).read_line(&mut line).await?;
    line.strip_prefix("hello ")
        .and_then(|rest| rest.strip_suffix('\n'))
        .and_then(|client| client.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a hello"))
}

/// A frame with `length` bytes of content, each of them `filling`.
pub fn frame(length: u32, filling: u8) -> Vec<u8> {
    let mut frame = vec![filling; HEADER + length as usize];
    frame[..HEADER].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Reads the content of a frame whose length was already read.
pub async fn read_frame(from: &mut (impl AsyncRead + Unpin), length: u32) -> io::Result<Vec<u8>> {
    let mut frame = frame(length, 0);
    from.read_exact(&mut frame[HEADER..]).await?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hello_has_the_address_of_the_client() {
        let client: IpAddr = "127.0.1.7".parse().unwrap();
        let mut line = Vec::new();
        write_hello(&mut line, client).await.unwrap();
        assert_eq!(read_hello(&mut &*line).await.unwrap(), client);
    }

    #[tokio::test]
    async fn anything_else_is_not_a_hello() {
        let endless = vec![b'h'; 1000];
        let lines: [&[u8]; 5] = [
            b"",
            b"hello 127.0.1.7",
            b"hello you\n",
            b"GET /\n",
            &endless,
        ];
        for mut line in lines {
            let error = read_hello(&mut line).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[tokio::test]
    async fn a_frame_is_read_as_it_was_written() {
        let written = frame(300, 7);
        let mut from = &*written;
        let length = from.read_u32().await.unwrap();
        assert_eq!(read_frame(&mut from, length).await.unwrap(), written);
    }
}
