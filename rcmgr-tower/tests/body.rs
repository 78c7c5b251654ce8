//! The body of a request is charged as it arrives, and refused when it is too large or there is no
//! room.

mod layer_support;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use layer_support::*;
use rcmgr_atomic::{Limit, MIB, Priority, ScopeClass};
use rcmgr_tower::{BodyBudget, Refusal, RequestBody, RequestScopes};
use tower::{Layer, Service, ServiceExt, service_fn};

const PER_REQUEST: u64 = RequestScopes::MEMORY_PER_REQUEST;

/// A layer with this budget, for a manager with this much memory. All of it may be used.
fn layer_of(memory: u64, budget: BodyBudget) -> (rcmgr_atomic::Manager, RequestScopes) {
    let manager = manager_of(memory);
    let layer = RequestScopes::new(&manager)
        .memory_per_request(0)
        .priority(|_| Priority::Always)
        .body(budget);
    (manager, layer)
}

/// The status of the answer to this request, by a handler that collects the body.
async fn status_of<B>(layer: &RequestScopes, request: Request<B>) -> StatusCode
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let service = layer.layer(service_fn(collect));
    let response = service.oneshot(request).await;
    response.expect("a refusal is a response").status()
}

/// A body of chunks of these sizes, without a length.
async fn chunks(sizes: &[usize]) -> SentBody {
    let (mut sender, body) = sent_body();
    for &size in sizes {
        sender.send_data(bytes(size)).await.unwrap();
    }
    body
}

