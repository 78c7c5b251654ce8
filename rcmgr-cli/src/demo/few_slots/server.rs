//! An echo server with few slots. It knows nothing of limits: a client that gets no slot waits in
//! the kernel's queue, as with a server that has a thread for each connection.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::server::ACCEPT_AGAIN;

/// The first byte to a client that has a slot.
pub const WELCOME: u8 = b'+';

/// Serves `slots` clients at a time.
pub async fn serve(listener: TcpListener, slots: usize) {
    let slots = Arc::new(Semaphore::new(slots));
    let mut served = JoinSet::new();
    loop {
        let slot = slots.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((socket, _)) => {
                served.spawn(async move {
                    // A client that leaves early is no fault.
                    let _ = echo(socket).await;
                    drop(slot);
                });
            }
            Err(_) => sleep(ACCEPT_AGAIN).await,
        }
        while served.try_join_next().is_some() {}
    }
}

async fn echo(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.write_u8(WELCOME).await?;
    let (mut from, mut to) = socket.split();
    copy(&mut from, &mut to).await?;
    Ok(())
}
