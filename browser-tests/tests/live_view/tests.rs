//! The tests of the page.

use std::collections::BTreeSet;
use std::task::{Context, Waker};

use headless_chrome::Browser;
use rcmgr_atomic::{Direction, KIB, MIB, Manager, Priority};

use crate::crowd;
use crate::flood::Flood;
use crate::page::{PHONE, Page, Screen, WIDE};
use crate::server::Server;
use crate::state::{connection, manager, rich, stream};

pub type Test = fn(&Browser);

pub const ALL: [(&str, Test); 12] = [
    ("numbers_have_three_digits_or_are_shown_in_full", numbers),
    ("a_change_is_followed_without_reloading", change),
    ("a_peer_is_found_with_the_keyboard_alone", search),
    ("those_nearest_to_a_limit_come_first", order),
    ("names_that_remotes_make_up_are_text_and_do_nothing", names),
    (
        "a_hundred_thousand_nasty_names_leave_it_responsive",
        crowd_of_names,
    ),
    (
        "it_says_that_the_server_is_gone_and_goes_on_when_it_is_back",
        outage,
    ),
    ("it_fits_on_a_phone_and_on_a_desk", screens),
    ("its_colours_have_contrast_in_light_and_in_dark", contrast),
    ("where_nothing_is_open_it_says_so", empty),
    (
        "requests_that_wait_are_listed_and_on_the_page_of_their_scope",
        waits,
    ),
    (
        "under_a_flood_of_a_hundred_thousand_peers_the_attackers_come_first",
        under_flood,
    ),
];

/// The shown names of scopes, from top to bottom.
const NAMES: &str = "[...document.querySelectorAll('#tree .name')].map((name) => name.textContent)";

fn names_on(page: &Page) -> Vec<String> {
    page.value(NAMES)
}

/// The text of a scope's card.
fn card(name: &str) -> String {
    let name = serde_json::Value::from(name);
    format!(
        "([...document.querySelectorAll('#tree .scope')].find((scope) => \
         scope.querySelector('.name')?.textContent === {name})?.innerText ?? '')"
    )
}

fn change(browser: &Browser) {
    let manager = manager(|limits| limits.peer_default.memory = (4 * MIB).into());
    let server = Server::start(&manager);
    let first = stream(&manager, "192.0.2.1", "/echo", MIB);
    let page = Page::open(browser, server.url(), WIDE);
    let of_peer = card("peer:192.0.2.1");
    page.until(&format!("{of_peer}.includes('1 MiB of 4 MiB')"));
    let width = "document.querySelector('.fill').style.width";
    assert_eq!(page.value::<String>(width), "25%");
    // A reload would remove this variable.
    page.value::<bool>("(window.isTheSame = true)");
    let more = stream(&manager, "192.0.2.1", "/echo", 2 * MIB);
    page.until(&format!("{of_peer}.includes('3 MiB of 4 MiB')"));
    page.until(&format!("{of_peer}.includes('75 % of Memory')"));
    assert_eq!(page.value::<String>(width), "75%");
    let other = stream(&manager, "192.0.2.2", "/echo", 1);
    page.until_shown("192.0.2.2");
    drop((first, more, other));
    page.until("!document.body.innerText.includes('192.0.2.')");
    assert!(page.value::<bool>("window.isTheSame"));
    page.close();
}

fn search(browser: &Browser) {
    let (manager, _held) = rich();
    let server = Server::start(&manager);
    let page = Page::open(browser, server.url(), WIDE);
    page.until_shown("ClientPeer23");
    let all = names_on(&page).len();
    page.press("Tab");
    assert_eq!(page.value::<String>("document.activeElement.id"), "search");
    page.type_in("peer:clientPEER17");
    page.until(&format!(
        "{NAMES}.length > 0 && {NAMES}.every((name) => name.endsWith('Peer17'))"
    ));
    let found = names_on(&page);
    assert!(found.contains(&"peer:ClientPeer17".to_owned()), "{found:?}");
    // The peer and its shares of protocols and services, but not those of other peers.
    assert_eq!(found.len(), 5, "{found:?}");
    page.type_in("no such peer");
    page.until_shown("No scope name contains this text");
    assert!(names_on(&page).is_empty());
    page.press("Escape");
    page.until(&format!("{NAMES}.length === {all}"));
    page.until("document.getElementById('empty').hidden");
    page.close();
}

