//! A gRPC service without generated code: its messages are bytes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tower::service_fn;
use tower_service::Service;

/// Messages are bytes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; from.remaining()];
        from.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}

/// A service with these calls:
///
/// | path | answer |
/// | --- | --- |
/// | `/test.Echo/Say` | the message of the request, once `go` has a permit |
/// | `/test.Echo/Count` | the length of each message of the request, as the messages arrive |
/// | `/test.Echo/Watch` | a message for each permit of `go`, without end |
#[derive(Debug, Clone)]
pub struct Echo {
    pub go: Arc<Semaphore>,
}

impl Echo {
    /// A service that answers at once.
    pub fn ready() -> Self {
        Self {
            go: Arc::new(Semaphore::new(1_000_000)),
        }
    }

    /// A service that answers when `go` gets permits.
    pub fn held() -> Self {
        Self {
            go: Arc::new(Semaphore::new(0)),
        }
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

type Answer = http::Response<tonic::body::Body>;
type Messages = ReceiverStream<Result<Vec<u8>, Status>>;

impl<B> Service<http::Request<B>> for Echo
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let go = self.go.clone();
        let mut grpc = Grpc::new(Raw);
        Box::pin(async move {
            let answer = match request.uri().path() {
                "/test.Echo/Say" => {
                    let say = service_fn(move |request| say(go.clone(), request));
                    grpc.unary(say, request).await
                }
                "/test.Echo/Count" => grpc.streaming(service_fn(count), request).await,
                "/test.Echo/Watch" => {
                    let watch = service_fn(move |request| watch(go.clone(), request));
                    grpc.server_streaming(watch, request).await
                }
                _ => Status::unimplemented("no such call").into_http(),
            };
            Ok(answer)
        })
    }
}

async fn say(go: Arc<Semaphore>, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Status> {
    go.acquire().await.expect("it is open").forget();
    Ok(Response::new(request.into_inner()))
}

async fn count(request: Request<Streaming<Vec<u8>>>) -> Result<Response<Messages>, Status> {
    let mut messages = request.into_inner();
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let answer = match messages.message().await {
                Ok(None) => break,
                Ok(Some(message)) => Ok(message.len().to_string().into_bytes()),
                Err(status) => Err(status),
            };
            let ends = answer.is_err();
            if send.send(answer).await.is_err() || ends {
                break;
            }
        }
    });
    Ok(Response::new(ReceiverStream::new(receive)))
}

async fn watch(go: Arc<Semaphore>, _: Request<Vec<u8>>) -> Result<Response<Messages>, Status> {
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let permit = tokio::select! {
                // The client is gone.
                () = send.closed() => break,
                permit = go.acquire() => permit,
            };
            permit.expect("it is open").forget();
            if send.send(Ok(b"tick".to_vec())).await.is_err() {
                break;
            }
        }
    });
    Ok(Response::new(ReceiverStream::new(receive)))
}
