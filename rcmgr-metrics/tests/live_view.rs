//! What the live view says of the server, and whom it answers.

mod client;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use client::{get, json, manager, names, send, stream, text, view};
use rcmgr_atomic::address::{AddressConfig, NetworkRate, Rate, SubnetLimit};
use rcmgr_atomic::{Direction, Endpoint, Limit, Limits, Manager, UsesFd};
use rcmgr_config::LimitsFile;
use rcmgr_config::reload::LimitsWatcher;
use rcmgr_metrics::{Observer, ProgramCounter, http};
use serde_json::{Value, json as object};

/// The status of a request for a path with these headers.
async fn status_with(router: &Router, path: &str, headers: &[(&str, &str)]) -> StatusCode {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    send(router, request).await.status()
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_reads_nothing() {
    let manager = manager(|_| {});
    let router = view(&manager);
    for path in ["/", "/rcmgr.json", "/metrics"] {
        for host in [
            "evil.example",
            "evil.example:9500",
            "localhost.evil.example",
        ] {
            let status = status_with(&router, path, &[("host", host)]).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path} of {host}");
        }
        for host in ["localhost:9500", "127.0.0.1:9500", "[::1]:9500"] {
            let status = status_with(&router, path, &[("host", host)]).await;
            assert_eq!(status, StatusCode::OK, "{path} of {host}");
        }
        // HTTP/2 has the host in the URI.
        let elsewhere = format!("http://evil.example:9500{path}");
        let status = status_with(&router, &elsewhere, &[]).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(
            status_with(&router, path, &two).await,
            StatusCode::BAD_REQUEST
        );
    }
    let allowed = http::router(Observer::new(manager).host("metrics.example"));
    let status = status_with(&allowed, "/metrics", &[("host", "metrics.example:9500")]).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_page_of_another_site_reads_nothing() {
    let router = view(&manager(|_| {}));
    let with = async |origin: &str| {
        let headers = [("host", "localhost:9500"), ("origin", origin)];
        status_with(&router, "/rcmgr.json", &headers).await
    };
    for origin in [
        "http://evil.example",
        "null",
        "https://localhost.evil.example",
        "",
        "file://",
    ] {
        assert_eq!(with(origin).await, StatusCode::FORBIDDEN, "{origin}");
    }
    assert_eq!(with("http://localhost:9500").await, StatusCode::OK);
}

#[tokio::test]
async fn the_refusal_of_a_host_shows_its_name_escaped_and_cut() {
    let router = view(&manager(|_| {}));
    let host = format!("{}.example", "x".repeat(5000));
    let request = Request::get("/").header("host", host).body(Body::empty());
    let said = text(send(&router, request.unwrap()).await).await;
    assert!(said.contains("Observer::host"), "{said}");
    assert!(said.len() < 400, "{}", said.len());
}

#[tokio::test]
async fn arguments_that_are_given_twice_are_refused() {
    let router = view(&manager(|_| {}));
    for query in [
        "sort=name&sort=memory",
        "limit=1&offset=0&limit=1",
        "search=a&search=a",
    ] {
        let response = get(&router, &format!("/rcmgr.json?{query}")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        let said = text(response).await;
        assert!(said.ends_with(" is given twice\n"), "{said}");
    }
}

/// Waits until the rates of the next answer are of a time of their own.
fn later() {
    std::thread::sleep(std::time::Duration::from_millis(950));
}

#[tokio::test]
async fn what_is_refused_now_comes_first_with_the_setting_to_change() {
    let manager = manager(|limits| {
        limits.peer_default.streams_inbound = 1.into();
        limits.system.conns_inbound = 0.into();
        limits.protocol.insert("/x".into(), Limit::BLOCK_ALL);
    });
    let router = view(&manager);
    let refuse = |peer: &str, times| {
        let peer = peer.parse().unwrap();
        for _ in 0..times {
            manager.open_stream(&peer, Direction::Inbound).unwrap_err();
        }
    };
    let held = ["a", "b"].map(|peer| stream(&manager, peer, "/y", 0));
    // Refusals before the first answer are not refused now.
    refuse("b", 100);
    let page = json(&router, "/rcmgr.json").await;
    assert_eq!(page["refusing"], object!({"seconds": null, "now": []}));
    later();
    refuse("a", 30);
    refuse("b", 10);
    for _ in 0..20 {
        let endpoint = Endpoint::None;
        let opened = manager.open_connection(Direction::Inbound, UsesFd::No, endpoint);
        opened.unwrap_err();
    }
    // The protocol no longer exists when the answer is made.
    drop(held);
    let other = manager
        .open_stream(&"c".parse().unwrap(), Direction::Inbound)
        .unwrap();
    other.set_protocol("/x").unwrap_err();

    let page = json(&router, "/rcmgr.json").await;
    let seconds = page["refusing"]["seconds"].as_f64().unwrap();
    let now = page["refusing"]["now"].as_array().unwrap();
    let rows: Vec<_> = now
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
            let count = row["count"].as_u64().unwrap();
            let rate = row["per_second"].as_f64().unwrap();
            assert!((rate - count as f64 / seconds).abs() < 1e-6, "{row}");
            (text("scope"), text("resource"), count, text("setting"))
        })
        .collect();
    let expected = [
        (
            "peer:a",
            "streams-inbound",
            30,
            "PeerDefault.StreamsInbound",
        ),
        ("system", "conns-inbound", 20, "System.ConnsInbound"),
        (
            "peer:b",
            "streams-inbound",
            10,
            "PeerDefault.StreamsInbound",
        ),
        (
            "protocol:/x",
            "streams-inbound",
            1,
            "Protocol./x.StreamsInbound",
        ),
    ];
    let expected = expected.map(|(scope, resource, count, setting)| {
        (
            scope.to_owned(),
            resource.to_owned(),
            count,
            setting.to_owned(),
        )
    });
    assert_eq!(rows, expected);
    // Another client that asks soon after gets the same numbers.
    let again = json(&router, "/rcmgr.json?sort=name").await;
    assert_eq!(again["refusing"], page["refusing"]);
    // What is over is not refused now.
    later();
    let page = json(&router, "/rcmgr.json").await;
    assert_eq!(page["refusing"]["now"], object!([]));
    drop(other);
}

