//! Out of file descriptors.

use std::time::Duration;

use cpu_time::ThreadTime;
use rcmgr_atomic::Manager;
use rcmgr_core::Limits;
use rcmgr_testkit::passed_in_own_process;
use rcmgr_tokio::{Guarded, GuardedStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::log::Warnings;
use crate::{clients, listener, open_files, run};

const LONG: Duration = Duration::from_secs(60);
/// How many connections find a descriptor.
const SERVED: usize = 10;
/// How many must wait.
const WAITING: usize = 20;

/// Greets each connection and hands it over.
fn serve(
    listener: Guarded<tokio::net::TcpListener>,
) -> mpsc::UnboundedReceiver<GuardedStream<TcpStream>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let mut stream = listener.accept().await;
            stream.write_u8(7).await.unwrap();
            if sender.send(stream).is_err() {
                break;
            }
        }
    });
    receiver
}

#[test]
fn out_of_descriptors_it_sleeps_says_so_once_and_serves_soon_after_one_is_free() {
    if passed_in_own_process(
        "out::out_of_descriptors_it_sleeps_says_so_once_and_serves_soon_after_one_is_free",
    ) {
        return;
    }
    run(async |limit| {
        let warnings = Warnings::default();
        let _guard = tracing::subscriber::set_default(warnings.clone());
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let (listener, address) = listener().await;
        let mut clients = clients(SERVED + WAITING, address).await.into_iter();
        let allowed = limit.leave(SERVED as u64);
        let mut served = serve(Guarded::new(listener, manager.clone()));
        let mut streams = Vec::new();
        // They stay connected: their descriptors are not free.
        let mut answered = Vec::new();
        for mut client in clients.by_ref().take(SERVED) {
            streams.push(timeout(LONG, served.recv()).await.unwrap().unwrap());
            assert_eq!(client.read_u8().await.unwrap(), 7);
            answered.push(client);
        }
        assert_eq!(open_files(1).len(), 0, "there is a descriptor left");

        // While there is none, the loop sleeps.
        let (cpu, start) = (ThreadTime::now(), Instant::now());
        sleep(Duration::from_secs(1)).await;
        let share = cpu.elapsed().as_secs_f64() / start.elapsed().as_secs_f64();
        assert!(share < 0.05, "{share} of a core");
        assert!(served.try_recv().is_err());
        let warned = warnings.take();
        assert_eq!(warned.len(), 1, "{warned:?}");
        let numbers = format!("{allowed} of {allowed} file descriptors open");
        assert!(warned[0].contains(&numbers), "{warned:?}");

        // Each socket that the server closes lets one client in.
        let mut waits = Vec::new();
        for mut client in clients.by_ref().take(9) {
            let start = Instant::now();
            drop(streams.pop());
            assert_eq!(timeout(LONG, client.read_u8()).await.unwrap().unwrap(), 7);
            waits.push(start.elapsed());
            streams.push(served.recv().await.unwrap());
            answered.push(client);
        }
        waits.sort();
        assert!(waits[4] < Duration::from_millis(100), "{waits:?}");

        // A descriptor that something else frees ends no pause, so it takes up to the longest pause.
        sleep(Duration::from_millis(500)).await;
        let mut client = clients.next().unwrap();
        let start = Instant::now();
        limit.leave(1);
        assert_eq!(timeout(LONG, client.read_u8()).await.unwrap().unwrap(), 7);
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(1), "{waited:?}");
        assert_eq!(warnings.take(), Vec::<String>::new());
    });
}

#[test]
fn a_connection_that_is_refused_frees_its_descriptor_for_the_next() {
    run(async |limit| {
        let mut limits = Limits::unlimited();
        limits.system.conns_inbound = 1.into();
        let manager = Manager::new(limits).unwrap();
        let (listener, address) = listener().await;
        let mut clients = clients(WAITING, address).await;
        let mut served = serve(Guarded::new(listener, manager.clone()));
        // One for the connection that is admitted, and one to refuse the others with.
        limit.leave(2);
        let _stream = timeout(LONG, served.recv()).await.unwrap().unwrap();
        for client in &mut clients[1..] {
            let read = timeout(LONG, client.read_u8()).await.unwrap();
            assert!(read.is_err());
        }
        let refused = manager.view_system().refusals().total();
        assert_eq!(refused, WAITING as u64 - 1);
    });
}
