//! No screen shows a part of a number.

use std::collections::HashSet;

use proptest::prelude::*;
use rcmgr_atomic::{LimitValue, Resource};

use super::*;
use crate::top::numbers::{amount, amount_of, percent, rate, seconds};

const SECOND: Duration = Duration::from_secs(1);

/// The texts that numbers of some pages may have.
#[derive(Default)]
struct Texts(HashSet<String>);

impl Texts {
    /// All whole numbers, rates and utilisations of two pages, one second apart.
    fn of(pages: &[Page; 2]) -> Self {
        let mut texts = Self::default();
        for page in pages {
            let reload = page.reload.as_ref().unwrap();
            let of_server = [page.over_releases.unwrap(), reload.reloads, reload.failures];
            for number in [page.total, page.matched].into_iter().chain(of_server) {
                texts.add(&count(number));
            }
            texts.add_scopes(page);
            texts.add_addresses(page);
        }
        texts.add_rates(pages);
        texts.add_dry_run(pages);
        texts.add_waits(pages);
        // The address and the time of an answer.
        for text in ["127.0.0.1:9500", "0", "0/s", "<0.1/s"] {
            texts.add(text);
        }
        texts
    }

    fn add(&mut self, text: &str) {
        self.0.extend(text.split_whitespace().map(str::to_owned));
    }

    fn add_scopes(&mut self, page: &Page) {
        for scope in page.pinned().into_iter().chain(&page.scopes) {
            self.add(&count(scope.all_refused()));
            for resource in Resource::ALL {
                let used = scope.used(resource);
                let peak = scope.peak(resource).unwrap_or(0);
                for refused in [scope.refused(resource), scope.refused_by_dry_run(resource)] {
                    let text = count(refused.unwrap_or(0));
                    self.add(&text);
                    // Before its rate.
                    self.add(&format!("{text},"));
                }
                self.add(&amount(resource, used));
                self.add(&amount(resource, peak));
                self.add(&scope.part(resource).map_or_else(String::new, percent));
                if let LimitValue::Limited(most) = scope.limit.get(resource) {
                    self.add(&amount(resource, most));
                    self.add(&amount_of(resource, used, most));
                }
            }
        }
    }

    fn add_addresses(&mut self, page: &Page) {
        let addresses = page.addresses.as_ref().unwrap();
        self.add(&count(addresses.all_refused()));
        self.add(&count(addresses.permits));
        for number in addresses.counts() {
            self.add(&count(number));
        }
        for network in &addresses.most_refused {
            self.add(&network.network);
            for number in [network.by_rate, network.by_subnet, network.all_refused()] {
                self.add(&count(number));
            }
        }
        for refuser in &page.refusing.as_ref().unwrap().now {
            self.add(&rate(refuser.per_second));
            let [used, limit] = [refuser.used, refuser.limit].map(Option::unwrap);
            self.add(&amount_of(Resource::ConnsInbound, used, limit));
        }
    }

    fn add_dry_run(&mut self, [before, after]: &[Page; 2]) {
        let [before, after] = [before, after].map(|page| page.dry_run.as_ref().unwrap().counts());
        let rates: [_; 8] = std::array::from_fn(|at| (after[at] - before[at]) as f64);
        for number in before.into_iter().chain(after) {
            self.add(&count(number));
        }
        for number in rates.into_iter().chain([rates.iter().sum()]) {
            self.add(&rate(number));
        }
    }

    fn add_waits(&mut self, [before, after]: &[Page; 2]) {
        for page in [before, after] {
            let totals = page.wait_totals.unwrap();
            let of_page = [page.waiting_requests, totals.begun];
            // The last number is that of the queues that are not listed.
            let rest = page.waiting_queues - 2;
            for number in totals.ended().into_iter().chain(of_page).chain([rest]) {
                self.add(&count(number));
            }
            self.add(&totals.average_seconds().map_or_else(String::new, seconds));
            for queue in &page.waiting {
                self.add(&count(queue.requests));
                self.add(&queue.amount());
                self.add(&seconds(queue.longest_seconds));
            }
        }
        let [before, after] = [before, after].map(|page| page.wait_totals.unwrap().ended());
        for (before, after) in before.into_iter().zip(after) {
            self.add(&rate((after - before) as f64));
        }
    }

    fn add_rates(&mut self, [before, after]: &[Page; 2]) {
        for (before, after) in before.scopes.iter().zip(&after.scopes) {
            let new = |of: fn(&Scope, Resource) -> Option<u64>, resource| {
                Some(of(after, resource)? - of(before, resource)?)
            };
            for of in [Scope::refused, Scope::refused_by_dry_run] {
                let rates = Resource::ALL.map(|one| new(of, one).unwrap_or(0) as f64);
                for number in rates {
                    self.add(&rate(number));
                }
                self.add(&rate(rates.iter().sum()));
            }
        }
        let refusers = &after.refusing.as_ref().unwrap().now;
        self.add(&rate(refusers.iter().map(|one| one.per_second).sum()));
        let [before, after] = [before, after].map(|page| page.addresses.as_ref().unwrap());
        let rates: [_; 3] = std::array::from_fn(|at| after.counts()[at] - before.counts()[at]);
        for number in [rates[0], rates[1], rates[2], rates[0] + rates[1]] {
            self.add(&rate(number as f64));
        }
        for (before, after) in before.most_refused.iter().zip(&after.most_refused) {
            self.add(&rate((after.all_refused() - before.all_refused()) as f64));
        }
    }

