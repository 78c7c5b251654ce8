//! When refused clients are told to try again.

mod layer_support;

use std::collections::BTreeSet;
use std::time::Duration;

use http::{StatusCode, header};
use layer_support::*;
use rcmgr_tower::RequestScopes;
use tower::{Layer, ServiceExt, service_fn};

/// The values of `Retry-After` of many refusals.
async fn seconds_of(layer: RequestScopes) -> BTreeSet<u64> {
    let service = layer.layer(service_fn(answer));
    let mut seconds = BTreeSet::new();
    for _ in 0..1000 {
        let refused = service.clone().oneshot(get()).await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let after = header_of(&refused, header::RETRY_AFTER).unwrap();
        seconds.insert(after.parse().unwrap());
    }
    seconds
}

#[tokio::test]
async fn clients_that_are_refused_together_come_back_at_different_times() {
    let manager = manager_of(10);
    let seconds = seconds_of(RequestScopes::new(&manager)).await;
    assert_eq!(seconds, (1..10).collect());
}

#[tokio::test]
async fn retry_after_is_in_the_range_that_is_set() {
    let manager = manager_of(10);
    let range = Duration::from_secs(20)..Duration::from_secs(30);
    let seconds = seconds_of(RequestScopes::new(&manager).retry_after(range)).await;
    assert_eq!(seconds, (20..30).collect());
}

#[tokio::test]
async fn an_empty_range_is_one_time() {
    let manager = manager_of(10);
    let range = Duration::from_secs(7)..Duration::from_secs(3);
    let seconds = seconds_of(RequestScopes::new(&manager).retry_after(range)).await;
    assert_eq!(seconds, BTreeSet::from([7]));
}
