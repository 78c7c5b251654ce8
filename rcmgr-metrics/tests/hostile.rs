//! A hundred thousand peers and protocols with hostile names.

mod crowd;
mod exposition;

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use exposition::Exposition;
use rcmgr_metrics::{Observer, http};
use serde_json::Value;
use tower::ServiceExt;

const SIZE: usize = 100_000;
/// The time limit of an answer, much longer than a debug build takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);

async fn get(router: &Router, path: &str) -> String {
    let begin = Instant::now();
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let took = begin.elapsed();
    println!("{path}: {} bytes in {took:.0?}", bytes.len());
    assert!(took < SOON, "{path} took {took:?}");
    String::from_utf8(bytes.into()).unwrap()
}

async fn json(router: &Router, path: &str) -> Value {
    serde_json::from_str(&get(router, path).await).unwrap()
}

fn name(page: &Value, at: usize) -> &str {
    page["scopes"][at]["name"].as_str().unwrap()
}

#[tokio::test]
async fn output_and_time_are_bounded_for_a_hundred_thousand_hostile_names() {
    let (manager, streams) = crowd::crowd(SIZE);
    let few = crowd::crowd(crowd::NASTY.len());
    let router = http::router(Observer::new(manager.clone()));

    let text = get(&router, "/metrics").await;
    assert!(text.len() < 1 << 20, "{} bytes", text.len());
    let found = Exposition::parse(text.strip_suffix("# EOF\n").unwrap()).unwrap();
    assert!(found.samples.len() < 3000, "{}", found.samples.len());
    // No cut name has its own series.
    let few = Exposition::of(&Observer::new(few.0));
    assert_eq!(found.kinds, few.kinds);
    let scopes = |class| found.get("rcmgr_scopes", &[("scope", class)]);
    assert_eq!(scopes("peer"), Some(SIZE as f64));
    assert_eq!(scopes("protocol"), Some(SIZE as f64));
    assert_eq!(scopes("protocol-peer"), Some(SIZE as f64));
    // A hundred by name, the others, and the empty name of system.
    let protocols = found.values("libp2p_rcmgr_streams", "protocol");
    assert_eq!(protocols.len(), 102);
    let busiest = rcmgr_core::shown(&crowd::protocol(SIZE - 1)).to_string();
    assert!(protocols.contains(&*busiest), "{protocols:?}");
    // The sums contain everything.
    let streams_of = |protocol| {
        let labels = [
            ("dir", "inbound"),
            ("scope", "protocol"),
            ("protocol", protocol),
        ];
        found.get("libp2p_rcmgr_streams", &labels).unwrap()
    };
    let all: f64 = protocols
        .iter()
        .filter(|name| !name.is_empty())
        .map(|name| streams_of(name))
        .sum();
    assert_eq!(all, SIZE as f64);

    let page = json(&router, "/rcmgr.json").await;
    assert_eq!(page["total"], 4 + 3 * SIZE);
    assert_eq!(page["scopes"].as_array().unwrap().len(), 100);
    let fullest = format!("peer:{}", crowd::peer(SIZE - 1));
    assert_eq!(name(&page, 0), fullest);
    let last = json(&router, "/rcmgr.json?sort=name&offset=300000").await;
    assert_eq!(last["scopes"].as_array().unwrap().len(), 4);

    // "/<img src=x onerror="alert(1)">/8"
    let path = "/rcmgr.json?search=%2F%3CIMG+src%3Dx+onerror%3D%22alert%281%29%22%3E%2F8.";
    let page = json(&router, path).await;
    assert_eq!(page["matched"], 1, "{page}");
    let expected = format!("protocol:{}.peer:{}", crowd::protocol(8), crowd::peer(8));
    assert_eq!(name(&page, 0), expected);
    drop(streams);
    assert_eq!(json(&router, "/rcmgr.json").await["total"], 4);
}
