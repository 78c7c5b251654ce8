//! The views beside the list, and what an operator has to know at once.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// The fields that a server adds to a page.
fn told(name: &str, setting: &str, error: &str) -> serde_json::Value {
    json!({
        "name": name, "uptime_seconds": 11_520.5, "over_releases": 2,
        "reload": {"file": "/etc/limits.toml", "reloads": 3, "failures": 1, "error": error},
        "addresses": {
            "refused_by_rate": 12_345, "refused_by_subnet": 6, "verifications_asked": 7,
            "permits": 80, "tracked_subnets": 4, "tracked_buckets": 5,
            "most_refused": [{"network": "198.51.100.0/24", "by_rate": 12_000, "by_subnet": 5}],
        },
        "dry_run": {"refusals": {"memory": 0, "fd": 0, "streams-inbound": 0, "streams-outbound": 0,
            "conns-inbound": 54_321, "conns-outbound": 0},
            "addresses": {"refused_by_rate": 40, "refused_by_subnet": 0, "most_refused": null}},
        "refusing": {"seconds": 1.0, "now": [{"scope": name, "class": "peer", "scopes": 1,
            "resource": "conns-inbound", "count": 3, "per_second": 3.0, "setting": setting,
            "used": 8, "limit": 8}]},
        "total": 4, "matched": 0, "reachable": 0, "offset": 0, "scopes": [], "scope": null,
    })
}

/// A page of a server with these fields.
fn page_of(told: serde_json::Value) -> Page {
    let mut with: Page = serde_json::from_value(told).expect("it is a page");
    let busy = busy();
    (with.system, with.transient, with.scopes) = (busy.system, busy.transient, busy.scopes);
    (with.matched, with.reachable) = (busy.matched, Some(busy.matched));
    with
}

/// The view after a second, in which a few connections were refused by address.
fn app_after_a_second(before: Page, now: Instant) -> App {
    let mut after = before.clone();
    let addresses = after.addresses.as_mut().unwrap();
    addresses.refused_by_rate += 120;
    addresses.refused_by_subnet += 3;
    addresses.most_refused[0].by_rate += 90;
    after.dry_run.as_mut().unwrap().refusals.conns_inbound += 12;
    let mut app = app_of(before, now);
    answer(&mut app, Ok(after), now + SECOND);
    app
}

#[test]
fn what_refuses_now_stands_above_the_scopes_with_the_setting_to_change() {
    let now = Instant::now();
    let page = page_of(told(
        "peer:192.0.2.7",
        "PeerDefault.ConnsInbound",
        "line 3: no",
    ));
    let mut app = app_after_a_second(page, now);
    let screen = lines(&drawn(&mut app, now + SECOND, 80, 24));
    let expected = "\
rcmgr top  127.0.0.1:9500  peer:192.0.2.7  up 3 h      4 scopes  answers in 0 ms
sorted by utilisation    2 over-releases  the limits' file is wrong: i shows why
REFUSED NOW  3.0/s                                 the dry run would refuse 12/s
by address  123/s  120/s by rate  3.0/s by subnet                   12.5k in all
3.0/s  peer:192.0.2.7  8/8  PeerDefault.ConnsInbound";
    assert_eq!(screen[..5].join("\n"), expected);
}

#[test]
fn the_view_of_the_server_has_its_state_and_the_refusals_by_address() {
    let now = Instant::now();
    let mut app = app_after_a_second(page_of(told("echo", "Peer.Conns", "line 3: no")), now);
    app.key(KeyCode::Char('i').into());
    let screen = lines(&drawn(&mut app, now + SECOND, 80, 24));
    let expected = "\
echo
up 3 h
over-releases  2
limits from /etc/limits.toml
reloaded 3  found wrong 1
line 3: no

refused by rate  Addresses.Rates                             120/s  12.5k in all
refused by subnet  Addresses.Subnets or Addresses.Networks       3.0/s  9 in all
asked to verify                                                    0/s  7 in all
connections that count now                                                    80

NETWORK           NOW  REFUSED  BY RATE  BY SUBNET
198.51.100.0/24  90/s    12.1k    12.1k          5

the dry run would have refused
ConnsInbound                                                  12/s  54.3k in all
Addresses.Rates                                                   0/s  40 in all";
    assert_eq!(screen[2..20].join("\n"), expected);
    // The same in the text that is printed once.
    let printed = text(&app, PLACE);
    for line in [
        "echo",
        "over-releases  2",
        "198.51.100.0/24  90/s    12.1k    12.1k          5",
    ] {
        assert!(printed.lines().any(|one| one == line), "{printed}");
    }
}

