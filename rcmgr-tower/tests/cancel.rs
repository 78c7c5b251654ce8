//! Whatever is dropped, and whenever: nothing stays charged and nothing waits.

mod layer_support;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use http_body_util::combinators::UnsyncBoxBody;
use layer_support::*;
use proptest::prelude::*;
use rcmgr_atomic::{Manager, MemoryGuard, Priority, Scope};
use rcmgr_tower::{BodyBudget, RequestBody, RequestScopes, RequestSpan, ResponseBody};
use tower::{Layer, ServiceExt, service_fn};

type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

type AnyResponse = Response<ResponseBody<AnyBody>>;

/// A request on its way: the test polls it step by step.
enum Served {
    Future(Pin<Box<dyn Future<Output = Result<AnyResponse, BoxError>>>>),
    Response(AnyResponse),
    Ended,
}

impl Served {
    fn new(future: impl Future<Output = Result<AnyResponse, BoxError>> + 'static) -> Self {
        Self::Future(Box::pin(future))
    }

    /// Polls it once: the future, then the body of the response.
    fn poll(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        match self {
            Self::Future(future) => {
                if let Poll::Ready(response) = future.as_mut().poll(cx) {
                    *self = response.map_or(Self::Ended, Self::Response);
                }
            }
            Self::Response(response) => {
                if let Poll::Ready(None) = Pin::new(response.body_mut()).poll_frame(cx) {
                    *self = Self::Ended;
                }
            }
            Self::Ended => {}
        }
    }

    fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Response(response) => Some(response.status()),
            Self::Future(_) | Self::Ended => None,
        }
    }
}

/// Handlers of different kinds.
#[derive(Debug, Clone, Copy)]
enum Handler {
    /// Collects the body, and answers with its length.
    Collects,
    /// Streams the body into the response.
    Streams,
    /// Reserves memory of its own, and waits for more.
    Reserves,
    /// Reads the body in a task of its own, which outlives the request.
    Spawns,
}

impl Handler {
    async fn handle(
        self,
        request: Request<RequestBody<SentBody>>,
    ) -> Result<Response<AnyBody>, BoxError> {
        let span = request.extensions().get::<RequestSpan>().cloned();
        let span = span.expect("the layer gives the request a span");
        let mut body = request.into_body();
        let text = match self {
            Self::Collects => body.collect().await?.to_bytes().len(),
            Self::Streams => return Ok(Response::new(body.boxed_unsync())),
            Self::Reserves => {
                let _room = span.reserve(50, Priority::Always)?;
                body.frame().await.ok_or("there is a frame")??;
                let more = span.reserve_when_available(300, Priority::Always).await?;
                body.collect().await?;
                usize::try_from(more.size())?
            }
            Self::Spawns => tokio::spawn(body.collect()).await??.to_bytes().len(),
        };
        Ok(text_body(text))
    }
}

fn text_body(length: usize) -> Response<AnyBody> {
    let full = layer_support::text(length);
    full.map(|body| body.map_err(|never| match never {}).boxed_unsync())
}

/// A request beside others that hold memory.
struct Scene {
    manager: Manager,
    others: Option<MemoryGuard<Box<Scope>>>,
    sender: Option<BodySender>,
    served: Option<Served>,
}

impl Scene {
    /// 1000 bytes in all; others hold 500 of them, and the request 100.
    fn new(handler: Handler, budget: BodyBudget) -> Self {
        let manager = manager_of(1000);
        let system = Box::new(manager.view_system());
        let others = MemoryGuard::new(system, 500, Priority::Always).expect("there is room");
        let layer = RequestScopes::new(&manager)
            .memory_per_request(100)
            .priority(|_| Priority::Always)
            .body(budget);
        let (sender, body) = sent_body();
        let service = layer.layer(service_fn(move |request| handler.handle(request)));
        let served = Served::new(service.oneshot(post(body)));
        Self {
            manager,
            others: Some(others),
            sender: Some(sender),
            served: Some(served),
        }
    }

    /// What happens before the poll of this number.
    fn happen(&mut self, step: usize) {
        match step {
            // The third chunk has to wait, or is refused.
            1..=3 => self.send(200),
            4 => self.others = None,
            5 => self.send(100),
            6 => self.sender = None,
            _ => {}
        }
    }

    fn send(&mut self, length: usize) {
        let sender = self.sender.as_mut().expect("the body has not ended");
        // The body may be gone.
        let _ = sender.try_send(Frame::data(bytes(length)));
    }

    /// Everything but what is to be seen is gone.
    fn assert_nothing_is_left(self, case: &str) {
        drop((self.others, self.sender, self.served));
        let stat = self.manager.stat();
        assert!(stat.system.is_zero(), "{case}: {stat:?}");
        assert!(self.manager.waiting().is_empty(), "{case}");
    }
}

/// More than any of the requests takes.
const STEPS: usize = 14;