#[tokio::test]
async fn many_scopes_that_refuse_now_are_twenty_rows_and_a_sum() {
    let manager = manager(|limits| limits.peer_default.streams_inbound = 0.into());
    let router = view(&manager);
    let peers = (0..100).map(|number| manager.view_peer(&format!("p{number}").parse().unwrap()));
    let held: Vec<_> = peers.collect();
    json(&router, "/rcmgr.json").await;
    later();
    for number in 0..100 {
        for _ in 0..=number {
            let peer = format!("p{number}").parse().unwrap();
            manager.open_stream(&peer, Direction::Inbound).unwrap_err();
        }
    }
    let page = json(&router, "/rcmgr.json").await;
    let now = page["refusing"]["now"].as_array().unwrap();
    assert_eq!(now.len(), 21);
    let sum: u64 = now.iter().map(|row| row["count"].as_u64().unwrap()).sum();
    assert_eq!(sum, (1..=100).sum::<u64>());
    // The sum of the others has no name.
    assert_eq!(
        (&now[0]["scope"], &now[0]["scopes"], &now[0]["class"]),
        (&Value::Null, &80.into(), &"peer".into())
    );
    assert_eq!(now[1]["scope"], "peer:p99");
    drop(held);
}

#[tokio::test]
async fn a_scope_in_detail_says_where_each_limit_comes_from() {
    let file = LimitsFile::from_toml(
        "[PeerDefault]\nMemory = 4096\nStreams = 9\n[Peer.\"a\"]\nConns = 3\n",
    );
    let file = file.unwrap();
    let limits = file.limits.build(&Limits::unlimited());
    let manager = Manager::new(limits).unwrap();
    let held = stream(&manager, "a", "/x", 100);
    let other = stream(&manager, "b", "/x", 100);
    let view = manager.view_peer(&"a".parse().unwrap());
    let streams = 5.into();
    view.set_limit(Limit {
        streams,
        ..view.limit()
    });
    let router = http::router(Observer::new(manager.clone()).limits_file(file));

    let page = json(&router, "/rcmgr.json?scope=peer:a").await;
    let scope = &page["scope"];
    assert_eq!(scope["name"], "peer:a");
    assert_eq!(scope["used"]["memory"], 100);
    let origins = &scope["origins"];
    let of = |resource: &str| {
        let origin = &origins[resource];
        (origin["setting"].as_str(), origin["from"].as_str().unwrap())
    };
    assert_eq!(
        of("memory"),
        (Some("PeerDefault.Memory"), "line 2 of the limits file")
    );
    assert_eq!(
        of("conns"),
        (Some("Peer.a.Conns"), "line 5 of the limits file")
    );
    assert_eq!(of("streams"), (None, "an override of this scope"));
    assert_eq!(of("fd"), (Some("Peer.a.FD"), "set in the program"));
    assert_eq!(origins.as_object().unwrap().len(), 8);
    // The scopes are those below it.
    assert_eq!(names(&page), ["protocol:/x.peer:a"]);
    let page = json(&router, "/rcmgr.json?scope=protocol:/x&sort=name").await;
    assert_eq!(names(&page), ["protocol:/x.peer:a", "protocol:/x.peer:b"]);
    // A scope that does not exist has no detail.
    for name in ["peer:c", "a", ""] {
        let page = json(&router, &format!("/rcmgr.json?scope={name}")).await;
        assert_eq!(
            (&page["scope"], &page["matched"]),
            (&Value::Null, &0.into()),
            "{name}"
        );
    }
    drop((held, other, view));
}

