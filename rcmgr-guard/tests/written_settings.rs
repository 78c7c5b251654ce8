//! Settings that are written as TOML are equal when they are read again.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use rcmgr_guard::{
    GuardFile, Listen, NearLimit, OnRefusal, Overflow, ProxyProtocol, ProxyVersion, Queue,
    Settings, Timeouts, Workers,
};

/// A string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn duration(duration: Duration) -> String {
    quoted(&format!("{}ms", duration.as_millis()))
}

fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    let items: Vec<_> = items.iter().map(text).collect();
    format!("[{}]", items.join(", "))
}

fn written(settings: &Settings) -> String {
    let mut out = String::new();
    for listen in &settings.listeners {
        let Timeouts {
            connect,
            header,
            first_byte,
            idle,
            half_closed,
            near_limit,
        } = listen.timeouts;
        writeln!(out, "[[listen]]\non = \"{}\"", listen.on).unwrap();
        writeln!(out, "to = {}", list(&listen.to, |to| quoted(to))).unwrap();
        writeln!(out, "service = {}", quoted(&listen.service)).unwrap();
        let networks = list(&listen.proxy_protocol.accept_from, |network| {
            quoted(&network.to_string())
        });
        writeln!(out, "proxy-protocol.accept-from = {networks}").unwrap();
        if let Some(version) = listen.proxy_protocol.send {
            let version = match version {
                ProxyVersion::V1 => "v1",
                ProxyVersion::V2 => "v2",
            };
            writeln!(out, "proxy-protocol.send = \"{version}\"").unwrap();
        }
        if let Some(Queue { most, longest }) = listen.queue {
            let longest = duration(longest);
            writeln!(out, "queue = {{ most = {most}, longest = {longest} }}").unwrap();
        }
        let timeouts = [
            ("connect", Some(connect)),
            ("header", Some(header)),
            ("first-byte", first_byte),
            ("idle", idle),
            ("half-closed", half_closed),
        ];
        for (name, timeout) in timeouts {
            if let Some(timeout) = timeout {
                writeln!(out, "timeouts.{name} = {}", duration(timeout)).unwrap();
            }
        }
        if let Some(near) = near_limit {
            writeln!(out, "timeouts.near-limit.from = \"{}%\"", near.from).unwrap();
            let idle = near.idle.map(duration).unwrap();
            writeln!(out, "timeouts.near-limit.idle = {idle}").unwrap();
        }
        let on_refusal = match &listen.on_refusal {
            OnRefusal::Close => "\"close\"".to_owned(),
            OnRefusal::Reset => "\"reset\"".to_owned(),
            OnRefusal::Reply(bytes) => {
                let text = std::str::from_utf8(bytes).unwrap();
                format!("{{ reply = {} }}", quoted(text))
            }
        };
        writeln!(out, "on-refusal = {on_refusal}\nsplice = {}", listen.splice).unwrap();
    }
    let over_limit = match settings.overflow {
        Overflow::Keep => "keep",
        Overflow::ShedIdle => "shed-idle",
    };
    let Workers {
        count,
        own_descriptors,
    } = settings.workers;
    let drain = duration(settings.drain);
    writeln!(
        out,
        "[guard]\nworkers = {count}\nown-descriptors = {own_descriptors}\ndrain = {drain}\n\
         over-limit = \"{over_limit}\""
    )
    .unwrap();
    out
}

fn some_time() -> impl Strategy<Value = Duration> {
    (1..366 * 86_400_000_u64).prop_map(Duration::from_millis)
}

fn some_backend() -> impl Strategy<Value = String> {
    // The ports are not those of the listeners.
    let address = (any::<IpAddr>(), 1..1000_u16);
    prop_oneof![
        address.prop_map(|address| SocketAddr::from(address).to_string()),
        "[a-z][a-z0-9-]{0,9}(\\.[a-z]{1,5}){0,2}:[1-9][0-9]{0,2}",
    ]
}