fn order(browser: &Browser) {
    let manager = manager(|limits| limits.peer_default.streams = 10.into());
    let mut held = Vec::new();
    for (peer, streams) in [("b", 2), ("c", 9), ("a", 5), ("d", 10)] {
        held.extend((0..streams).map(|_| stream(&manager, peer, "/echo", KIB)));
    }
    let server = Server::start(&manager);
    let page = Page::open(browser, server.url(), WIDE);
    page.until_shown("100 % of Streams");
    let peers = || {
        let names = names_on(&page);
        let peers = names.into_iter().filter(|name| name.starts_with("peer:"));
        peers.collect::<Vec<_>>()
    };
    assert_eq!(peers(), ["peer:d", "peer:c", "peer:a", "peer:b"]);
    let levels = "['d', 'c', 'a'].map((peer) => [...document.querySelectorAll('#tree .scope')]\
        .find((scope) => scope.querySelector('.name').textContent === 'peer:' + peer)\
        .querySelector('.bar').className.trim())";
    assert_eq!(
        page.value::<Vec<String>>(levels),
        ["bar full", "bar high", "bar"]
    );
    let by_name = "(document.getElementById('sort').value = 'name', \
        document.getElementById('sort').dispatchEvent(new Event('change')))";
    page.value::<bool>(by_name);
    page.until(&format!(
        "{NAMES}.filter((name) => name.startsWith('peer:')).join() === 'peer:a,peer:b,peer:c,peer:d'"
    ));
    page.close();
}

/// Checks that names have created no elements.
fn is_text(page: &Page) {
    let made = "[...new Set([...document.querySelectorAll('main *')].map((one) => one.localName))]";
    let made: BTreeSet<String> = page.value(made);
    let may = BTreeSet::from(
        [
            "a", "bdi", "details", "div", "h2", "input", "label", "li", "option", "p", "path",
            "section", "select", "span", "summary", "svg", "ul",
        ]
        .map(str::to_owned),
    );
    let other: Vec<_> = made.difference(&may).collect();
    assert!(other.is_empty(), "{other:?}");
    assert_eq!(page.value::<String>("document.title"), "rcmgr");
}

fn names(browser: &Browser) {
    let (manager, _held) = crowd::crowd(2 * crowd::NASTY.len());
    let server = Server::start(&manager);
    let page = Page::open(browser, server.url(), WIDE);
    page.until(&format!(
        "{NAMES}.length === {}",
        4 + 3 * 2 * crowd::NASTY.len()
    ));
    let shown: BTreeSet<String> = names_on(&page).into_iter().collect();
    for number in 0..2 * crowd::NASTY.len() {
        let protocol = crowd::protocol(number).to_owned();
        let protocol = rcmgr_atomic::shown(&protocol).to_string();
        let peer = crowd::peer(number);
        for name in [
            format!("peer:{peer}"),
            format!("protocol:{protocol}"),
            format!("protocol:{protocol}.peer:{peer}"),
        ] {
            assert!(shown.contains(&name), "{name} is not in {shown:#?}");
        }
    }
    is_text(&page);
    for screen in [WIDE, PHONE] {
        page.show_on(screen);
        fits(&page, screen);
        page.picture(format!("names-{}", screen.width));
    }
    page.close();
}

fn crowd_of_names(browser: &Browser) {
    let (manager, _held) = crowd::crowd(100_000);
    let server = Server::start(&manager);
    let page = Page::open(browser, server.url(), WIDE);
    page.until_shown("300k scopes");
    assert_eq!(names_on(&page).len(), 200);
    let elements = page.value::<u32>("document.querySelectorAll('*').length");
    assert!(elements < 20_000, "{elements}");
    is_text(&page);
    // The time that the page is blocked when it redraws everything.
    let deaf = "(() => { const begin = performance.now(); \
        layout = ''; cards = new Map(); draw(JSON.parse(drawn).scopes); document.body.offsetHeight; \
        return performance.now() - begin; })()";
    let deaf = page.value::<f64>(deaf);
    assert!(deaf < 1000.0, "{deaf} ms");
    page.press("Tab");
    page.type_in("<IMG src=x onerror=\"alert(1)\">/8.");
    let found =
        "protocol:/<img src=x onerror=\"alert(1)\">/8.peer:<img src=x onerror=\"alert(1)\">8";
    let found = serde_json::json!([found]);
    page.until(&format!(
        "JSON.stringify({NAMES}) === {}",
        serde_json::Value::from(found.to_string())
    ));
    is_text(&page);
    page.close();
}