    /// The first word of a screen that begins as a number and is none.
    fn first_unknown<'a>(&self, screen: &'a str) -> Option<&'a str> {
        let mut words = screen.split_whitespace();
        words.find(|word| {
            word.starts_with(|char: char| char.is_ascii_digit() || "<>".contains(char))
                && !self.0.contains(*word)
        })
    }
}

/// Numbers of all lengths. The sums of some are exact as a float.
fn number() -> impl Strategy<Value = u64> {
    (0..=48_u32, any::<u64>()).prop_map(|(bits, any)| any & ((1 << bits) - 1))
}

fn numbers() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(number(), 64)
}

/// A page in which nearly each number is another one, with refusals that grow.
fn page_with(numbers: &[u64], later: u64) -> Page {
    let mut next = numbers.iter().copied().cycle();
    let mut next = || next.next().unwrap();
    let names = ["peer:alice", "protocol:/files/a.peer:bob", "service:echo"];
    let mut page = page(names.map(scope));
    for (at, scope) in page.scopes.iter_mut().enumerate() {
        for stat in [&mut scope.used, &mut scope.peak] {
            (stat.memory, stat.fd) = (next(), next());
            (stat.streams_inbound, stat.streams_outbound) = (next(), next());
            (stat.conns_inbound, stat.conns_outbound) = (next(), next());
        }
        scope.limit.memory = next().into();
        scope.limit.conns_inbound = next().into();
        scope.limit.streams = next().into();
        scope.dry_run_refusals.memory = next() + later * next();
        scope.dry_run_refusals.fd = next() + later * next();
        scope.refusals.memory = next() + later * next();
        scope.refusals.conns_inbound = next() + later * next();
        // The last scope has no limits that the others have: its numbers have other widths.
        if at == 2 {
            scope.limit.conns = next().into();
        }
    }
    let network = |network: &str, by_rate, by_subnet| json!({"network": network, "by_rate": by_rate, "by_subnet": by_subnet});
    let addresses = json!({
        "refused_by_rate": next() + later * next(),
        "refused_by_subnet": next() + later * next(),
        "verifications_asked": next() + later * next(),
        "permits": next(),
        "most_refused": [
            network("198.51.100.0/24", next() + later * next(), next() + later * next()),
            network("2001:db8::/56", next() + later * next(), next()),
        ],
    });
    page.addresses = Some(serde_json::from_value(addresses).unwrap());
    let refuser = |scope: &str, rate: u64, used: u64, limit: u64| {
        json!({"scope": scope, "class": "peer", "scopes": 1, "resource": "conns-inbound",
            "count": rate, "per_second": rate as f64, "setting": "PeerDefault.ConnsInbound",
            "used": used, "limit": limit})
    };
    let refusing = json!({"seconds": 1.0, "now": [
        refuser("peer:alice", next(), next(), next()),
        refuser("protocol:/files/a.peer:bob", next(), next(), next()),
    ]});
    page.refusing = Some(serde_json::from_value(refusing).unwrap());
    let dry_run = json!({"refusals": {"memory": next() + later * next(), "fd": 0,
        "streams-inbound": 0, "streams-outbound": 0,
        "conns-inbound": next() + later * next(), "conns-outbound": 0},
        "addresses": {"refused_by_rate": next() + later * next(), "refused_by_subnet": 0}});
    page.dry_run = Some(serde_json::from_value(dry_run).unwrap());
    let queue = |scope: &str, resource: &str, requests: u64, amount: u64, millis: u64| {
        json!({"scope": scope, "class": "peer", "resource": resource, "requests": requests,
            "amount": amount, "longest_seconds": millis as f64 / 1000.0})
    };
    let waiting = json!([
        queue("peer:alice", "memory", next(), next(), next()),
        queue("service:echo", "conns-inbound", next(), next(), next()),
    ]);
    page.waiting = serde_json::from_value(waiting).unwrap();
    page.waiting_queues = 2 + next();
    page.waiting_requests = next();
    let totals = json!({"begun": next(), "granted": next() + later * next(),
        "refused": next() + later * next(), "given_up": next() + later * next(),
        "waited_seconds": next() as f64 / 1000.0});
    page.wait_totals = Some(serde_json::from_value(totals).unwrap());
    let reload = json!({"file": "limits.toml", "reloads": next(), "failures": next()});
    page.reload = Some(serde_json::from_value(reload).unwrap());
    page.name = Some("echo".to_owned());
    page.over_releases = Some(next());
    page.total = next();
    page
}

