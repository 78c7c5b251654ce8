//! The answers of the live view.

mod client;
mod exposition;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use base64::prelude::{BASE64_STANDARD, Engine};
use client::{TOML, get, json, manager, names, put, send, stream, text, view};
use exposition::Exposition;
use rcmgr_atomic::Priority;
use rcmgr_metrics::http;
use serde_json::Value;
use sha2::{Digest, Sha256};

#[tokio::test]
async fn a_scope_has_usage_peak_limit_and_refusals() {
    let manager = manager(|limits| {
        limits.protocol_peer_default.memory = 1000.into();
        limits.protocol_peer_default.streams_inbound = 4.into();
    });
    let held = stream(&manager, "a", "/x", 500);
    assert!(held.reserve_memory(600, Priority::Always).is_err());
    let page = json(&view(&manager), "/rcmgr.json").await;
    assert_eq!(page["total"], 7);
    assert_eq!(
        (&page["matched"], &page["offset"]),
        (&page["total"], &0.into())
    );
    let expected = serde_json::json!({
        "name": "protocol:/x.peer:a",
        "class": "protocol-peer",
        "parent": "protocol:/x",
        "utilisation": 0.5,
        "fullest": "memory",
        "used": {"memory": 500, "fd": 0, "streams-inbound": 1, "streams-outbound": 0,
            "conns-inbound": 0, "conns-outbound": 0},
        "peak": page["scopes"][0]["peak"],
        "limit": {"memory": 1000, "fd": "unlimited", "streams": "unlimited",
            "streams-inbound": 4, "streams-outbound": "unlimited", "conns": "unlimited",
            "conns-inbound": "unlimited", "conns-outbound": "unlimited"},
        "refusals": {"memory": 1, "fd": 0, "streams-inbound": 0, "streams-outbound": 0,
            "conns-inbound": 0, "conns-outbound": 0},
    });
    assert_eq!(page["scopes"][0], expected);
    assert!(page["scopes"][0]["peak"]["memory"].as_u64() >= Some(500));
    let system = &page["scopes"][1];
    assert_eq!(
        (&system["name"], &system["parent"]),
        (&"system".into(), &Value::Null)
    );
    assert_eq!(
        (&system["utilisation"], &system["fullest"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn scopes_are_sorted_searched_and_paged() {
    let manager = manager(|limits| limits.peer_default.memory = 1000.into());
    let held: Vec<_> = (0..50)
        .map(|number| stream(&manager, &format!("Peer {number:02}"), "/x", number))
        .collect();
    let router = view(&manager);
    let names_of = async |path: &str| {
        let page = json(&router, path).await;
        names(&page)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };

    let fullest = names_of("/rcmgr.json?limit=2").await;
    assert_eq!(fullest, ["peer:Peer 49", "peer:Peer 48"]);
    let largest = names_of("/rcmgr.json?sort=memory&limit=3").await;
    assert_eq!(
        largest,
        ["system", "protocol:/x", "protocol:/x.peer:Peer 49"]
    );
    let busiest = names_of("/rcmgr.json?sort=streams&limit=2").await;
    assert_eq!(busiest, ["system", "protocol:/x"]);
    for sort in ["conns", "refusals"] {
        let path = format!("/rcmgr.json?sort={sort}&limit=1");
        assert_eq!(names_of(&path).await, ["system"]);
    }

    let page = json(&router, "/rcmgr.json?search=peer:peer%201&sort=name").await;
    assert_eq!(
        (&page["total"], &page["matched"]),
        (&105.into(), &20.into())
    );
    assert_eq!(
        names(&page)[..2],
        ["protocol:/x.peer:Peer 10", "protocol:/x.peer:Peer 11"]
    );
    assert_eq!(names(&page)[10], "peer:Peer 10");

    // All pages together have all scopes, in order.
    for sort in ["name", "utilisation", "memory"] {
        let whole = names_of(&format!("/rcmgr.json?sort={sort}&limit=1000")).await;
        assert_eq!(whole.len(), 105);
        let mut together = Vec::new();
        for offset in (0..).step_by(40).take(4) {
            let path = format!("/rcmgr.json?sort={sort}&limit=40&offset={offset}");
            together.extend(names_of(&path).await);
        }
        assert_eq!(together, whole);
    }
    let far = format!("/rcmgr.json?offset={}", usize::MAX);
    assert!(names_of(&far).await.is_empty());
    drop(held);
}

#[tokio::test]
async fn system_and_transient_are_present_in_every_search() {
    let manager = manager(|_| {});
    let held = stream(&manager, "a", "/x", 500);
    let router = view(&manager);
    let all = json(&router, "/rcmgr.json?sort=name&limit=1000").await;
    for path in ["/rcmgr.json?search=peer:a", "/rcmgr.json?offset=1000"] {
        let page = json(&router, path).await;
        for name in ["system", "transient"] {
            let scopes = all["scopes"].as_array().unwrap();
            let told = scopes.iter().find(|scope| scope["name"] == name);
            assert_eq!(Some(&page[name]), told);
        }
        assert_eq!(page["system"]["used"]["memory"], 500);
    }
    drop(held);
}

#[tokio::test]
async fn a_page_never_exceeds_its_largest_size() {
    let manager = manager(|_| {});
    let held: Vec<_> = (0..600)
        .map(|number| {
            stream(
                &manager,
                &format!("p{number}"),
                &format!("/{number}/{}", "x".repeat(10_000)),
                1,
            )
        })
        .collect();
    let page = json(&view(&manager), "/rcmgr.json?limit=1000").await;
    assert_eq!(names(&page).len(), 1000);
    assert!(
        page.to_string().len() < 1_500_000,
        "{}",
        page.to_string().len()
    );
    drop(held);
}

#[tokio::test]
async fn bad_arguments_are_answered_with_a_sentence() {
    let router = view(&manager(|_| {}));
    let cases = [
        ("sort=size", "sort must be one of"),
        ("limit=1001", "limit must be from 1 to 1000\n"),
        ("offset=x", "offset must be a whole number, not \"x\"\n"),
        ("<b>=1", "unknown argument \"<b>\""),
        ("a=%ff%00", "unknown argument \"a\""),
    ];
    for (query, sentence) in cases {
        let path = format!(
            "/rcmgr.json?{}",
            query.replace('<', "%3C").replace('>', "%3E")
        );
        let response = get(&router, &path).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        // A browser shows the error as text.
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
        assert_eq!(
            response.headers()[header::X_CONTENT_TYPE_OPTIONS],
            "nosniff"
        );
        let said = text(response).await;
        assert!(said.starts_with(sentence), "{said}");
    }
    assert_eq!(get(&router, "/other").await.status(), StatusCode::NOT_FOUND);
    let post = Request::post("/rcmgr.json").body(Body::empty()).unwrap();
    assert_eq!(
        send(&router, post).await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn hostile_names_do_not_break_the_json() {
    let manager = manager(|_| {});
    let names_made_up = [
        "\"},{\"a\":[",
        "</script><script>alert(1)</script>",
        "\n\0\\",
        "\u{2028}",
        "",
    ];
    let mut held: Vec<_> = names_made_up
        .map(|name| stream(&manager, "a", name, 1))
        .into();
    held.push(stream(&manager, "<img src=x>", &"ü".repeat(50_000), 1));
    let router = view(&manager);
    let page = json(&router, "/rcmgr.json").await;
    let shown = names(&page);
    assert!(shown.contains(&"protocol:</script><script>alert(1)</script>"));
    assert!(shown.contains(&"protocol:\"},{\"a\":["));
    assert!(shown.contains(&"protocol:\\n\\0\\"));
    assert!(shown.contains(&"peer:<img src=x>"));
    assert!(shown.iter().all(|name| name.chars().count() < 250));
    let cut = format!("protocol:{}…", "ü".repeat(200));
    assert!(shown.contains(&&*cut));
    assert!(shown.contains(&&*format!("{cut}.peer:<img src=x>")));
    // A search also finds text after the cut.
    let page = json(&router, "/rcmgr.json?search=.peer:%3Cimg").await;
    assert_eq!(page["matched"], 1);

    let scraped = get(&router, "/metrics").await;
    let of_metrics = &scraped.headers()[header::CONTENT_TYPE];
    assert!(
        of_metrics
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let scraped = text(scraped).await;
    let body = scraped.strip_suffix("# EOF\n").unwrap();
    let found = Exposition::parse(body).unwrap();
    assert_eq!(
        found.get("rcmgr_scopes", &[("scope", "protocol")]),
        Some(6.0)
    );
}

/// The text of the only element with this name.
fn element<'a>(page: &'a str, tag: &str) -> &'a str {
    let (begin, end) = (format!("<{tag}>"), format!("</{tag}>"));
    assert_eq!(page.matches(&begin).count(), 1);
    let (_, behind) = page.split_once(&begin).unwrap();
    behind.split_once(&end).unwrap().0
}

#[tokio::test]
async fn the_policy_allows_only_the_pages_own_script() {
    let response = get(&view(&manager(|_| {})), "/").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/html; charset=utf-8"
    );
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    let policy = policy.to_owned();
    let page = text(response).await;
    for tag in ["script", "style"] {
        let hash = BASE64_STANDARD.encode(Sha256::digest(element(&page, tag)));
        let expected = format!("{tag}-src 'sha256-{hash}'");
        assert!(policy.contains(&expected), "http.rs should say {expected}");
    }
    for must in [
        "default-src 'none'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(must), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
    // The page loads nothing from other hosts, inserts no text as markup, and does nothing that the
    // policy forbids.
    for never in [
        "http:",
        "https:",
        "//cdn",
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "style=",
        "onclick=",
        "src=",
        "href=",
    ] {
        assert!(!page.contains(never), "{never}");
    }
}

#[tokio::test]
async fn the_view_can_be_mounted_anywhere() {
    let router = Router::new().nest("/inside", view(&manager(|_| {})));
    assert_eq!(get(&router, "/inside").await.status(), StatusCode::OK);
    assert_eq!(json(&router, "/inside/rcmgr.json").await["total"], 4);
}

#[tokio::test]
async fn only_requests_with_the_token_set_limits() {
    let manager = manager(|limits| limits.system.fd = 7.into());
    let router = http::limits_router(manager.clone(), "secret");
    let file = "[System]\nConns = 5\n";
    let wrong = [
        None,
        Some(""),
        Some("secret"),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer secre"),
        Some("Bearer secret "),
        Some("Bearer secrets"),
        Some("Bearer Secret"),
        Some("Basic secret"),
    ];
    for token in wrong {
        let response = send(&router, put(token, TOML, file)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{token:?}");
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(
            manager.limits().system.conns,
            rcmgr_core::LimitValue::Unlimited
        );
    }
    let mut twice = put(Some("Bearer secret"), TOML, file);
    let more = "Bearer secret".parse().unwrap();
    twice.headers_mut().append(header::AUTHORIZATION, more);
    assert_eq!(
        send(&router, twice).await.status(),
        StatusCode::UNAUTHORIZED
    );

    let response = send(&router, put(Some("Bearer secret"), TOML, file)).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(manager.limits().system.conns, 5.into());
    assert_eq!(manager.limits().system.fd, 7.into());
    // Limits that the file does not set are those from the start.
    let json = r#"{"Transient": {"Conns": 3}}"#;
    let request = put(
        Some("bearer secret"),
        "application/json; charset=utf-8",
        json,
    );
    assert_eq!(
        send(&router, request).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(manager.limits().transient.conns, 3.into());
    assert_eq!(
        manager.limits().system.conns,
        rcmgr_core::LimitValue::Unlimited
    );
}

#[tokio::test]
async fn a_bad_limits_file_says_where_and_changes_nothing() {
    let manager = manager(|limits| limits.system.fd = 7.into());
    let before = manager.limits();
    let router = http::limits_router(manager.clone(), "secret");
    let cases = [
        (
            TOML,
            b"[System]\nMemry = 1\n".to_vec(),
            StatusCode::BAD_REQUEST,
            "line 2: System.Memry: unknown key; did you mean \"Memory\"?\n",
        ),
        (
            "application/json",
            b"{".to_vec(),
            StatusCode::BAD_REQUEST,
            "line 1: ",
        ),
        (
            TOML,
            vec![0xff],
            StatusCode::BAD_REQUEST,
            "the file is not UTF-8",
        ),
        (
            "text/plain",
            b"".to_vec(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type must be",
        ),
        (
            TOML,
            vec![b'#'; (4 << 20) + 1],
            StatusCode::PAYLOAD_TOO_LARGE,
            "the file is longer",
        ),
    ];
    for (form, file, status, sentence) in cases {
        let response = send(&router, put(Some("Bearer secret"), form, file)).await;
        assert_eq!(response.status(), status);
        let said = text(response).await;
        assert!(said.starts_with(sentence), "{said}");
        assert_eq!(manager.limits(), before);
    }
}

#[tokio::test]
async fn with_an_empty_token_no_request_is_accepted() {
    let router = http::limits_router(manager(|_| {}), "");
    for token in [None, Some(""), Some("Bearer "), Some("Bearer x")] {
        let response = send(&router, put(token, TOML, "")).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn the_view_sets_no_limits() {
    let router = view(&manager(|_| {}));
    let response = send(&router, put(Some("Bearer secret"), TOML, "")).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}
