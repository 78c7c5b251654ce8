//! A client of HTTP/2 on the level of frames: as many streams as wanted, and resets.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::within;

/// A connection.
pub struct Client {
    /// The address of this end; unspecified without a socket.
    pub local_addr: SocketAddr,
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("the socket is open");
        let local_addr = stream.local_addr().expect("the socket is open");
        let mut client = Self::on(stream).await;
        client.local_addr = local_addr;
        client
    }

    /// A client on any kind of stream.
    pub async fn on(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let handshake = h2::client::Builder::new()
            // The server decides how many streams there are, not this client.
            .initial_max_send_streams(100_000)
            .handshake::<_, Bytes>(stream);
        let (requests, connection) = within("handshake", handshake)
            .await
            .expect("the server knows HTTP/2");
        Self {
            local_addr: SocketAddr::from(([0, 0, 0, 0], 0)),
            requests,
            connection: tokio::spawn(connection),
        }
    }

    /// Opens a stream with a head. It waits while the server allows no further stream.
    pub async fn open(
        &self,
        request: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        let mut requests = within("a stream", self.requests.clone().ready()).await?;
        requests.send_request(request, end)
    }

    /// Sends a request without a body, and waits for the head of the response.
    pub async fn get(&self, uri: &str) -> Result<StatusCode, h2::Error> {
        let (response, _) = self.open(get(uri), true).await?;
        Ok(within("a response", response).await?.status())
    }

    /// Closes the connection.
    pub async fn close(self) {
        self.connection.abort();
        let _ = self.connection.await;
    }

    /// Waits until the server closes the connection.
    pub async fn closed(self) {
        let ended = within("the end of the connection", self.connection).await;
        // With an error or without: both are an end.
        let _ = ended.expect("the client does not panic");
    }
}

/// The head of a request without a body.
pub fn get(uri: &str) -> Request<()> {
    head(Method::GET, uri)
}

/// The head of a request with a body.
pub fn post(uri: &str) -> Request<()> {
    head(Method::POST, uri)
}

fn head(method: Method, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .body(())
        .expect("the head is valid")
}

/// The whole body of a response.
pub async fn body(response: http::Response<h2::RecvStream>) -> Result<Vec<u8>, h2::Error> {
    let mut stream = response.into_body();
    let mut body = Vec::new();
    while let Some(data) = within("a body", stream.data()).await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok(body)
}