#[tokio::test]
async fn the_state_of_the_server_is_shown() {
    let manager = manager(|_| {});
    let router = http::router(Observer::new(manager.clone()).name("echo\n"));
    manager.view_system().release_memory(1);
    manager.view_transient().release_memory(1);
    let page = json(&router, "/rcmgr.json").await;
    assert_eq!(page["name"], "echo\\n");
    assert!(page["uptime_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(page["over_releases"], 2);
    assert_eq!(page["reload"], Value::Null);
    let addresses = page["addresses"].as_object().unwrap();
    for key in ["refused_by_rate", "refused_by_subnet", "permits"] {
        assert_eq!(addresses[key], 0, "{key}");
    }
}

#[tokio::test]
async fn the_counters_of_the_program_are_shown_by_part_if_they_are_not_zero() {
    let router = http::router(Observer::new(manager(|_| {})));
    assert_eq!(json(&router, "/rcmgr.json").await["program"], Value::Null);
    let counter = |title, values: [u64; 2]| ProgramCounter {
        metric: "metric",
        title,
        help: "Help",
        is_gauge: false,
        values: vec![("a\n".into(), values[0]), ("b".into(), values[1])],
    };
    let observer = Observer::new(manager(|_| {})).program("listener", move || {
        vec![counter("open", [3, 0]), counter("refused", [4, 0])]
    });
    let page = json(&http::router(observer), "/rcmgr.json").await;
    let expected = serde_json::json!({"label": "listener", "parts": [
        {"name": "a\\n", "counters": {"open": 3, "refused": 4}},
        {"name": "b", "counters": {}},
    ]});
    assert_eq!(page["program"], expected);
}

#[tokio::test]
async fn the_file_that_the_program_names_has_the_lines_of_the_limits() {
    let manager = manager(|limits| limits.system.conns = 5.into());
    let file = LimitsFile::from_toml("# a comment\n[System]\nConns = 5\n").unwrap();
    let file = Arc::new(file);
    let observer = Observer::new(manager).limits_file_in_force(move || Arc::clone(&file));
    let page = json(&http::router(observer), "/rcmgr.json?scope=system").await;
    assert_eq!(
        page["scope"]["origins"]["conns"]["from"],
        "line 3 of the limits file"
    );
}

#[tokio::test]
async fn the_state_of_the_limits_file_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits.toml");
    std::fs::write(&file, "[System]\nConns = 5\n").unwrap();
    let manager = manager(|_| {});
    let applied = manager.clone();
    let watcher = LimitsWatcher::start(&file, Limits::unlimited(), {
        move |limits| applied.set_limits(limits)
    });
    let observer = Observer::new(manager).watcher(watcher.unwrap().into());
    let page = json(&http::router(observer), "/rcmgr.json?scope=system").await;
    let reload = &page["reload"];
    assert_eq!(reload["file"], file.to_str().unwrap());
    assert_eq!(
        (&reload["reloads"], &reload["error"]),
        (&0.into(), &Value::Null)
    );
    let origin = &page["scope"]["origins"]["conns"];
    assert_eq!(origin["from"], format!("{}:2", file.display()));
    assert_eq!(origin["setting"], "System.Conns");
}

#[tokio::test]
async fn what_a_dry_run_would_have_refused_is_shown() {
    let mut dry_run = Limits::unlimited();
    dry_run.peer_default.streams_inbound = 1.into();
    let manager = Manager::builder().dry_run(dry_run).build().unwrap();
    let held = ["a", "a", "a", "b"].map(|peer| stream(&manager, peer, "/x", 0));
    let router = view(&manager);
    let page = json(&router, "/rcmgr.json?scope=peer:a").await;
    assert_eq!(page["dry_run"]["refusals"]["streams-inbound"], 2);
    let addresses = &page["dry_run"]["addresses"];
    assert_eq!(addresses["refused_by_rate"], 0);
    assert_eq!(page["scope"]["dry_run_refusals"]["streams-inbound"], 2);
    assert_eq!(page["scope"]["refusals"]["streams-inbound"], 0);
    assert_eq!(page["system"]["dry_run_refusals"]["memory"], 0);
    // Without a dry run there is none.
    manager.set_limits(Limits::unlimited());
    let page = json(&router, "/rcmgr.json").await;
    assert_eq!(page["dry_run"], Value::Null);
    drop(held);
}

#[tokio::test]
async fn refusals_by_address_are_shown_in_total_now_and_by_network() {
    let mut config = AddressConfig::none();
    config.subnets.v4 = vec![SubnetLimit {
        prefix_len: 32,
        conns: 8,
    }];
    config.rates.v4_networks = vec![NetworkRate {
        network: "198.51.100.0/24".parse().unwrap(),
        rate: Some(Rate {
            per_second: 0.0,
            burst: 3,
        }),
    }];
    let manager = Manager::builder().addresses(config).build().unwrap();
    let router = view(&manager);
    json(&router, "/rcmgr.json").await;
    later();
    let open = |from: &str| {
        let from: IpAddr = from.parse().unwrap();
        manager.open_connection(Direction::Inbound, UsesFd::No, from)
    };
    let held: Vec<_> = (0..20).filter_map(|_| open("192.0.2.7").ok()).collect();
    let more: Vec<_> = (0..8).filter_map(|_| open("198.51.100.9").ok()).collect();
    assert_eq!((held.len(), more.len()), (8, 3));
    let page = json(&router, "/rcmgr.json").await;
    let addresses = &page["addresses"];
    assert_eq!(addresses["refused_by_subnet"], 12);
    assert_eq!(addresses["refused_by_rate"], 5);
    assert_eq!(addresses["verifications_asked"], 0);
    assert_eq!(
        addresses["most_refused"],
        object!([
            {"network": "192.0.2.7/32", "by_subnet": 12, "by_rate": 0},
            {"network": "198.51.100.0/24", "by_subnet": 0, "by_rate": 5},
        ])
    );
    let now = page["refusing"]["now"].as_array().unwrap();
    let rows: Vec<_> = now
        .iter()
        .map(|row| {
            (
                row["class"].as_str(),
                row["count"].as_u64(),
                row["setting"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            (Some("address"), Some(12), Some("Addresses.Subnets")),
            (Some("address"), Some(5), Some("Addresses.Rates")),
        ]
    );
    let scraped = text(get(&router, "/metrics").await).await;
    for line in [
        "rcmgr_address_refusals_total{limiter=\"subnet\"} 12",
        "rcmgr_address_refusals_total{limiter=\"rate\"} 5",
        "rcmgr_address_verifications_total 0",
    ] {
        assert!(scraped.contains(line), "{line}");
    }
}