/// What is dropped.
#[derive(Debug, Clone, Copy)]
enum Dropped {
    /// The response future or the response, by the server.
    Request,
    /// The sending end of the body, with an error: the client has broken the connection off.
    Client,
    /// The runtime with all its tasks.
    Runtime,
}

#[test]
fn a_request_that_is_dropped_at_any_poll_leaves_nothing() {
    let handlers = [
        Handler::Collects,
        Handler::Streams,
        Handler::Reserves,
        Handler::Spawns,
    ];
    let budget = BodyBudget::per_request(1000);
    let waits = budget.wait(Duration::from_secs(1));
    let paced = waits.next_chunk_within(Duration::from_secs(1));
    let budgets = [budget, waits, paced, budget.streamed(), paced.streamed()];
    let mut ended = 0;
    for (handler, budget) in handlers.iter().flat_map(|h| budgets.map(|b| (*h, b))) {
        for dropped in [Dropped::Request, Dropped::Client, Dropped::Runtime] {
            for last in 0..STEPS {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .start_paused(true)
                    .build()
                    .unwrap();
                let in_runtime = runtime.enter();
                let mut scene = Scene::new(handler, budget);
                for step in 0..last {
                    scene.happen(step);
                    scene.served.as_mut().unwrap().poll();
                    // Tasks beside the request go on.
                    runtime.block_on(tokio::task::yield_now());
                }
                ended += usize::from(matches!(scene.served, Some(Served::Ended)));
                match dropped {
                    Dropped::Request => scene.served = None,
                    Dropped::Client => {
                        if let Some(sender) = scene.sender.take() {
                            sender.abort("the client is gone".into());
                        }
                        scene.served.as_mut().unwrap().poll();
                    }
                    Dropped::Runtime => {}
                }
                drop(in_runtime);
                drop(runtime);
                let case = format!("{handler:?} {budget:?} {dropped:?} after {last} polls");
                scene.assert_nothing_is_left(&case);
            }
        }
    }
    // The steps reach the end of the requests.
    assert!(ended > handlers.len() * budgets.len(), "{ended}");
}

#[test]
fn many_bodies_that_wait_and_are_dropped_leave_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _in_runtime = runtime.enter();
    let manager = manager_of(1000);
    let layer = RequestScopes::new(&manager)
        .memory_per_request(0)
        .priority(|_| Priority::Always)
        .body(BodyBudget::per_request(1000).wait(Duration::from_secs(1)));
    let service = layer.layer(service_fn(|request| Handler::Collects.handle(request)));
    let system = manager.view_system();
    for _ in 0..10_000 {
        let (mut sender, body) = sent_body();
        let mut served = Served::new(service.clone().oneshot(post(body)));
        served.poll();
        let others = system.reserve(1000, Priority::Always).unwrap();
        sender.try_send(Frame::data(bytes(10))).unwrap();
        served.poll();
        assert_eq!(manager.waiting().len(), 1);
        drop(served);
        assert!(manager.waiting().is_empty());
        drop(others);
    }
    assert!(manager.stat().system.is_zero());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_on_many_threads_that_are_refused_or_broken_off_leave_nothing() {
    let manager = manager_of(20_000);
    let budget = BodyBudget::per_request(3000).wait(Duration::from_millis(2));
    let collecting = RequestScopes::new(&manager)
        .memory_per_request(100)
        .priority(|_| Priority::Always)
        .body(budget);
    let streaming = collecting.clone().body(budget.streamed());
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..4000_u32 {
        let (layer, streams) = match number % 2 {
            0 => (&collecting, false),
            _ => (&streaming, true),
        };
        let handler = move |request: Request<RequestBody<Channel<Bytes, Infallible>>>| async move {
            let body = request.into_body();
            if streams {
                return Ok::<_, Infallible>(Response::new(body.boxed_unsync()));
            }
            let collected = body.collect().await;
            Ok(text_body(usize::from(collected.is_ok())))
        };
        let service = layer.layer(service_fn(handler));
        let (mut sender, body) = Channel::new(1000);
        let served: Pin<Box<dyn Future<Output = Result<AnyResponse, Infallible>> + Send>> =
            Box::pin(service.oneshot(post(body)));
        requests.spawn(async move {
            let mut random = fastrand::Rng::with_seed(number.into());
            let sends = async {
                for _ in 0..random.u8(0..8) {
                    let _ = sender.send_data(bytes(random.usize(0..600))).await;
                    tokio::task::yield_now().await;
                }
                drop(sender);
                std::future::pending::<()>().await;
            };
            let served = async {
                let response = served.await.ok()?;
                let status = response.status();
                let mut body = response.into_body();
                while let Some(frame) = body.frame().await {
                    frame.ok()?;
                }
                Some(status)
            };
            // Some are broken off.
            let patience = Duration::from_millis(u64::from(number % 7) * 10);
            tokio::select! {
                served = served => served,
                () = sends => None,
                () = tokio::time::sleep(patience) => None,
            }
        });
    }
    let statuses = requests.join_all().await;
    let are = |status| statuses.iter().filter(|&&is| is == Some(status)).count();
    assert!(are(StatusCode::OK) > 0, "some are served");
    let stat = manager.stat();
    assert!(stat.system.is_zero(), "{stat:?}");
    assert!(manager.waiting().is_empty());
}