fn some_proxy_protocol() -> impl Strategy<Value = ProxyProtocol> {
    let network = (any::<[u8; 4]>(), 0..=32_u8).prop_map(|(ip, length)| {
        let network = ipnet::Ipv4Net::new(ip.into(), length).unwrap();
        ipnet::IpNet::from(network.trunc())
    });
    let version = prop_oneof![Just(ProxyVersion::V1), Just(ProxyVersion::V2)];
    (vec(network, 0..4), option::of(version))
        .prop_map(|(accept_from, send)| ProxyProtocol { accept_from, send })
}

prop_compose! {
    fn some_timeouts()(
        connect in some_time(),
        header in some_time(),
        first_byte in option::of(some_time()),
        idle in option::of(some_time()),
        half_closed in option::of(some_time()),
        near_limit in option::of(1..=100_u8),
    ) -> Timeouts {
        // It must be shorter than the usual one.
        let short = Duration::from_millis(1);
        let near_limit = near_limit.filter(|_| idle.is_none_or(|idle| idle > short));
        let near_limit = near_limit.map(|from| NearLimit {
            from,
            first_byte: None,
            idle: Some(short),
            half_closed: None,
        });
        Timeouts { connect, header, first_byte, idle, half_closed, near_limit }
    }
}

prop_compose! {
    /// A listener, without its address.
    fn some_listener()(
        to in btree_set(some_backend(), 1..4),
        service in any::<String>().prop_filter("a name", |name| (1..256).contains(&name.len())),
        proxy_protocol in some_proxy_protocol(),
        queue in option::of((1..=Queue::MOST, some_time())),
        timeouts in some_timeouts(),
        on_refusal in prop_oneof![
            Just(OnRefusal::Close),
            Just(OnRefusal::Reset),
            any::<String>()
                .prop_filter("a reply", |text| !text.is_empty())
                .prop_map(|text| OnRefusal::Reply(text.as_bytes().into())),
        ],
        splice in any::<bool>(),
    ) -> Listen {
        Listen {
            on: SocketAddr::from(([0, 0, 0, 0], 0)),
            to: to.into_iter().map(Arc::from).collect(),
            service: service.into(),
            proxy_protocol,
            queue: queue.map(|(most, longest)| Queue { most, longest }),
            timeouts,
            on_refusal,
            splice: splice && cfg!(target_os = "linux"),
        }
    }
}

prop_compose! {
    fn some_settings()(
        listeners in vec((any::<IpAddr>(), some_listener()), 1..4),
        count in 1..=Workers::MOST,
        own_descriptors in any::<bool>(),
        shed_idle in any::<bool>(),
        drain in prop_oneof![Just(Duration::ZERO), some_time()],
    ) -> Settings {
        let with_address = |(port, (ip, listen)): (u16, (IpAddr, Listen))| Listen {
            on: SocketAddr::from((ip, port)),
            ..listen
        };
        Settings {
            listeners: (1000..).zip(listeners).map(with_address).collect(),
            workers: Workers {
                count,
                own_descriptors: own_descriptors && count > 1 && cfg!(target_os = "linux"),
            },
            overflow: if shed_idle { Overflow::ShedIdle } else { Overflow::Keep },
            drain,
        }
    }
}

proptest! {
    #[test]
    fn settings_that_are_written_and_read_again_are_equal(settings in some_settings()) {
        let text = written(&settings);
        let file = GuardFile::from_toml(&text);
        prop_assert_eq!(file.map(|file| file.settings), Ok(settings), "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(
        lines in vec("(\\[\\[listen\\]\\]|\\[guard\\]|on|to|queue|timeouts) ?=? ?(.{0,9}|\\[.{0,5}\\]|\"[0-9.:/]{0,9}\")", 0..6)
    ) {
        let _ = GuardFile::from_toml(&lines.join("\n"));
    }
}