/// A page with these queues: name, resource, requests, amount, seconds.
fn page_with_queues(queues: &[(&str, &str, u64, u64, f64)], granted: u64) -> Page {
    let mut page = busy();
    let queue = |(scope, resource, requests, amount, seconds): &(&str, &str, u64, u64, f64)| {
        json!({"scope": scope, "class": "peer", "resource": resource, "requests": requests,
            "amount": amount, "longest_seconds": seconds})
    };
    let waiting: Vec<_> = queues.iter().map(queue).collect();
    page.waiting = serde_json::from_value(waiting.into()).unwrap();
    page.waiting_queues = queues.len() as u64 * 10;
    page.waiting_requests = 12;
    let totals = json!({"begun": 1240, "granted": granted, "refused": 3, "given_up": 7,
        "waited_seconds": 100.0});
    page.wait_totals = Some(serde_json::from_value(totals).unwrap());
    page
}

const QUEUES: [(&str, &str, u64, u64, f64); 2] = [
    ("peer:192.0.2.7", "memory", 3, 196_608, 3.25),
    ("service:echo", "conns-inbound", 9, 9, 0.5),
];

#[test]
fn requests_that_wait_stand_above_the_scopes_and_in_the_view_of_the_server() {
    let now = Instant::now();
    let mut app = app_of(page_with_queues(&QUEUES, 1200), now);
    answer(&mut app, Ok(page_with_queues(&QUEUES, 1208)), now + SECOND);
    let now = now + SECOND;
    for (width, expected) in [
        (
            91,
            "waiting  12 requests  longest 3.25 s  Memory of peer:192.0.2.7  granted 8.0/s  1,240 in all",
        ),
        (
            80,
            "waiting  12 requests  longest 3.25 s  Memory of peer:192.0.2.7      1,240 in all",
        ),
        (40, "waiting  12 requests  longest 3.25 s"),
        (20, "waiting  12 requests"),
    ] {
        let screen = lines(&drawn(&mut app, now, width, 24));
        assert_eq!(screen[3].trim_end(), expected, "in {width}");
    }
    app.key(KeyCode::Char('i').into());
    let screen = lines(&drawn(&mut app, now, 60, 24));
    let expected = "\
requests that waited for room
granted                                  8.0/s  1,208 in all
refused                                        0/s  3 in all
given up                                       0/s  7 in all
waited on average                                    0.082 s

 WAITED  REQUESTS   AMOUNT  RESOURCE      SCOPE
 3.25 s         3  192 KiB  Memory        peer:192.0.2.7
0.500 s         9        9  ConnsInbound  service:echo
and 18 more";
    assert!(
        screen.join("\n").contains(expected),
        "{}",
        screen.join("\n")
    );
    let printed = text(&app, PLACE);
    assert!(
        printed.contains("\nwaiting  12 requests  longest 3.25 s  "),
        "{printed}"
    );
    assert!(
        printed.contains("ConnsInbound  service:echo\n"),
        "{printed}"
    );
}

#[test]
fn a_server_where_nothing_waits_says_so_once_something_has_waited() {
    let now = Instant::now();
    let mut page = page_with_queues(&[], 1230);
    page.waiting_requests = 0;
    let mut app = app_of(page.clone(), now);
    let screen = lines(&drawn(&mut app, now, 60, 24));
    assert!(
        screen[3].starts_with("waiting  nothing now  "),
        "{screen:?}"
    );
    // On a small screen the line is one of a scope.
    let screen = lines(&drawn(&mut app, now, 60, 12)).join("\n");
    assert!(!screen.contains("waiting"), "{screen}");
    let totals =
        json!({"begun": 0, "granted": 0, "refused": 0, "given_up": 0, "waited_seconds": 0});
    page.wait_totals = Some(serde_json::from_value(totals).unwrap());
    let mut app = app_of(page, now);
    let screen = lines(&drawn(&mut app, now, 60, 24)).join("\n");
    assert!(!screen.contains("waiting"), "{screen}");
}

