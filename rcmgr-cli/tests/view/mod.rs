//! Test servers for `rcmgr top`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use rcmgr_atomic::Manager;
use rcmgr_metrics::{Observer, http};
use serde_json::Value;
use tokio::runtime::Runtime;

/// The token of the route that sets limits.
pub const TOKEN: &str = "a token for tests";

/// The live view of a manager, served until it is dropped.
pub struct View {
    pub address: SocketAddr,
    _runtime: Runtime,
}

impl View {
    /// Serves the view on a free port, or on the port of an earlier view.
    pub fn serve(manager: &Manager, address: Option<SocketAddr>) -> Self {
        let runtime = Runtime::new().expect("there are threads");
        let address = address.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address));
        let listener = listener.expect("there is a port");
        let address = listener.local_addr().expect("it is bound");
        let router = http::router(Observer::new(manager.clone()));
        let limits = http::limits_router(manager.clone(), TOKEN);
        let router = router.nest("/admin", limits);
        runtime.spawn(axum::serve(listener, router).into_future());
        Self {
            address,
            _runtime: runtime,
        }
    }

    /// The JSON of the view.
    pub fn json(&self, query: &str) -> Value {
        let mut socket = TcpStream::connect(self.address).expect("the view is there");
        let request = format!("GET /rcmgr.json?{query} HTTP/1.0\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("it listens");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("there is a body");
        serde_json::from_str(body).expect("the body is JSON")
    }
}

/// Starts a server that sends this answer to every request. Returns its address.
pub fn says(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            let mut asked = Vec::new();
            let mut some = [0; 1024];
            while !asked.ends_with(b"\r\n\r\n") {
                match socket.read(&mut some) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => asked.extend(&some[..read]),
                }
            }
            // The client may have disconnected.
            let _ = socket.write_all(&answer);
        }
    });
    address
}

/// An answer with a body.
pub fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// A page with one scope of this name, from a server that escapes nothing.
pub fn page_of(name: &str) -> String {
    let counters = serde_json::json!({"memory": 1, "fd": 2, "streams-inbound": 3,
        "streams-outbound": 4, "conns-inbound": 5, "conns-outbound": 6});
    let limit = serde_json::json!({"memory": 100, "fd": "unlimited", "streams": "unlimited",
        "streams-inbound": "unlimited", "streams-outbound": "unlimited", "conns": 100,
        "conns-inbound": "unlimited", "conns-outbound": "unlimited"});
    let scope = serde_json::json!({"name": name, "class": "peer", "parent": name,
        "utilisation": 0.5, "fullest": name, "used": counters, "peak": counters,
        "limit": limit, "refusals": counters});
    serde_json::json!({"total": 3, "matched": 1, "offset": 0, "scopes": [scope]}).to_string()
}
