//! Limits files that are sent over HTTP.

mod client;

use axum::http::{StatusCode, header};
use client::{TOML, manager, put, send};
use rcmgr_atomic::Limits;
use rcmgr_metrics::http;

#[tokio::test]
async fn the_type_of_a_limits_file_is_read_in_any_case_and_with_its_charset() {
    let manager = manager(|_| {});
    let router = http::limits_router(manager.clone(), "secret");
    let file = |form: &str| match form.to_lowercase().contains("toml") {
        true => "[System]\nConns = 5\n",
        false => r#"{"System": {"Conns": 5}}"#,
    };
    let token = Some("Bearer secret");
    for form in [
        "Application/TOML",
        "APPLICATION/JSON",
        "application/toml;charset=UTF-8",
        "application/json ; Charset=\"utf-8\"",
        "application/toml; profile=x",
    ] {
        manager.set_limits(Limits::unlimited());
        let response = send(&router, put(token, form, file(form))).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{form}");
        assert_eq!(manager.limits().system.conns, 5.into());
    }
    let before = manager.limits();
    for form in [
        "",
        "toml",
        "application/tomlx",
        "application/toml, application/json",
        "application/toml; charset=latin1",
        "text/toml",
    ] {
        let response = send(&router, put(token, form, file(form))).await;
        assert_eq!(
            response.status(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{form}"
        );
    }
    let mut none = put(token, TOML, file(TOML));
    none.headers_mut().remove(header::CONTENT_TYPE);
    let mut two = put(token, TOML, file(TOML));
    two.headers_mut()
        .append(header::CONTENT_TYPE, "application/json".parse().unwrap());
    let mut packed = put(token, TOML, file(TOML));
    packed
        .headers_mut()
        .insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
    for request in [none, two, packed] {
        let response = send(&router, request).await;
        assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    assert_eq!(manager.limits(), before);
}

#[tokio::test]
async fn a_large_limits_file_does_not_block_the_thread_of_the_runtime() {
    let manager = manager(|_| {});
    let router = http::limits_router(manager.clone(), "secret");
    let entries = (0..40_000).map(|number| format!("[Peer.\"peer-{number}\"]\nConns = {number}\n"));
    let file: String = entries.collect();
    // The only thread of this runtime also counts how often it gets its turn. If it read the file
    // itself, it would count nothing between the request and the answer.
    let setting = tokio::spawn({
        let request = put(Some("Bearer secret"), TOML, file);
        async move { send(&router, request).await.status() }
    });
    let mut turns = 0_u32;
    while !setting.is_finished() {
        turns += 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(setting.await.unwrap(), StatusCode::NO_CONTENT);
    assert_eq!(manager.limits().peer.len(), 40_000);
    assert!(turns > 100, "{turns}");
}