#[tokio::test]
async fn without_content_length_a_body_is_refused_at_the_byte_that_goes_over() {
    let (manager, layer) = layer_of(MIB, BodyBudget::per_request(1000));
    let fits = post(chunks(&[400, 400, 200]).await);
    assert_eq!(status_of(&layer, fits).await, StatusCode::OK);
    let goes_over = post(chunks(&[400, 400, 200, 1]).await);
    assert_eq!(
        status_of(&layer, goes_over).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_handler_gets_no_byte_that_is_not_charged() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(MIB));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sees, asks) = (seen.clone(), manager.clone());
    let handler = service_fn(move |request: Request<RequestBody<SentBody>>| {
        let (seen, manager) = (sees.clone(), asks.clone());
        async move {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { break };
                length += frame.data_ref().map_or(0, Bytes::len) as u64;
                seen.lock().unwrap().push((length, memory(&manager)));
            }
            assert!(body.is_end_stream());
            Ok::<_, Infallible>(text("handled"))
        }
    });
    let request = post(chunks(&[300, 300, 300, 300]).await);
    let response = layer.layer(handler).oneshot(request).await.unwrap();
    // The fourth chunk would go over the limit of the scope: the whole body can never fit.
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(*seen.lock().unwrap(), [(300, 300), (600, 600), (900, 900)]);
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_declared_length_over_the_budget_is_refused_before_the_handler_runs() {
    let (manager, layer) = layer_of(MIB, BodyBudget::per_request(1000));
    let called = Arc::new(AtomicBool::new(false));
    let calls = called.clone();
    let handler = service_fn(move |request| {
        calls.store(true, Ordering::Relaxed);
        collect(request)
    });
    let service = layer.layer(handler);
    // More digits than any number has are more than any budget, too.
    for length in ["1001", "18446744073709551616", "99999999999999999999999999"] {
        let (sender, body) = sent_body();
        let response = service
            .clone()
            .oneshot(post_of(length, body))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let text = read(response).await;
        assert_eq!(
            text,
            "The body of the request is too large: at most 1000 bytes are allowed.\n"
        );
        drop(sender);
    }
    assert!(!called.load(Ordering::Relaxed));
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_body_that_knows_its_length_needs_no_header() {
    let (_, layer) = layer_of(MIB, BodyBudget::per_request(1000));
    for (length, status) in [
        (1000, StatusCode::OK),
        (1001, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let request = post(Full::new(bytes(length)));
        assert_eq!(status_of(&layer, request).await, status);
    }
}

#[tokio::test]
async fn a_length_that_is_no_number_counts_as_none() {
    let (_, layer) = layer_of(MIB, BodyBudget::per_request(1000));
    for length in ["", "-1", "+5", "0x10", "12 34", "nine"] {
        let request = post_of(length, chunks(&[600]).await);
        assert_eq!(status_of(&layer, request).await, StatusCode::OK);
        let request = post_of(length, chunks(&[600, 600]).await);
        assert_eq!(
            status_of(&layer, request).await,
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }
}

#[tokio::test]
async fn a_body_that_is_longer_than_it_declared_is_measured_all_the_same() {
    let (manager, layer) = layer_of(MIB, BodyBudget::per_request(1000));
    let lies = post_of(10, chunks(&[600, 600]).await);
    assert_eq!(status_of(&layer, lies).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_body_that_is_shorter_than_it_declared_is_charged_for_what_arrives() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(1000));
    let service = layer.layer(service_fn(collect));
    let lies = post_of(900, chunks(&[10]).await);
    let response = service.clone().oneshot(lies).await.unwrap();
    assert_eq!(memory(&manager), 10);
    // So another body has the room.
    assert_eq!(
        status_of(&layer, post_of(900, chunks(&[900]).await)).await,
        StatusCode::OK
    );
    assert_eq!(read(response).await, "10");
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_body_larger_than_the_limit_of_any_of_its_scopes_is_refused_at_once() {
    let manager = manager(|limits| limits.conn.memory = (4 * MIB).into());
    let client = "192.0.2.7".parse().unwrap();
    let scope = connection(&manager);
    scope.set_peer(&client).unwrap();
    scope.set_service("web").unwrap();
    let layer = RequestScopes::new(&manager)
        .priority(|_| Priority::Always)
        .body(BodyBudget::per_request(8 * MIB));
    let service = layer.layer(service_fn(collect));
    let limit = |memory: u64| Limit {
        memory: memory.into(),
        ..Limit::UNLIMITED
    };
    let send = |length: u64| {
        let mut request = post_of(length, Full::new(bytes(10)));
        request.extensions_mut().insert(scope.clone());
        service.clone().oneshot(request)
    };
    let mut refused_by = Vec::new();
    let mut refuse = |response: Response<_>| {
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let Some(Refusal::LargerThanLimit(error)) = response.extensions().get() else {
            panic!("{response:?}");
        };
        let name = error.scope().unwrap().to_string();
        refused_by.push(name.split(".span").next().unwrap().to_owned());
    };
    refuse(send(5 * MIB).await.unwrap());
    manager.view_system().set_limit(limit(3 * MIB));
    refuse(send(4 * MIB - PER_REQUEST).await.unwrap());
    manager.view_service("web").set_limit(limit(2 * MIB));
    refuse(send(3 * MIB - PER_REQUEST).await.unwrap());
    manager.view_peer(&client).set_limit(limit(MIB));
    refuse(send(2 * MIB - PER_REQUEST).await.unwrap());
    let name = scope.name().to_string();
    assert_eq!(
        refused_by,
        [&name, "system", "service:web", "peer:192.0.2.7"]
    );
    // With the memory of the request itself, exactly the limit fits.
    assert_eq!(
        send(MIB - PER_REQUEST + 1).await.unwrap().status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        send(MIB - PER_REQUEST).await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(scope.stat().memory, 0);
}

#[tokio::test]
async fn the_limit_that_counts_is_the_part_that_the_priority_may_use() {
    let manager = manager_of(1000);
    let layer = RequestScopes::new(&manager)
        .memory_per_request(0)
        .body(BodyBudget::per_request(MIB));
    // 153/256 of it.
    assert_eq!(
        status_of(&layer, post_of(598, chunks(&[597]).await)).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        status_of(&layer, post_of(597, chunks(&[597]).await)).await,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_body_that_does_not_fit_beside_others_is_told_to_come_back() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(MIB));
    let others = manager.view_system();
    others.reserve_memory(500, Priority::Always).unwrap();
    let service = layer.layer(service_fn(collect));
    let response = service
        .oneshot(post(chunks(&[300, 300]).await))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(header_of(&response, header::RETRY_AFTER).is_some());
    assert_eq!(memory(&manager), 500);
    others.release();
    assert_eq!(
        status_of(&layer, post(chunks(&[300, 300]).await)).await,
        StatusCode::OK
    );
}

#[tokio::test]
async fn of_two_bodies_that_fit_singly_and_not_together_one_is_refused_and_the_other_ends_well() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(800));
    let service = layer.layer(service_fn(collect));
    let (mut one, body) = sent_body();
    let mut first = tokio_test::task::spawn(service.clone().oneshot(post(body)));
    let (mut two, body) = sent_body();
    let mut second = tokio_test::task::spawn(service.clone().oneshot(post(body)));
    for sender in [&mut one, &mut two] {
        sender.send_data(bytes(400)).await.unwrap();
    }
    assert!(first.poll().is_pending());
    assert!(second.poll().is_pending());
    assert_eq!(memory(&manager), 800);
    // Now each asks for more than there is.
    for sender in [&mut one, &mut two] {
        sender.send_data(bytes(400)).await.unwrap();
    }
    let refused = first.await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(header_of(&refused, header::RETRY_AFTER).is_some());
    // The memory of the first is free as soon as it is refused.
    assert!(second.poll().is_pending());
    assert_eq!(memory(&manager), 800);
    drop(two);
    let response = second.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(read(response).await, "800");
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn the_layer_answers_for_a_refused_body_whatever_the_handler_makes_of_it() {
    let (manager, layer) = layer_of(MIB, BodyBudget::per_request(10));
    let too_long = async || post(chunks(&[11]).await);

    let ignores = service_fn(async |request: Request<RequestBody<SentBody>>| {
        let _ = request.into_body().collect().await;
        Ok::<_, BoxError>(text("all is well"))
    });
    let response = layer
        .layer(ignores)
        .oneshot(too_long().await)
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!read(response).await.contains("well"));

    let fails = service_fn(async |request: Request<RequestBody<SentBody>>| {
        let error = request.into_body().collect().await.unwrap_err();
        // The handler finds the reason.
        let refusal = error.downcast_ref::<Refusal>();
        assert_eq!(
            refusal,
            Some(&Refusal::BodyTooLong {
                length: 11,
                most: 10
            })
        );
        Err::<Response<Full<Bytes>>, _>(error)
    });
    let response = layer.layer(fails).oneshot(too_long().await).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_refused_body_is_given_back_though_its_handler_goes_on() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(1000));
    let cleans_up = service_fn(async |request: Request<RequestBody<SentBody>>| {
        request.into_body().collect().await.unwrap_err();
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
    });
    let request = post(chunks(&[600, 600]).await);
    let mut response = tokio_test::task::spawn(layer.layer(cleans_up).oneshot(request));
    assert!(response.poll().is_pending());
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn only_over_http_1_the_rest_of_a_refused_body_is_read() {
    let (_, layer) = layer_of(MIB, BodyBudget::per_request(10));
    let mut read_on = Vec::new();
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        let (mut sender, body) = sent_body();
        sender.send_data(bytes(11)).await.unwrap();
        let mut request = post(body);
        *request.version_mut() = version;
        let status = status_of(&layer, request).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        read_on.push(sender.send_data(bytes(1)).await.is_ok());
    }
    assert_eq!(read_on, [true, true, false]);
}

#[tokio::test]
async fn after_the_head_is_sent_the_body_only_ends_with_an_error() {
    let (manager, layer) = layer_of(MIB, BodyBudget::per_request(10));
    let echo = service_fn(async |request: Request<RequestBody<SentBody>>| {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    let request = post(chunks(&[6, 6]).await);
    let response = layer.layer(echo).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    assert_eq!(
        body.frame()
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap()
            .len(),
        6
    );
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(error.is::<Refusal>());
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn what_a_handler_collects_stays_charged_until_the_response_ends() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(1000));
    let service = layer.layer(service_fn(collect));
    let response = service
        .oneshot(post(chunks(&[300, 400]).await))
        .await
        .unwrap();
    assert_eq!(memory(&manager), 700);
    assert_eq!(read(response).await, "700");
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_streamed_body_is_charged_for_one_chunk_at_a_time() {
    let budget = BodyBudget::per_request(100 * MIB).streamed();
    let (manager, layer) = layer_of(MIB, budget);
    let peak = manager.clone();
    let discards = service_fn(async |request: Request<RequestBody<SentBody>>| {
        let mut body = request.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok::<_, BoxError>(text(length))
    });
    let (mut sender, body) = sent_body();
    let sends = async {
        for _ in 0..200 {
            sender.send_data(bytes(512 * 1024)).await.unwrap();
        }
        drop(sender);
    };
    // A length over what the system has at a time is no obstacle.
    let request = post_of(100 * MIB, body);
    let (response, ()) = tokio::join!(layer.layer(discards).oneshot(request), sends);
    assert_eq!(read(response.unwrap()).await, (100 * MIB).to_string());
    assert_eq!(peak.view_system().peak().memory, 512 * 1024);
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_streamed_chunk_is_given_back_when_the_handler_asks_for_the_next_or_drops_the_body() {
    let budget = BodyBudget::per_request(MIB).streamed();
    let (manager, layer) = layer_of(1000, budget);
    let (mut sender, body) = sent_body();
    let handler = service_fn(async |request: Request<RequestBody<SentBody>>| {
        // The response streams the body.
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    let response = layer.layer(handler).oneshot(post(body)).await.unwrap();
    let mut body = response.into_body();
    sender.send_data(bytes(900)).await.unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    assert_eq!(memory(&manager), 900);
    // It asks for the next one, which is not there yet.
    let mut next = tokio_test::task::spawn(body.frame());
    assert!(next.poll().is_pending());
    assert_eq!(memory(&manager), 0);
    sender.send_data(bytes(800)).await.unwrap();
    assert!(next.is_woken());
    assert!(next.poll().is_ready());
    drop(next);
    assert_eq!(memory(&manager), 800);
    drop(body);
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn the_maximum_of_a_streamed_body_is_of_the_whole_body() {
    let budget = BodyBudget::per_request(1000).streamed();
    let (_, layer) = layer_of(MIB, budget);
    let request = post(chunks(&[600, 400]).await);
    assert_eq!(status_of(&layer, request).await, StatusCode::OK);
    let request = post(chunks(&[600, 401]).await);
    assert_eq!(
        status_of(&layer, request).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn a_chunk_of_a_streamed_body_larger_than_the_limit_is_too_large() {
    let budget = BodyBudget::per_request(MIB).streamed();
    let (_, layer) = layer_of(500, budget);
    let request = post(chunks(&[400, 400, 501]).await);
    assert_eq!(
        status_of(&layer, request).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn a_body_that_the_handler_drops_unread_is_given_back() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(1000));
    let reads_one = service_fn(async |request: Request<RequestBody<SentBody>>| {
        let mut body = request.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        drop(body);
        Ok::<_, Infallible>(text("enough"))
    });
    let request = post(chunks(&[300, 300]).await);
    let response = layer.layer(reads_one).oneshot(request).await.unwrap();
    assert_eq!(memory(&manager), 300);
    assert_eq!(read(response).await, "enough");
    assert_eq!(memory(&manager), 0);

    let service = layer.layer(service_fn(answer));
    let response = service
        .oneshot(post(chunks(&[300, 300]).await))
        .await
        .unwrap();
    assert_eq!(memory(&manager), 0);
    assert_eq!(read(response).await, "hello");
}

#[tokio::test]
async fn trailers_of_a_request_pass() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(1000));
    let (mut sender, body) = sent_body();
    let mut trailers = HeaderMap::new();
    trailers.insert("checksum", 7.into());
    sender.send_data(bytes(10)).await.unwrap();
    sender.send_trailers(trailers).await.unwrap();
    drop(sender);
    let handler = service_fn(async |request: Request<RequestBody<SentBody>>| {
        let collected = request.into_body().collect().await?;
        let checksum = collected
            .trailers()
            .map(|trailers| trailers["checksum"].clone());
        Ok::<_, BoxError>(text(checksum.unwrap().to_str()?))
    });
    let response = layer.layer(handler).oneshot(post(body)).await.unwrap();
    assert_eq!(read(response).await, "7");
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_body_that_breaks_gives_back_what_it_had() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(1000));
    let (mut sender, body) = sent_body();
    sender.send_data(bytes(10)).await.unwrap();
    sender.abort("the client is gone".into());
    let service = layer.layer(service_fn(collect));
    let error = service.oneshot(post(body)).await.unwrap_err();
    assert_eq!(error.to_string(), "the client is gone");
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_request_without_a_body_has_nothing_to_charge() {
    let (manager, layer) = layer_of(1000, BodyBudget::per_request(0));
    let handler = service_fn(async |request: Request<RequestBody<Empty<Bytes>>>| {
        let body = request.body();
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        collect(request).await
    });
    let response = layer.layer(handler).oneshot(get()).await.unwrap();
    assert_eq!(read(response).await, "0");
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn without_a_budget_a_body_passes_uncharged() {
    let manager = manager_of(10_000);
    let layer = RequestScopes::new(&manager);
    let request = post(Full::new(bytes(1_000_000)));
    let handler = service_fn(async |request: Request<RequestBody<Full<Bytes>>>| {
        assert_eq!(request.body().size_hint().exact(), Some(1_000_000));
        assert!(!request.body().is_end_stream());
        collect(request).await
    });
    let response = layer.layer(handler).oneshot(request).await.unwrap();
    assert_eq!(memory(&manager), PER_REQUEST);
    assert_eq!(read(response).await, "1000000");
}

/// A layer that inflates bodies ten times, as a decompression would.
fn inflating<S>(
    inner: S,
) -> impl Service<Request<SentBody>, Response = S::Response, Error = S::Error> + Clone
where
    S: Service<Request<SentBody>> + Clone,
{
    inner.map_request(|request: Request<SentBody>| {
        request.map(|mut small| {
            let (mut sender, large) = sent_body();
            tokio::spawn(async move {
                while let Some(Ok(frame)) = small.frame().await {
                    let mut data = BytesMut::new();
                    for _ in 0..10 {
                        data.extend_from_slice(frame.data_ref().expect("it is data"));
                    }
                    if sender.send_data(data.into()).await.is_err() {
                        break;
                    }
                }
            });
            large
        })
    })
}

#[tokio::test]
async fn inside_of_a_decompression_the_inflated_bytes_are_charged() {
    let (manager, layer) = layer_of(MIB, BodyBudget::per_request(1000));
    let service = inflating(layer.layer(service_fn(collect)));
    let response = service
        .clone()
        .oneshot(post(chunks(&[50, 50]).await))
        .await
        .unwrap();
    assert_eq!(memory(&manager), 1000);
    assert_eq!(read(response).await, "1000");
    let bomb = service
        .oneshot(post(chunks(&[50, 50, 1]).await))
        .await
        .unwrap();
    assert_eq!(bomb.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_body_longer_than_its_budget_is_counted_as_a_refusal_of_its_span() {
    let (manager, layer) = layer_of(MIB, BodyBudget::per_request(10));
    let refused = || manager.refusals(ScopeClass::Span).memory;

    // By its declared length.
    let declared = post_of(11, chunks(&[11]).await);
    assert_eq!(status_of(&layer, declared).await, 413);
    assert_eq!(refused(), 1);

    // By the bytes that have arrived.
    let arrived = post(chunks(&[10, 1]).await);
    assert_eq!(status_of(&layer, arrived).await, 413);
    assert_eq!(refused(), 2);
    assert_eq!(memory(&manager), 0);
}