fn outage(browser: &Browser) {
    let manager = manager(|limits| limits.peer_default.streams = 1.into());
    let one = stream(&manager, "192.0.2.1", "/echo", MIB);
    let server = Server::start(&manager);
    let address = server.address();
    let page = Page::open(browser, server.url(), WIDE);
    page.until_shown("192.0.2.1");
    let full = "192.0.2.1".parse().unwrap();
    let refused = manager.open_stream(&full, Direction::Inbound);
    refused.expect_err("it has as many as it may");
    let rates = "(document.body.innerText.match(/[0-9]\\/s/g) ?? []).length";
    page.until(&format!("{rates} >= 2"));
    drop(server);
    page.until("document.getElementById('state').textContent.startsWith('no answer since ')");
    assert!(page.value::<bool>("document.body.innerText.includes('192.0.2.1')"));
    // The totals stay, and the rates go.
    page.until_shown("refused 1");
    assert_eq!(page.value::<u32>(rates), 0);
    page.picture("outage");
    drop(one);
    let _two = stream(&manager, "192.0.2.2", "/echo", MIB);
    let asked = page.requests();
    let _server = Server::at(address, &manager);
    page.until_shown("192.0.2.2");
    page.until("!document.getElementById('state').textContent.includes('no answer')");
    assert!(!page.value::<bool>("document.body.innerText.includes('192.0.2.1')"));
    assert!(page.requests() > asked);
    // The browser logs each failed request.
    page.forgive("Failed to load resource: net::ERR_");
    page.close();
}

/// Checks that nothing is cut off and the page needs no horizontal scrolling.
fn fits(page: &Page, screen: Screen) {
    let width = page.value::<u32>("document.documentElement.scrollWidth");
    assert!(width <= screen.width, "{width} on {screen:?}");
    let cut = "[...document.querySelectorAll('header *, #settings *, #rows *, #detail *, #by-address *, main .title *, main .words *')]\
        .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5)\
        .map((one) => one.textContent)";
    let cut = page.value::<Vec<String>>(cut);
    assert!(cut.is_empty(), "{cut:?}");
}

fn screens(browser: &Browser) {
    let (manager, held) = rich();
    // A word that cannot be broken.
    let _long = stream(&manager, "192.0.2.9", &"x".repeat(300), MIB);
    let server = Server::start(&manager);
    let page = Page::open(browser, server.url(), WIDE);
    page.until_shown("ClientPeer23");
    for screen in [WIDE, PHONE] {
        for screen in [screen, screen.dark()] {
            page.show_on(screen);
            page.until(&format!("innerWidth === {}", screen.width));
            fits(&page, screen);
            page.picture(format!("{}-{}", screen.width, screen.scheme));
        }
    }
    let size = "getComputedStyle(document.getElementById('search')).fontSize";
    // With a smaller font a phone would zoom the page while typing.
    assert_eq!(page.value::<String>(size), "16px");
    drop(held);
    page.close();
}

