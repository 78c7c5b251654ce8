//! Each request has a span: where it is counted, how long it lives, and what a refusal looks like.

mod layer_support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use layer_support::*;
use rcmgr_atomic::{Error, Priority, ScopeClass};
use rcmgr_tower::{Refusal, RequestScopes, RequestSpan, ResponseBody};
use tower::{Layer, Service, ServiceExt, service_fn};

const PER_REQUEST: u64 = RequestScopes::MEMORY_PER_REQUEST;

fn span_of<B>(request: &Request<B>) -> RequestSpan {
    let span = request.extensions().get::<RequestSpan>();
    span.expect("the layer gives the request a span").clone()
}

/// A handler that answers with the name of the scope of the request.
async fn name<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(text(span_of(&request).name()))
}

/// Sends a request to a handler that answers with a body that the test sends.
async fn with_sent_response(
    layer: &RequestScopes,
) -> (BodySender, Response<ResponseBody<SentBody>>) {
    let (sender, body) = sent_body();
    let body = Mutex::new(Some(body));
    let handler = service_fn(|_| {
        let body = body.lock().unwrap().take().expect("there is one request");
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    let response = layer.layer(handler).oneshot(get()).await.unwrap();
    (sender, response)
}

#[tokio::test]
async fn the_body_of_a_response_holds_the_span_until_its_last_byte() {
    let manager = manager(|_| {});
    let layer = RequestScopes::new(&manager);
    let (mut sender, response) = with_sent_response(&layer).await;
    let mut body = response.into_body();
    assert_eq!(memory(&manager), PER_REQUEST);

    sender.send_data(bytes(10)).await.unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    assert_eq!(memory(&manager), PER_REQUEST);

    drop(sender);
    assert!(body.frame().await.is_none());
    // The body itself still lives.
    assert_eq!(memory(&manager), 0);
    drop(body);
}

#[tokio::test]
async fn trailers_are_the_end_of_a_response() {
    let manager = manager(|_| {});
    let layer = RequestScopes::new(&manager);
    let (mut sender, response) = with_sent_response(&layer).await;
    let mut body = response.into_body();
    sender.send_data(bytes(10)).await.unwrap();
    sender.send_trailers(HeaderMap::new()).await.unwrap();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert_eq!(memory(&manager), PER_REQUEST);
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn the_last_chunk_of_a_body_of_known_length_is_its_end() {
    let manager = manager(|_| {});
    let service = RequestScopes::new(&manager).layer(service_fn(answer));
    let mut body = service.oneshot(get()).await.unwrap().into_body();
    assert_eq!(memory(&manager), PER_REQUEST);
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(5));
    // A server asks no further: it knows that this is the last one.
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.is_end_stream());
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_response_without_a_body_ends_with_its_head() {
    let manager = manager(|_| {});
    let handler = service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
    let service = RequestScopes::new(&manager).layer(handler);
    let response = service.oneshot(get()).await.unwrap();
    assert!(response.body().is_end_stream());
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_response_that_is_dropped_or_fails_ends_its_span() {
    let manager = manager(|_| {});
    let layer = RequestScopes::new(&manager);
    let (mut sender, response) = with_sent_response(&layer).await;
    sender.send_data(bytes(10)).await.unwrap();
    assert_eq!(memory(&manager), PER_REQUEST);
    drop(response);
    assert_eq!(memory(&manager), 0);

    let (sender, response) = with_sent_response(&layer).await;
    let mut body = response.into_body();
    sender.abort("the disk is gone".into());
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the disk is gone");
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_request_is_counted_under_its_connection() {
    let manager = manager(|_| {});
    let scope = connection(&manager);
    let service = RequestScopes::new(&manager)
        .service("web")
        .layer(service_fn(name));
    let mut request = get();
    request.extensions_mut().insert(scope.clone());
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(scope.stat().memory, PER_REQUEST);
    assert_eq!(manager.view_service("web").stat().memory, 0);
    let name = read(response).await;
    let connection = format!("{}.span-", scope.name());
    assert!(name.starts_with(&connection), "{name}");
    assert_eq!(scope.stat().memory, 0);
}

#[tokio::test]
async fn without_a_connection_it_is_counted_under_the_service_or_else_the_system() {
    let manager = manager(|_| {});
    let layer = RequestScopes::new(&manager);
    let of_system = layer.layer(service_fn(name)).oneshot(get()).await.unwrap();
    assert!(read(of_system).await.starts_with("system.span-"));

    let layer = layer.service("web");
    let of_service = layer.layer(service_fn(name)).oneshot(get()).await.unwrap();
    assert_eq!(manager.stat().services["web"].memory, PER_REQUEST);
    assert!(read(of_service).await.starts_with("service:web.span-"));
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn a_layer_inside_of_another_counts_under_its_span() {
    let manager = manager(|_| {});
    let layer = RequestScopes::new(&manager).memory_per_request(100);
    let service = layer.layer(layer.clone().memory_per_request(10).layer(service_fn(name)));
    let response = service.oneshot(get()).await.unwrap();
    assert_eq!(memory(&manager), 110);
    let name = read(response).await;
    assert_eq!(name.matches(".span-").count(), 2, "{name}");
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_task_that_outlives_the_response_keeps_the_span_with_a_clone() {
    let manager = manager(|_| {});
    let kept = Arc::new(Mutex::new(None));
    let keeps = kept.clone();
    let handler = service_fn(move |request| {
        let span = span_of(&request);
        let room = span.reserve(1000, Priority::Low).expect("there is room");
        *keeps.lock().unwrap() = Some((span, room));
        answer(request)
    });
    let service = RequestScopes::new(&manager).layer(handler);
    assert_eq!(read(service.oneshot(get()).await.unwrap()).await, "hello");
    assert_eq!(memory(&manager), PER_REQUEST + 1000);
    let (span, room) = kept.lock().unwrap().take().unwrap();
    drop(room);
    assert_eq!(span.stat().memory, PER_REQUEST);
    drop(span);
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn a_handler_can_wait_for_memory() {
    let manager = manager_of(20_000);
    let scope = manager.view_system();
    let others = scope.reserve(5_000, Priority::Always).unwrap();
    let handler = service_fn(async |request| {
        let room = span_of(&request).reserve_when_available(12_000, Priority::Always);
        let room = room.await.expect("others give it back");
        Ok::<_, Infallible>(text(room.size()))
    });
    let service = RequestScopes::new(&manager).layer(handler);
    let mut response = tokio_test::task::spawn(service.oneshot(get()));
    assert!(response.poll().is_pending());
    drop(others);
    let std::task::Poll::Ready(response) = response.poll() else {
        panic!("there is room now");
    };
    assert_eq!(read(response.unwrap()).await, "12000");
    assert_eq!(memory(&manager), 0);
}

#[tokio::test]
async fn the_memory_of_a_connection_bounds_its_requests() {
    let manager = manager(|limits| limits.conn.memory = (10 * PER_REQUEST).into());
    let scope = connection(&manager);
    let layer = RequestScopes::new(&manager).priority(|_| Priority::Always);
    let service = layer.layer(service_fn(answer));
    let send = || {
        let mut request = get();
        request.extensions_mut().insert(scope.clone());
        service.clone().oneshot(request)
    };
    let mut responses = Vec::new();
    for _ in 0..10 {
        let response = send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        responses.push(response);
    }
    let refused = send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(header_of(&refused, header::RETRY_AFTER).is_some());
    // There is nothing unread: the client may try again on the same connection.
    assert_eq!(header_of(&refused, header::CONNECTION), None);
    assert_eq!(scope.stat().memory, 10 * PER_REQUEST);
    // Every view has the refusal: it is one of the class of connections or spans.
    let refusals = manager.all_refusals();
    let counted =
        [ScopeClass::Connection, ScopeClass::Span].map(|class| refusals[class as usize].total());
    assert_eq!(counted.iter().sum::<u64>(), 1);
    // Another connection is not affected.
    let mut other = get();
    other.extensions_mut().insert(connection(&manager));
    let other = service.clone().oneshot(other).await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
    // The end of one request makes room for the next.
    responses.pop();
    assert_eq!(send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn the_choice_of_a_priority_sees_the_whole_head_and_leaves_it_as_it_is() {
    fn facts(head: &Parts) -> String {
        let number = head.extensions.get::<u8>();
        let (method, uri, version) = (&head.method, &head.uri, head.version);
        format!("{method} {uri} {version:?} {:?} {number:?}", head.headers)
    }
    fn request() -> Request<Empty<Bytes>> {
        Request::delete("/path?query")
            .version(Version::HTTP_2)
            .header(header::HOST, "localhost")
            .extension(7_u8)
            .body(Empty::new())
            .unwrap()
    }

    let expected = facts(&request().into_parts().0);
    let manager = manager(|_| {});
    let seen = Arc::new(Mutex::new(None));
    let seen_by_choice = seen.clone();
    let layer = RequestScopes::new(&manager).priority(move |head| {
        *seen_by_choice.lock().unwrap() = Some(facts(head));
        Priority::Low
    });
    let handler = service_fn(|request: Request<_>| async {
        Ok::<_, Infallible>(text(facts(&request.into_parts().0)))
    });
    let response = layer.layer(handler).oneshot(request()).await.unwrap();
    assert_eq!(read(response).await, expected);
    assert_eq!(seen.lock().unwrap().as_deref(), Some(&*expected));
}

#[tokio::test]
async fn less_important_requests_are_refused_first() {
    let manager = manager_of(100_000);
    let scope = manager.view_system();
    let _others = scope.reserve(59_000, Priority::Always).unwrap();
    let layer = RequestScopes::new(&manager).priority(|head| match head.uri.path() {
        "/health" => Priority::Always,
        _ => Priority::Medium,
    });
    let service = layer.layer(service_fn(answer));
    let mut statuses = Vec::new();
    for path in ["/", "/health"] {
        let request = Request::get(path).body(Empty::<Bytes>::new()).unwrap();
        statuses.push(service.clone().oneshot(request).await.unwrap().status());
    }
    assert_eq!(statuses, [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK]);
}

#[tokio::test]
async fn a_request_that_holds_nothing_is_refused_by_a_scope_that_is_too_full() {
    let manager = manager_of(1000);
    let layer = RequestScopes::new(&manager).memory_per_request(0);
    let service = layer.layer(service_fn(answer));
    assert_eq!(
        service.clone().oneshot(get()).await.unwrap().status(),
        StatusCode::OK
    );
    let scope = manager.view_system();
    let _others = scope.reserve(700, Priority::Always).unwrap();
    let refused = service.oneshot(get()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_service_that_is_ready_holds_nothing() {
    let manager = manager_of(PER_REQUEST * 2);
    let layer = RequestScopes::new(&manager);
    let mut services: Vec<_> = (0..100)
        .map(|_| layer.layer(service_fn(answer::<_>)))
        .collect();
    for service in &mut services {
        let service: &mut _ = service;
        ServiceExt::<Request<Empty<Bytes>>>::ready(service)
            .await
            .unwrap();
    }
    assert!(manager.stat().system.is_zero());
    let response = services[7].call(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn layers_outside_see_a_refusal_as_a_response() {
    let manager = manager_of(10);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    let service = RequestScopes::new(&manager).layer(service_fn(answer));
    let traced = service.map_response(move |response| {
        let refusal = response.extensions().get::<Refusal>().cloned();
        sees.lock().unwrap().push((response.status(), refusal));
        response
    });
    let response = traced.oneshot(get()).await;
    assert!(response.is_ok());
    let seen = seen.lock().unwrap();
    let [(status, Some(Refusal::NoRoom(error)))] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(*status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(error.scope().unwrap().to_string(), "system");
}

#[tokio::test]
async fn errors_of_the_handler_pass() {
    let manager = manager(|_| {});
    let handler = service_fn(async |_| Err::<Response<Full<Bytes>>, _>("broken"));
    let service = RequestScopes::new(&manager).layer(handler);
    assert_eq!(service.oneshot(get()).await.unwrap_err(), "broken");
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn an_answer_tells_nothing_of_the_inside_of_the_server() {
    let manager = manager(|limits| limits.service_default = None);
    let layer = RequestScopes::new(&manager).service("secret");
    manager
        .view_service("secret")
        .set_limit(rcmgr_atomic::Limit::all(0.into()));
    let refused = layer
        .layer(service_fn(answer))
        .oneshot(get())
        .await
        .unwrap();
    let type_of_text = header_of(&refused, header::CONTENT_TYPE);
    assert_eq!(type_of_text, Some("text/plain; charset=utf-8"));
    let seconds = header_of(&refused, header::RETRY_AFTER).unwrap().to_owned();
    let text = read(refused).await;
    assert_eq!(
        text,
        format!("The server is busy: try again in {seconds} s.\n")
    );
}

#[tokio::test]
async fn a_hook_may_tell_the_scope_escaped_and_what_to_change() {
    let manager = manager(|_| {});
    let name = "we\u{1b}[31mb";
    manager
        .view_service(name)
        .set_limit(rcmgr_atomic::Limit::all(4000.into()));
    let layer = RequestScopes::new(&manager)
        .service(name)
        .on_refusal(|refusal, response| {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            *response.body_mut() = refusal.to_string().into();
        });
    let refused = layer
        .layer(service_fn(answer))
        .oneshot(get())
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let text = read(refused).await;
    assert_eq!(
        text,
        "service:we\\u{1b}[31mb refused 4096 bytes of memory at priority medium (60 % of the limit): \
         0 of 4000 in use. The request may be tried again later. If this happens often, raise the \
         limit of that scope",
    );
}

#[tokio::test]
async fn a_request_opens_a_span_only_when_it_needs_one() {
    let manager = manager(|_| {});
    let scope = connection(&manager);
    let layer = RequestScopes::new(&manager);
    for _ in 0..3 {
        let mut request = get();
        request.extensions_mut().insert(scope.clone());
        let response = layer.layer(service_fn(answer)).oneshot(request).await;
        assert_eq!(scope.stat().memory, PER_REQUEST);
        assert_eq!(read(response.unwrap()).await, "hello");
        assert_eq!(scope.stat().memory, 0);
    }
    let mut request = get();
    request.extensions_mut().insert(scope.clone());
    let response = layer.layer(service_fn(name)).oneshot(request).await;
    let name = read(response.unwrap()).await;
    assert!(name.ends_with(".span-1"), "{name}");
}

#[tokio::test]
async fn a_span_that_is_first_needed_after_its_connection_ended_refuses_everything() {
    let manager = manager(|_| {});
    let scope = connection(&manager);
    let ends = scope.clone();
    let handler = service_fn(move |request| {
        ends.done();
        let span = span_of(&request);
        let refused = span.reserve(1, Priority::Always).map(drop);
        assert!(matches!(refused, Err(Error::ScopeClosed { .. })));
        assert!(span.begin_span().is_err());
        assert!(span.stat().memory <= PER_REQUEST);
        answer(request)
    });
    let mut request = get();
    request.extensions_mut().insert(scope);
    let service = RequestScopes::new(&manager).layer(handler);
    assert_eq!(read(service.oneshot(request).await.unwrap()).await, "hello");
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn requests_of_a_connection_that_has_ended_are_refused() {
    let manager = manager(|_| {});
    let scope = connection(&manager);
    scope.done();
    let service = RequestScopes::new(&manager).layer(service_fn(answer));
    let mut request = get();
    request.extensions_mut().insert(scope);
    let refused = service.oneshot(request).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let refusal = refused.extensions().get::<Refusal>().unwrap();
    assert!(matches!(refusal.error(), Some(Error::ScopeClosed { .. })));
}

#[tokio::test]
async fn a_handler_that_panics_gives_everything_back() {
    let manager = manager(|_| {});
    let handler = service_fn(async |request: Request<_>| {
        let room = span_of(&request).reserve(1000, Priority::Always);
        assert!(room.is_err(), "a bug of the handler");
        answer(request).await
    });
    let service = RequestScopes::new(&manager).layer(handler);
    let served = tokio::spawn(service.oneshot(get())).await;
    assert!(served.unwrap_err().is_panic());
    assert!(manager.stat().system.is_zero());
}

#[tokio::test]
async fn only_over_http_1_an_unread_body_closes_the_connection() {
    let manager = manager_of(10);
    let service = RequestScopes::new(&manager).layer(service_fn(answer));
    let mut closed = Vec::new();
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        let mut request = post(Full::new(bytes(10)));
        *request.version_mut() = version;
        let refused = service.clone().oneshot(request).await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        closed.push(header_of(&refused, header::CONNECTION) == Some("close"));
    }
    assert_eq!(closed, [true, true, false]);
}

#[tokio::test]
async fn frames_of_the_handler_pass_unchanged() {
    let manager = manager(|_| {});
    let layer = RequestScopes::new(&manager);
    let (mut sender, response) = with_sent_response(&layer).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    sender.send_data("one".into()).await.unwrap();
    sender.send_data("two".into()).await.unwrap();
    sender.send_trailers(trailers.clone()).await.unwrap();
    drop(sender);
    let mut body = response.into_body();
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        frames.push(frame.unwrap());
    }
    let [one, two, last] = <[Frame<Bytes>; 3]>::try_from(frames).unwrap();
    assert_eq!(one.into_data().unwrap(), "one");
    assert_eq!(two.into_data().unwrap(), "two");
    assert_eq!(last.into_trailers().unwrap(), trailers);
}