/// What may happen to one of several requests.
#[derive(Debug, Clone)]
enum Step {
    Start,
    Chunk(u64),
    EndBody,
    ReadResponse,
    Drop,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        2 => Just(Step::Start),
        6 => (0_u64..400).prop_map(Step::Chunk),
        1 => Just(Step::EndBody),
        1 => Just(Step::ReadResponse),
        1 => Just(Step::Drop),
    ];
    (0_usize..REQUESTS, step)
}

const REQUESTS: usize = 4;
const LIMIT: u64 = 1000;
const BASE: u64 = 50;
const MOST: u64 = 600;

/// A request as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Expected {
    #[default]
    None,
    /// It reads its body: how much has arrived, and how much is charged for it.
    Reading { so_far: u64, held: u64 },
    /// It has answered, and holds this much until the response has been read.
    Answered { status: StatusCode, held: u64 },
}

impl Expected {
    fn held(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Reading { held, .. } => BASE + held,
            Self::Answered { held, .. } => held,
        }
    }

    fn refused(status: StatusCode) -> Self {
        Self::Answered { status, held: 0 }
    }

    /// What becomes of it when a chunk arrives beside others that hold so much.
    fn chunk(self, size: u64, others: u64, is_streamed: bool) -> Self {
        let Self::Reading { so_far, held } = self else {
            return self;
        };
        let so_far = so_far + size;
        let in_all = BASE + held + size;
        if so_far > MOST || in_all > LIMIT {
            Self::refused(StatusCode::PAYLOAD_TOO_LARGE)
        } else if others + in_all > LIMIT {
            Self::refused(StatusCode::SERVICE_UNAVAILABLE)
        } else {
            // The handler asks for the next chunk at once.
            let held = if is_streamed { 0 } else { held + size };
            Self::Reading { so_far, held }
        }
    }
}

proptest! {
    #[test]
    fn charges_are_those_of_a_plain_model(
        steps in proptest::collection::vec(step(), 1..60),
        is_streamed: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _in_runtime = runtime.enter();
        let manager = manager_of(LIMIT);
        let budget = BodyBudget::per_request(MOST);
        let layer = RequestScopes::new(&manager)
            .memory_per_request(BASE)
            .priority(|_| Priority::Always)
            .body(if is_streamed { budget.streamed() } else { budget });
        let discards = async |request: Request<RequestBody<SentBody>>| {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok::<_, BoxError>(text_body(0))
        };
        let service = layer.layer(service_fn(discards));

        let mut requests: [Option<(Option<BodySender>, Served)>; REQUESTS] = Default::default();
        let mut expected = [Expected::None; REQUESTS];
        for (number, step) in steps {
            let others: u64 = expected.iter().enumerate()
                .map(|(other, expected)| if other == number { 0 } else { expected.held() })
                .sum();
            let request = &mut requests[number];
            let model = &mut expected[number];
            match (step, &mut *request) {
                (Step::Start, None) => {
                    let (sender, body) = sent_body();
                    let served = Served::new(service.clone().oneshot(post(body)));
                    *request = Some((Some(sender), served));
                    *model = if others + BASE > LIMIT {
                        Expected::refused(StatusCode::SERVICE_UNAVAILABLE)
                    } else {
                        Expected::Reading { so_far: 0, held: 0 }
                    };
                }
                (Step::Chunk(size), Some((Some(sender), _))) => {
                    let frame = Frame::data(bytes(size as usize));
                    // The body of a refused request may be gone.
                    let is_sent = sender.try_send(frame).is_ok();
                    let is_read = matches!(model, Expected::Reading { .. });
                    prop_assert!(is_sent || !is_read);
                    *model = model.chunk(size, others, is_streamed);
                }
                (Step::EndBody, Some((sender, _))) => {
                    *sender = None;
                    if let &mut Expected::Reading { held, .. } = model {
                        let status = StatusCode::OK;
                        *model = Expected::Answered { status, held: BASE + held };
                    }
                }
                (Step::ReadResponse, Some((_, served @ Served::Response(_)))) => {
                    served.poll();
                    if let Expected::Answered { held, .. } = model {
                        *held = 0;
                    }
                }
                (Step::Drop, _) => {
                    *request = None;
                    *model = Expected::None;
                }
                _ => continue,
            }
            if let Some((_, served @ Served::Future(_))) = request {
                served.poll();
                let status = match *model {
                    Expected::Answered { status, .. } => Some(status),
                    Expected::None | Expected::Reading { .. } => None,
                };
                prop_assert_eq!(served.status(), status);
            }
            let held: u64 = expected.iter().map(|expected| expected.held()).sum();
            prop_assert_eq!(memory(&manager), held);
        }
        drop(requests);
        prop_assert!(manager.stat().system.is_zero());
    }
}