fn contrast(browser: &Browser) {
    let (manager, _held) = rich();
    let server = Server::start(&manager);
    let page = Page::open(browser, server.url(), WIDE);
    page.until_shown("refused 1,234");
    // The contrast of every text with the background of the page, as WCAG calculates it.
    let lowest = "(() => {
        const light = (colour) => {
            const [r, g, b] = colour.match(/[0-9.]+/g).map(Number)
                .map((of) => of / 255).map((of) => of <= 0.04045 ? of / 12.92 : ((of + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const back = light(getComputedStyle(document.body).backgroundColor);
        const texts = [...document.querySelectorAll('body *')].filter((one) =>
            [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) && one.checkVisibility());
        const found = texts.map((one) => {
            const text = light(getComputedStyle(one).color);
            return [(Math.max(back, text) + 0.05) / (Math.min(back, text) + 0.05), one.className];
        });
        return [found.reduce((low, next) => next[0] < low[0] ? next : low), new Set(found.map((one) => one[1])).size];
    })()";
    let mut backs = BTreeSet::new();
    for screen in [WIDE, WIDE.dark()] {
        page.show_on(screen);
        backs.insert(page.value::<String>("getComputedStyle(document.body).backgroundColor"));
        let ((lowest, of), kinds) = page.value::<((f64, String), usize)>(lowest);
        assert!(lowest >= 4.5, "{lowest} of {of:?} in {}", screen.scheme);
        assert!(kinds > 5, "{kinds}");
    }
    assert_eq!(backs.len(), 2, "{backs:?}");
    page.close();
}

fn empty(browser: &Browser) {
    let manager: Manager = manager(|_| {});
    let server = Server::start(&manager);
    let page = Page::open(browser, server.url(), PHONE);
    page.until_shown("4 scopes at");
    page.until_shown("No scope is in use.");
    page.picture("empty");
    let refused = manager.open_stream(&"192.0.2.1".parse().unwrap(), Direction::Inbound);
    page.until("document.getElementById('empty').hidden");
    let _connection = connection(&manager, "192.0.2.1");
    page.until_shown("peer:192.0.2.1");
    drop(refused);
    page.close();
}

fn waits(browser: &Browser) {
    let manager = manager(|limits| limits.peer_default.memory = (64 * KIB).into());
    let peer = manager.view_peer(&"192.0.2.1".parse().unwrap());
    let held = peer.reserve(64 * KIB, Priority::Always).unwrap();
    let server = Server::start(&manager);
    let page = Page::open(browser, server.url(), PHONE);
    page.until_shown("192.0.2.1");
    assert!(page.value::<bool>("document.getElementById('waiting').hidden"));

    let mut task = Context::from_waker(Waker::noop());
    let mut waiting =
        [4, 8].map(|kib| Box::pin(peer.reserve_when_available(kib * KIB, Priority::Low)));
    for one in &mut waiting {
        assert!(one.as_mut().poll(&mut task).is_pending());
    }
    let row = "document.querySelector('#queues .row')?.innerText ?? ''";
    for text in ["peer:192.0.2.1", "2 requests, 12 KiB", "Memory"] {
        page.until(&format!("({row}).includes('{text}')"));
    }
    page.until("document.getElementById('waits').innerText.includes('2 now')");
    for screen in [PHONE, WIDE] {
        page.show_on(screen);
        page.until(&format!("innerWidth === {}", screen.width));
        fits(&page, screen);
        page.picture(format!("waiting-{}", screen.width));
    }
    // Its name leads to the page of the scope, which has its own queues.
    page.value::<bool>("(document.querySelector('#queues a').click(), true)");
    page.until("document.querySelector('#detail .row')?.innerText.includes('12 KiB')");
    assert!(page.value::<bool>("document.getElementById('waiting').hidden"));
    page.value::<bool>("(history.back(), true)");
    page.until("!document.getElementById('waiting').hidden");

    drop((waiting, held));
    page.until("document.getElementById('waits').innerText.includes('0 now')");
    page.until("document.getElementById('waits').innerText.includes('given up 2')");
    page.until("document.getElementById('queues').children.length === 0");
    page.close();
}

fn under_flood(browser: &Browser) {
    let flood = Flood::start();
    let server = Server::start(&flood.manager);
    let page = Page::open(browser, server.url(), WIDE);
    // Those that refuse now are above everything else, with the setting to change.
    let rows = "[...document.querySelectorAll('#rows .row')].map((row) => \
        [...row.children].map((cell) => cell.textContent))";
    page.until(&format!("{rows}.length >= 6"));
    let found = page.value::<Vec<[String; 4]>>(rows);
    let cell = |name: &str, at: usize| {
        let row = found.iter().find(|row| row[1] == name);
        row.unwrap_or_else(|| panic!("{name} in {found:#?}"))[at].clone()
    };
    assert_eq!(found[0][1], "peer:10.0.0.7", "{found:#?}");
    assert_eq!(cell("peer:10.0.0.7", 2), "StreamsInbound, 20 of 20");
    assert_eq!(cell("peer:10.0.0.7", 3), "PeerDefault.StreamsInbound");
    assert_eq!(cell("system", 2), "ConnsInbound, 100k of 100k");
    assert_eq!(cell("system", 3), "System.ConnsInbound");
    assert_eq!(cell("peer:10.0.0.23", 3), "PeerDefault.Memory");
    assert!(cell("system", 0).ends_with("/s"));
    let above = "document.querySelector('#rows').getBoundingClientRect().bottom < \
        Math.min(innerHeight, document.querySelector('#tree').getBoundingClientRect().top)";
    assert!(page.value::<bool>(above));
    // So are refusals by address and by the dry run, with their numbers.
    page.until_shown("203.0.113.9/32");
    page.until("document.querySelector('#by-address').innerText.includes('/s')");
    page.until("document.querySelector('#would').innerText.includes('StreamsInbound ')");
    // A hundred thousand shares without limits are one line.
    let lines = "[...document.querySelectorAll('#tree .scope')].filter((one) => one.checkVisibility()).length";
    assert!(page.value::<u32>(lines) <= 203);
    // Each scope has a minute of history. It is bounded, and the page stays responsive.
    page.until("document.querySelector('#tree .usage').getAttribute('d').split('L').length > 6");
    page.until("document.querySelector('#tree .refusals').getAttribute('d').includes('V20Z')");
    assert!(page.value::<u32>("document.querySelectorAll('*').length") < 20_000);
    assert!(page.value::<u32>("histories.size") <= 30 * 203);
    for screen in [WIDE, PHONE] {
        for screen in [screen, screen.dark()] {
            page.show_on(screen);
            page.until(&format!("innerWidth === {}", screen.width));
            fits(&page, screen);
            page.picture(format!("flood-{}-{}", screen.width, screen.scheme));
        }
    }
    // The scope's own page has an address, and the browser's way back leads to all scopes.
    page.show_on(WIDE);
    page.value::<bool>("(document.querySelector('#rows a').click(), true)");
    page.until_shown("PeerDefault.StreamsInbound");
    page.until("document.querySelectorAll('#detail tbody tr').length === 8");
    assert_eq!(
        page.value::<String>("location.search"),
        "?scope=peer%3A10.0.0.7"
    );
    page.until_shown("service:echo.peer:10.0.0.7");
    for screen in [WIDE, PHONE] {
        for screen in [screen, screen.dark()] {
            page.show_on(screen);
            page.until(&format!("innerWidth === {}", screen.width));
            fits(&page, screen);
            page.picture(format!("scope-{}-{}", screen.width, screen.scheme));
        }
    }
    page.value::<bool>("(window.history.back(), true)");
    page.until("document.getElementById('detail').hidden");
    page.until_shown("peer:10.0.0.13");
    page.close();
}

fn numbers(browser: &Browser) {
    let server = Server::start(&manager(|_| {}));
    let page = Page::open(browser, server.url(), WIDE);
    // `rcmgr top` shows the same.
    let cases: [(&str, &[(f64, &str)]); 3] = [
        (
            "count",
            &[
                (0.0, "0"),
                (999.0, "999"),
                (9_999.0, "9,999"),
                (10_000.0, "10k"),
                (10_049.0, "10.0k"),
                (133_564.0, "134k"),
                (999_499.0, "999k"),
                (999_500.0, "1.00M"),
                (1_234_567_890.0, "1.23G"),
            ],
        ),
        (
            "size",
            &[
                (1_023.0, "1,023 B"),
                (1_024.0, "1 KiB"),
                (1_536.0, "1.50 KiB"),
                (1_048_575.0, "1.00 MiB"),
                (1_047_552.0, "0.999 MiB"),
                (50_780_438_528.0, "47.3 GiB"),
            ],
        ),
        (
            "rate",
            &[
                (0.0, "0/s"),
                (0.04, "<0.1/s"),
                (2.5, "2.5/s"),
                (9.96, "10/s"),
                (1_234.6, "1,235/s"),
                (13_000.0, "13k/s"),
            ],
        ),
    ];
    for (function, cases) in cases {
        for (number, text) in cases {
            let shown = page.value::<String>(&format!("{function}({number})"));
            assert_eq!(shown, *text, "{function} of {number}");
        }
    }
    // The time, which changes with every answer, is not read out.
    let quiet = "['clock', 'uptime'].every((id) => \
        document.getElementById(id).closest('[aria-live], [role=status]').ariaLive === 'off')";
    assert!(page.value::<bool>(quiet));
    page.close();
}