#[test]
fn the_details_of_a_scope_have_its_own_queues_and_those_of_its_spans() {
    let now = Instant::now();
    let mut app = app_of(page_of(told("echo", "Peer.Conns", "no")), now);
    app.key(KeyCode::Enter.into());
    let query = app.question(now).expect("the details are asked for");
    let mut page = busy();
    let queues = page_with_queues(
        &[QUEUES[0], ("peer:192.0.2.7.span-4", "memory", 1, 1, 0.1)],
        0,
    );
    page.scope = Some(Detail {
        scope: page.scopes[0].clone(),
        origins: Default::default(),
        waiting: queues.waiting,
    });
    let result = Ok(page);
    app.answer(Answer { query, result }, now);
    let screen = lines(&drawn(&mut app, now, 90, 24)).join("\n");
    let expected = "\
waiting for Memory  3 requests  for 192 KiB  longest 3.25 s
waiting for Memory  1 request  for 1 B  longest 0.100 s  peer:192.0.2.7.span-4\n";
    assert!(screen.contains(expected), "{screen}");
    // On a narrow screen each part is whole.
    let screen = lines(&drawn(&mut app, now, 30, 40)).join("\n");
    for part in [
        "waiting for Memory",
        "3 requests",
        "for 192 KiB",
        "longest 3.25 s",
    ] {
        assert!(screen.contains(part), "{part} in\n{screen}");
    }
}

#[test]
fn rates_go_when_the_server_has_gone_and_the_title_says_since_when() {
    let now = Instant::now();
    let mut later = busy();
    later.scopes[0].refusals.conns_inbound += 133_564;
    let mut app = app_of(busy(), now);
    answer(&mut app, Ok(later), now + SECOND);
    let screen = lines(&drawn(&mut app, now + SECOND, 80, 24)).join("\n");
    assert_eq!(screen.matches("134k/s").count(), 3, "{screen}");
    answer(
        &mut app,
        Err("connection refused".to_owned()),
        now + 2 * SECOND,
    );
    for key in [
        KeyCode::Null,
        KeyCode::Enter,
        KeyCode::Char('i'),
        KeyCode::Esc,
    ] {
        app.key(key.into());
        let screen = lines(&drawn(&mut app, now + 7 * SECOND, 80, 24)).join("\n");
        assert!(!screen.contains("/s"), "{screen}");
        assert!(
            screen.contains("no answer for 5 s: connection refused"),
            "{screen}"
        );
    }
    let screen = lines(&drawn(&mut app, now + 7 * SECOND, 80, 24)).join("\n");
    assert!(
        screen.contains("REFUSED NOW  unknown: no answer"),
        "{screen}"
    );
    // The first answer after that has no rate: nothing is known of the time between.
    answer(&mut app, Ok(busy()), now + 9 * SECOND);
    let screen = lines(&drawn(&mut app, now + 9 * SECOND, 80, 24)).join("\n");
    assert!(
        screen.contains("REFUSED NOW  known after the next update"),
        "{screen}"
    );
}

#[test]
fn scopes_without_limits_are_one_row_until_they_are_unfolded() {
    let now = Instant::now();
    let mut with = busy();
    with.scopes
        .extend(["service:a", "service:b", "service:c"].map(scope));
    with.matched = 18_002;
    let mut app = app_of(with, now);
    let screen = lines(&drawn(&mut app, now, 80, 24)).join("\n");
    let fold = "\n18k scopes without limits: f shows them\n";
    assert!(
        screen.contains(fold) && !screen.contains("service:"),
        "{screen}"
    );
    // Enter on the row shows them, too.
    app.key(KeyCode::End.into());
    app.key(KeyCode::Enter.into());
    let screen = lines(&drawn(&mut app, now, 80, 24)).join("\n");
    assert!(
        screen.contains("service:c") && screen.contains("f fold"),
        "{screen}"
    );
    app.key(KeyCode::Char('f').into());
    let screen = lines(&drawn(&mut app, now, 80, 24)).join("\n");
    assert!(screen.contains(fold), "{screen}");
}

#[test]
fn scopes_that_the_server_does_not_list_are_counted_in_a_row() {
    let now = Instant::now();
    let mut with = busy();
    (with.matched, with.reachable) = (119_747, Some(2));
    let mut app = app_of(with, now);
    let screen = lines(&drawn(&mut app, now, 80, 24)).join("\n");
    assert!(
        screen.contains("\n120k more scopes: / finds them\n"),
        "{screen}"
    );
}

