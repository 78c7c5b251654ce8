//! A name server on loopback.

use std::net::Ipv4Addr;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use tokio::net::UdpSocket;

/// A server that runs until this is dropped, and how to ask it.
#[derive(Debug)]
pub struct NameServer {
    task: tokio::task::JoinHandle<()>,
    port: u16,
}

impl NameServer {
    /// Answers each question for the IPv4 addresses of a name with these.
    pub async fn start(addresses: &'static [[u8; 4]]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut question = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut question).await.unwrap();
                let answer = answer(&question[..length], addresses);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Self { task, port }
    }

    pub fn config(&self) -> (ResolverConfig, ResolverOpts) {
        let mut connection = ConnectionConfig::udp();
        connection.port = self.port;
        let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut options = ResolverOpts::default();
        options.use_hosts_file = ResolveHosts::Never;
        options.edns0 = false;
        (config, options)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer to a question without extensions: the format is that of RFC 1035, section 4.
fn answer(question: &[u8], addresses: &[[u8; 4]]) -> Vec<u8> {
    let count = u8::try_from(addresses.len()).unwrap();
    let mut answer = question.to_vec();
    // A response, with recursion available and without an error.
    answer[2] |= 0x80;
    answer[3] = 0x80;
    answer[6..8].copy_from_slice(&[0, count]);
    for address in addresses {
        // The name of the question, type A, class IN, for an hour, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4]);
        answer.extend(address);
    }
    answer
}
