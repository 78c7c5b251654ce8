//! Bodies that wait for room, and bodies that keep their handler waiting. Time is paused, so it goes
//! on only when nothing else can happen.

mod layer_support;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use layer_support::*;
use rcmgr_atomic::{Error, Manager, Priority};
use rcmgr_tower::{BodyBudget, Refusal, RequestBody, RequestScopes, ResponseBody};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// A layer with this budget, for a manager with this much memory. All of it may be used.
fn layer_of(memory: u64, budget: BodyBudget) -> (Manager, RequestScopes) {
    let manager = manager_of(memory);
    let layer = RequestScopes::new(&manager)
        .memory_per_request(0)
        .priority(|_| Priority::Always)
        .body(budget);
    (manager, layer)
}

/// Sends a body to a handler that collects it.
async fn send(layer: &RequestScopes, body: SentBody) -> Response<ResponseBody<Full<Bytes>>> {
    let service = layer.layer(service_fn(collect));
    let response = service.oneshot(post(body)).await;
    response.expect("a refusal is a response")
}

fn refusal_of<B>(response: &Response<B>) -> &Refusal {
    let refusal = response.extensions().get();
    refusal.expect("it is refused")
}

#[tokio::test(start_paused = true)]
async fn a_chunk_waits_for_room_and_gets_it() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(1000).wait(SECOND));
    let others = manager.view_system();
    others.reserve_memory(500, Priority::Always).unwrap();
    let (mut sender, body) = sent_body();
    sender.send_data(bytes(300)).await.unwrap();
    sender.send_data(bytes(300)).await.unwrap();
    let mut sent = task::spawn(send(&layer, body));
    assert_pending!(sent.poll());
    assert_eq!(memory(&manager), 800);
    // It is in a queue of the engine, and every view shows that it waits.
    let waiting = manager.waiting();
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].requests, waiting[0].amount), (1, 300));
    advance(SECOND / 2).await;
    assert_pending!(sent.poll());
    others.release_memory(100);
    assert!(sent.is_woken());
    assert_pending!(sent.poll());
    assert_eq!(memory(&manager), 1000);
    assert!(manager.waiting().is_empty());
    drop(sender);
    let response = sent.await;
    assert_eq!(response.status(), StatusCode::OK);
    // Nobody was refused.
    let refusals = manager.all_refusals();
    assert_eq!(refusals.iter().map(|class| class.total()).sum::<u64>(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_waits_in_vain_is_refused_with_the_scope_that_is_full() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(1000).wait(SECOND));
    let others = manager.view_system();
    others.reserve_memory(900, Priority::Always).unwrap();
    let (mut sender, body) = sent_body();
    sender.send_data(bytes(200)).await.unwrap();
    let start = Instant::now();
    let response = send(&layer, body).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(header_of(&response, header::RETRY_AFTER).is_some());
    let waited = start.elapsed();
    let most = SECOND + Duration::from_millis(1);
    assert!((SECOND * 7 / 8..=most).contains(&waited), "{waited:?}");
    let Refusal::NoRoom(error) = refusal_of(&response) else {
        panic!("{response:?}", response = refusal_of(&response));
    };
    assert_eq!(
        error.to_string(),
        "system refused 200 bytes of memory: 900 of 1000 in use"
    );
    assert!(manager.waiting().is_empty());
    let refusals = manager.all_refusals();
    assert_eq!(refusals.iter().map(|class| class.total()).sum::<u64>(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_would_not_fit_alone_does_not_wait() {
    let (_, layer) = layer_of(1000, BodyBudget::per_request(5000).wait(SECOND));
    let (mut sender, body) = sent_body();
    for _ in 0..3 {
        sender.send_data(bytes(400)).await.unwrap();
    }
    let start = Instant::now();
    let response = send(&layer, body).await;
    // The third chunk fits in none of the limits together with the first two.
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(matches!(refusal_of(&response), Refusal::LargerThanLimit(_)));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn two_bodies_that_wait_for_each_other_end_with_one_refusal() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(800).wait(SECOND));
    let mut senders = Vec::new();
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let (mut sender, body) = sent_body();
        sender.send_data(bytes(400)).await.unwrap();
        senders.push(sender);
        bodies.push(body);
    }
    let [one, two] = <[_; 2]>::try_from(bodies).unwrap();
    let mut first = task::spawn(send(&layer, one));
    let mut second = task::spawn(send(&layer, two));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    for mut sender in senders {
        sender.send_data(bytes(400)).await.unwrap();
    }
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(
        manager
            .waiting()
            .iter()
            .map(|scope| scope.requests)
            .sum::<u64>(),
        2
    );
    // Both have reached their deadline when the first one is polled.
    advance(SECOND * 2).await;
    assert_eq!(first.await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let response = second.await;
    assert_eq!(response.status(), StatusCode::OK);
    drop(response);
    assert_eq!(memory(&manager), 0);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_wait_together_do_not_give_up_together() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(300).wait(SECOND));
    let others = manager.view_system();
    others.reserve_memory(950, Priority::Always).unwrap();
    let mut requests = JoinSet::new();
    let mut senders = Vec::new();
    for _ in 0..10 {
        let (sender, body) = sent_body();
        requests.spawn(layer.layer(service_fn(collect)).oneshot(post(body)));
        senders.push(sender);
    }
    // All heads are admitted before the first body waits.
    tokio::task::yield_now().await;
    for sender in &mut senders {
        sender.send_data(bytes(100)).await.unwrap();
    }
    let start = Instant::now();
    let mut times = BTreeSet::new();
    while let Some(response) = requests.join_next().await {
        let status = response.unwrap().unwrap().status();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        times.insert(start.elapsed());
    }
    assert!(times.len() > 1, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn of_many_bodies_that_wait_for_each_other_some_end_well() {
    const BODIES: usize = 20;
    // All have a fifth of what they need when there is no more room.
    let (manager, layer) = layer_of(1200, BodyBudget::per_request(300).wait(SECOND));
    let mut requests = JoinSet::new();
    let mut senders = Vec::new();
    for _ in 0..BODIES {
        let (mut sender, body) = sent_body();
        let service = layer.layer(service_fn(collect));
        requests.spawn(service.oneshot(post(body)));
        sender.send_data(bytes(60)).await.unwrap();
        senders.push(sender);
    }
    while memory(&manager) < 1200 {
        tokio::task::yield_now().await;
    }
    for mut sender in senders {
        sender.send_data(bytes(240)).await.unwrap();
    }
    let responses = requests.join_all().await;
    let is_served = |response: &&Result<Response<_>, _>| {
        let response = response.as_ref().expect("a refusal is a response");
        response.status().is_success()
    };
    let served = responses.iter().filter(is_served).count();
    drop(responses);
    // Each that gives up makes room for a fourth of what another one needs.
    assert!(served >= 2, "{served} of {BODIES} are served");
    assert_eq!(memory(&manager), 0);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_waits_is_still_part_of_the_body() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(1000).wait(SECOND));
    let others = manager.view_system();
    others.reserve_memory(900, Priority::Always).unwrap();
    let echo = service_fn(async |request: Request<RequestBody<Full<Bytes>>>| {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    let request = post(Full::new(bytes(200)));
    let response = layer.layer(echo).oneshot(request).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(200));
    let mut frame = task::spawn(body.frame());
    assert_pending!(frame.poll());
    drop(frame);
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(200));
    others.release();
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let manager = manager(|limits| {
        limits.system.memory = 1000.into();
        limits.waiters = 1.into();
    });
    let layer = RequestScopes::new(&manager)
        .memory_per_request(0)
        .priority(|_| Priority::Always)
        .body(BodyBudget::per_request(1000).wait(SECOND));
    let others = manager.view_system();
    others.reserve_memory(900, Priority::Always).unwrap();
    let (mut one, body) = sent_body();
    let mut first = task::spawn(send(&layer, body));
    assert_pending!(first.poll());
    let (mut two, body) = sent_body();
    let mut second = task::spawn(send(&layer, body));
    assert_pending!(second.poll());
    one.send_data(bytes(200)).await.unwrap();
    assert_pending!(first.poll());
    two.send_data(bytes(200)).await.unwrap();
    let start = Instant::now();
    let second = second.await;
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(start.elapsed(), Duration::ZERO);
    let Refusal::NoRoom(Error::QueueFull(full)) = refusal_of(&second) else {
        panic!("{:?}", refusal_of(&second));
    };
    assert_eq!(full.waiting, 1);
}

/// Sends so many chunks of 100 bytes, one after each pause.
fn send_slowly(chunks: u32, pause: Duration) -> SentBody {
    let (mut sender, body) = sent_body();
    tokio::spawn(async move {
        for _ in 0..chunks {
            sleep(pause).await;
            if sender.send_data(bytes(100)).await.is_err() {
                break;
            }
        }
    });
    body
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_next_chunk_does_not_come_is_refused() {
    let budget = BodyBudget::per_request(10_000).next_chunk_within(SECOND);
    let (manager, layer) = layer_of(10_000, budget);
    let (mut sender, body) = sent_body();
    sender.send_data(bytes(100)).await.unwrap();
    let response = send(&layer, body).await;
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(header_of(&response, header::CONNECTION), Some("close"));
    assert_eq!(
        refusal_of(&response),
        &Refusal::TooSlow {
            waited: SECOND,
            length: 100
        }
    );
    assert_eq!(memory(&manager), 0);
    drop(sender);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_that_meets_each_deadline_passes() {
    let budget = BodyBudget::per_request(10_000).next_chunk_within(SECOND);
    let (_, layer) = layer_of(10_000, budget);
    let response = send(&layer, send_slowly(100, SECOND / 2)).await;
    assert_eq!(read(response).await, "10000");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_refused_by_its_rate() {
    // 100 bytes in each second are too slow, and 100 in each half of a second are not.
    let budget = BodyBudget::per_request(10_000).no_slower_than(150, SECOND * 7 / 2);
    let (_, layer) = layer_of(10_000, budget);
    let response = send(&layer, send_slowly(100, SECOND / 2)).await;
    assert_eq!(read(response).await, "10000");

    let start = Instant::now();
    let response = send(&layer, send_slowly(100, SECOND)).await;
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    // After 8 seconds it has 800 bytes, which may take 5.3 seconds. With the grace that is 8.8
    // seconds, and the next chunk comes after 9.
    let waited = start.elapsed();
    assert!((SECOND * 8..SECOND * 9).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_handler_is_not_that_of_the_client() {
    let budget = BodyBudget::per_request(10_000)
        .next_chunk_within(SECOND)
        .no_slower_than(1000, SECOND);
    let (_, layer) = layer_of(10_000, budget);
    let slow_handler = service_fn(async |request: Request<RequestBody<SentBody>>| {
        let mut body = request.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.into_data().unwrap().len();
            sleep(SECOND * 60).await;
        }
        Ok::<_, BoxError>(text(length))
    });
    let body = send_slowly(20, SECOND / 20);
    let response = layer.layer(slow_handler).oneshot(post(body)).await.unwrap();
    assert_eq!(read(response).await, "2000");
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_room_is_not_that_of_the_client() {
    let budget = BodyBudget::per_request(1000)
        .wait(SECOND * 60)
        .next_chunk_within(SECOND);
    let (manager, layer) = layer_of(1000, budget);
    let others = manager.view_system();
    others.reserve_memory(950, Priority::Always).unwrap();
    tokio::spawn(async move {
        sleep(SECOND * 30).await;
        others.release();
    });
    let response = send(&layer, send_slowly(3, SECOND / 2)).await;
    assert_eq!(read(response).await, "300");
}

#[tokio::test(start_paused = true)]
async fn times_without_end_are_no_deadline() {
    let budget = BodyBudget::per_request(1000)
        .wait(Duration::MAX)
        .next_chunk_within(Duration::MAX)
        .no_slower_than(1, Duration::MAX);
    let (manager, layer) = layer_of(1000, budget);
    let others = manager.view_system();
    others.reserve_memory(950, Priority::Always).unwrap();
    tokio::spawn(async move {
        sleep(SECOND * 3600).await;
        others.release();
    });
    let response = send(&layer, send_slowly(3, SECOND * 3600)).await;
    assert_eq!(read(response).await, "300");
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_end_may_be_polled_often() {
    let budget = BodyBudget::per_request(1000).next_chunk_within(Duration::MAX);
    let (_manager, layer) = layer_of(1000, budget);
    let (mut sender, body) = sent_body();
    let mut sent = task::spawn(send(&layer, body));
    for _ in 0..3 {
        assert_pending!(sent.poll());
        advance(SECOND).await;
    }
    sender.send_data(bytes(100)).await.unwrap();
    drop(sender);
    assert_eq!(read(sent.await).await, "100");
}