#[test]
fn all_text_of_a_server_is_escaped() {
    let hostile = "p\x1b[2J\x1b]0;title\x07\r\n\u{9b}31m\u{202e}evil\u{200b}";
    let now = Instant::now();
    let mut told = told(hostile, hostile, hostile);
    told["reload"]["file"] = hostile.into();
    told["addresses"]["most_refused"][0]["network"] = hostile.into();
    told["waiting"] = json!([{"scope": hostile, "class": hostile, "resource": hostile,
        "requests": 1, "amount": 1, "longest_seconds": 1.0}]);
    told["waiting_requests"] = 1.into();
    told["wait_totals"] = json!({"begun": 1, "granted": 0, "refused": 0, "given_up": 0,
        "waited_seconds": 0.0});
    for key in ["class", "resource"] {
        told["refusing"]["now"][0][key] = hostile.into();
    }
    let mut app = app_after_a_second(page_of(told), now);
    for key in [KeyCode::Null, KeyCode::Enter, KeyCode::Char('i')] {
        app.key(key.into());
        for (width, height) in [(200, 40), (80, 24), (40, 24), (20, 12)] {
            let buffer = drawn(&mut app, now + SECOND, width, height);
            for cell in &buffer.content {
                let shown = cell.symbol();
                assert_eq!(escaped(shown), shown);
            }
        }
    }
    assert!(
        text(&app, PLACE)
            .chars()
            .all(|char| !char.is_control() || char == '\n')
    );
}

#[test]
fn what_an_earlier_server_does_not_say_is_not_shown() {
    let now = Instant::now();
    let mut app = app_of(from_json("peer:a", 1), now);
    answer(&mut app, Ok(from_json("peer:a", 2)), now + SECOND);
    let screen = lines(&drawn(&mut app, now + SECOND, 80, 24)).join("\n");
    for absent in ["up ", "over-releases", "reloaded", "by address", "dry run"] {
        assert!(!screen.contains(absent), "{absent} in\n{screen}");
    }
    // What refuses is found among the scopes.
    assert!(screen.contains("peer:a"), "{screen}");
    app.key(KeyCode::Char('i').into());
    let screen = lines(&drawn(&mut app, now + SECOND, 80, 24)).join("\n");
    assert!(
        screen.contains("by address  the server does not say"),
        "{screen}"
    );
}

#[test]
fn the_details_have_all_usages_peaks_limits_and_origins() {
    let now = Instant::now();
    let page = page_of(told("echo", "Peer.Conns", "no"));
    let mut app = app_of(page, now);
    app.key(KeyCode::Enter.into());
    let query = app.question(now).expect("the details are asked for");
    assert_eq!(query.scope.as_deref(), Some("peer:192.0.2.7"));
    let mut told = told("echo", "Peer.Conns", "no");
    let numbers = |from: u64| {
        json!({"memory": from, "fd": from + 1, "streams-inbound": from + 2,
            "streams-outbound": from + 3, "conns-inbound": from + 4, "conns-outbound": from + 5})
    };
    told["scope"] = json!({"name": "peer:192.0.2.7", "used": numbers(11), "peak": numbers(21),
        "refusals": numbers(31), "limit": {"memory": 41, "fd": 42, "streams": 43,
        "streams-inbound": 44, "streams-outbound": 45, "conns": 46, "conns-inbound": 47,
        "conns-outbound": "unlimited"},
        "origins": {"fd": {"setting": "PeerDefault.FD", "from": "/etc/limits.toml:7"},
            "conns": {"setting": null, "from": "an override of this scope"}}});
    let result = serde_json::from_value(told).map_err(|error| error.to_string());
    app.answer(Answer { query, result }, now);
    let expected = "\
peer:192.0.2.7
last minute                     █
Memory           11 B of 41 B   26%  peak 21 B  refused 31
FD                 12 of 42     28%  peak 22    refused 32
Conns              31 of 46     67%
ConnsInbound       15 of 47     31%  peak 25    refused 35
ConnsOutbound      16 no limit       peak 26    refused 36
Streams            27 of 43     62%
StreamsInbound     13 of 44     29%  peak 23    refused 33
StreamsOutbound    14 of 45     31%  peak 24    refused 34

PeerDefault.FD: /etc/limits.toml:7
Conns: an override of this scope";
    let screen = lines(&drawn(&mut app, now, 66, 24));
    assert_eq!(screen[2..15].join("\n"), expected);
    // The list is as before.
    app.key(KeyCode::Esc.into());
    assert_eq!(app.matched(), 2);
    // On a narrow screen each resource has two lines.
    app.key(KeyCode::Enter.into());
    let screen = lines(&drawn(&mut app, now, 40, 24)).join("\n");
    for number in (11..17).chain(21..27).chain(31..37).chain(41..48) {
        assert!(
            screen.contains(&format!(" {number}")),
            "{number} in\n{screen}"
        );
    }
}