/// The screens of all views for two pages, one second apart.
fn screens(pages: &[Page; 2], width: u16, height: u16) -> Vec<String> {
    let begin = Instant::now();
    let mut app = app_of(pages[0].clone(), begin);
    let now = begin + SECOND;
    answer(&mut app, Ok(pages[1].clone()), now);
    let mut screens = Vec::new();
    for key in [
        KeyCode::Null,
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Char('i'),
    ] {
        app.key(key.into());
        screens.push(lines(&drawn(&mut app, now, width, height)).join("\n"));
    }
    let why = "the server answered 503 Service Unavailable within 1234567 ms".to_owned();
    app.key(KeyCode::Esc.into());
    answer(&mut app, Err(why), now + SECOND);
    screens.push(lines(&drawn(&mut app, now + SECOND, width, height)).join("\n"));
    screens
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_width_shows_a_part_of_a_number(
        numbers in numbers(),
        width in 20..=200_u16,
        height in 5..=50_u16,
    ) {
        let pages = [page_with(&numbers, 0), page_with(&numbers, 1)];
        let mut texts = Texts::of(&pages);
        for text in ["503", "1234567", "1"] {
            texts.add(text);
        }
        for screen in screens(&pages, width, height) {
            prop_assert_eq!(texts.first_unknown(&screen), None, "at {}x{}\n{}", width, height, screen);
            let widest = screen.lines().map(UnicodeWidthStr::width).max();
            prop_assert!(widest <= Some(width.into()));
        }
    }

    #[test]
    fn the_rate_of_refusals_is_shown_from_40_columns_on(
        numbers in numbers(),
        width in 40..=200_u16,
    ) {
        let pages = [page_with(&numbers, 0), page_with(&numbers, 1)];
        let screens = screens(&pages, width, 24);
        for (scope, refused) in pages[0].scopes.iter().zip(&pages[1].scopes) {
            let new = refused.all_refused() - scope.all_refused();
            let start = &scope.name.shown[..4];
            let mut rows = screens[0].lines().filter(|line| line.starts_with(start));
            let expected = rate(new as f64);
            let row = rows.next_back().unwrap_or_default();
            let is_shown = row.split_whitespace().any(|word| word == expected);
            prop_assert!(is_shown, "{} of {}\n{}", expected, start, &screens[0]);
        }
    }
}

#[test]
fn a_number_in_the_help_is_whole() {
    let now = Instant::now();
    let mut app = app_of(busy(), now);
    app.key(KeyCode::Char('?').into());
    for width in 20..80 {
        let screen = lines(&drawn(&mut app, now, width, 60)).join("\n");
        for number in ["powers of 1000", "of 1024"] {
            let words: Vec<_> = screen
                .split(['│', '\n', ' '])
                .filter(|word| !word.is_empty())
                .collect();
            assert!(
                words.join(" ").contains(number),
                "{number} at {width}\n{screen}"
            );
        }
    }
}

/// The example of the report: at 80 columns 133,564 was shown as `1`.
#[test]
fn a_count_of_refusals_is_rounded_not_cut_in_the_details_at_80_columns() {
    let now = Instant::now();
    let mut page = busy();
    page.scopes[0].refusals.conns_inbound = 133_564;
    let mut app = app_of(page, now);
    app.key(KeyCode::Enter.into());
    for width in [80, 60, 40, 30] {
        let screen = lines(&drawn(&mut app, now, width, 24)).join("\n");
        assert!(screen.contains("refused 134k"), "at {width}\n{screen}");
    }
}

#[test]
fn a_number_in_the_title_is_left_out_not_cut() {
    let now = Instant::now();
    let mut page = busy();
    page.total = 119_747;
    let mut app = app_of(page, now);
    for width in 20..80 {
        let title = lines(&drawn(&mut app, now, width, 10)).remove(0);
        let rest = title
            .replace("120k scopes", "")
            .replace("answers in 0 ms", "");
        let rest = rest.replace("rcmgr top", "").replace("127.0.0.1:9500", "");
        assert_eq!(rest.trim(), "", "at {width}: {title}");
    }
}

#[test]
fn a_number_in_a_reason_is_whole() {
    let now = Instant::now();
    let mut app = app_of(busy(), now);
    let why = "the answer is longer than 8388608 bytes";
    answer(&mut app, Err(why.to_owned()), now + SECOND);
    for width in 20..80 {
        let title = lines(&drawn(&mut app, now + SECOND, width, 10)).remove(0);
        let digits = title.split(|char: char| !char.is_ascii_digit());
        let expected = ["", "127", "0", "1", "9500", "4", "8388608"];
        for digits in digits {
            assert!(expected.contains(&digits), "at {width}: {title}");
        }
    }
}
