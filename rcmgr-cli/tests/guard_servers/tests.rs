//! The tests.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use crate::process::{DEADLINE, Folder, eventually, free, json};
use crate::programs::{Process, command};

/// A test with the programs that it needs.
pub type Test = (&'static str, &'static [&'static str], fn());

pub const ALL: [Test; 3] = [
    (
        "the_benchmark_of_redis_passes_while_limits_and_listeners_are_reloaded",
        &["redis-server", "redis-benchmark"],
        reloads,
    ),
    (
        "the_benchmark_of_redis_passes_while_the_proxy_drains",
        &["redis-server", "redis-benchmark"],
        drain,
    ),
    (
        "nginx_sees_the_address_of_the_client_through_haproxy_and_the_proxy",
        &["haproxy", "nginx"],
        headers,
    ),
];

const CLIENTS: usize = 40;

fn text(listeners: &[(SocketAddr, SocketAddr)], settings: &str) -> String {
    let tables = listeners
        .iter()
        .map(|(on, to)| format!("[[listen]]\non = \"{on}\"\nto = \"{to}\"\nservice = \"redis\"\n"));
    tables.collect::<String>() + settings
}

fn benchmark(of: SocketAddr, tests: &str, requests: u64) -> Command {
    let mut command = command("redis-benchmark");
    command.args(["-h", &of.ip().to_string(), "-p", &of.port().to_string()]);
    command.args(["-c", &CLIENTS.to_string(), "-n", &requests.to_string()]);
    command.args(["-t", tests, "-P", "4", "-d", "1000", "--csv"]);
    command
}

/// The number at the key that the test `incr` of the benchmark counts in.
fn counter(redis: SocketAddr) -> String {
    let mut redis = TcpStream::connect(redis).unwrap();
    redis.set_read_timeout(Some(DEADLINE)).unwrap();
    redis
        .write_all(b"GET counter:__rand_int__\r\nQUIT\r\n")
        .unwrap();
    let mut answer = String::new();
    redis.read_to_string(&mut answer).unwrap();
    answer.lines().nth(1).unwrap().to_owned()
}

fn reloads() {
    let (redis, on, other) = (free(), free(), free());
    // A client from each test of the benchmark, and one that asks for the settings.
    let limits = |most: usize| {
        format!("[PeerDefault]\nConnsInbound = {most}\n[Service.redis]\nConnsInbound = {most}\n")
    };
    let folder = Folder::new(&text(&[(on, redis)], &limits(3 * CLIENTS)));
    let _redis = Process::redis(redis, &folder.path(""));
    let mut guard = folder.start("guard.toml");
    guard.address();
    let requests = 100_000;
    let mut client = Process::client(&mut benchmark(on, "set,get,incr,lpush", requests));
    let mut reloads = 0;
    while !client.has_ended() {
        let (listeners, most) = match reloads % 2 {
            0 => (&[(on, redis), (other, redis)][..], 4 * CLIENTS),
            _ => (&[(on, redis)][..], 3 * CLIENTS),
        };
        folder.write("guard.toml", &text(listeners, &limits(most)));
        guard.line("limits reloaded");
        reloads += 1;
    }
    let rows = client.output();
    for test in ["SET", "GET", "INCR", "LPUSH"] {
        assert!(rows.contains(&format!("\"{test}")), "{rows}");
    }
    assert_eq!(counter(redis), requests.to_string());
    assert!(reloads > 1, "{reloads}");
    assert_eq!(guard.count("warning"), 0);
}

fn drain() {
    let (redis, on) = (free(), free());
    let settings = "[guard]\ndrain = \"10m\"\nview = \"127.0.0.1:0\"\n";
    let folder = Folder::new(&text(&[(on, redis)], settings));
    let _redis = Process::redis(redis, &folder.path(""));
    let mut guard = folder.start("guard.toml");
    guard.address();
    let view = guard.view();
    let requests = 200_000;
    let mut client = Process::client(&mut benchmark(on, "incr", requests));
    eventually("the benchmark runs", || {
        json(view)["system"]["used"]["conns-inbound"] == CLIENTS
    });
    guard.signal("TERM");
    guard.line("SIGTERM: no new connections are accepted; 40 connections may go on");
    assert!(!client.has_ended(), "the benchmark runs");
    client.output();
    assert_eq!(counter(redis), requests.to_string());
    let (status, lines) = guard.end();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert_eq!(
        lines.last().unwrap(),
        "the proxy has ended; idle connections closed: 0, connections cut: 0",
    );
}

fn headers() {
    let (front, on, back) = (free(), free(), free());
    let protocol = "proxy-protocol = { accept-from = [\"127.0.0.0/8\"], send = \"v1\" }\n";
    let folder = Folder::new(&text(&[(on, back)], protocol));
    fs::write(
        folder.path("nginx.conf"),
        format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n\
             server {{ listen {back} proxy_protocol; return 200 \"$proxy_protocol_addr\"; }} }}\n"
        ),
    )
    .unwrap();
    fs::write(
        folder.path("haproxy.cfg"),
        format!(
            "defaults\n mode tcp\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n\
             listen front\n bind {front}\n server guard {on} send-proxy-v2\n"
        ),
    )
    .unwrap();
    let folder_of_nginx = folder.path("");
    let mut nginx = command("nginx");
    nginx.arg("-p").arg(&folder_of_nginx);
    nginx.args(["-c", "nginx.conf", "-e", "stderr"]);
    let _nginx = Process::serve(&mut nginx, back);
    let mut guard = folder.start("guard.toml");
    guard.address();
    let mut haproxy = command("haproxy");
    haproxy.arg("-db").arg("-f").arg(folder.path("haproxy.cfg"));
    let _haproxy = Process::serve(&mut haproxy, front);

    for from in [[127, 0, 0, 8], [127, 0, 0, 9]].map(IpAddr::from) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&front.into()).unwrap();
        let mut client = TcpStream::from(socket);
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with(&format!("\r\n\r\n{from}")), "{answer}");
    }
}
