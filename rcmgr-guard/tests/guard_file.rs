//! The file of the proxy: its values, its defaults, and the message of each mistake.

use std::net::UdpSocket;
use std::time::Duration;

use rcmgr_core::{LimitValue, LimitsKey, Resource};
use rcmgr_guard::{GuardFile, OnRefusal, Overflow, ProxyVersion, Queue, Timeouts};

/// The shortest file without a mistake.
const PLAIN: &str = "[[listen]]\non = '0.0.0.0:5432'\nto = '10.0.0.2:5432'\n";

fn errors(text: &str) -> String {
    match GuardFile::from_toml(text) {
        Ok(file) => panic!("no error for {text:?}: {file:?}"),
        Err(errors) => errors.to_string(),
    }
}

/// The message of a mistake on line 4, in the table of a listener.
fn error_of_line(line: &str) -> String {
    let errors = errors(&format!("{PLAIN}{line}\n"));
    let message = errors.strip_prefix("line 4: listen");
    message
        .unwrap_or_else(|| panic!("{line}: {errors}"))
        .to_owned()
}

#[test]
fn a_file_sets_every_value_of_a_listener() {
    let file = GuardFile::from_toml(
        "[[listen]]\n\
         on = '[::1]:5432'\n\
         to = ['10.0.0.2:5432', 'db.internal:5433']\n\
         service = 'postgres'\n\
         proxy-protocol = { accept-from = ['10.0.0.0/8', '192.0.2.1', '::ffff:198.51.100.0/120'], send = 'v2' }\n\
         queue = { most = 200, longest = '2s' }\n\
         timeouts = { connect = '250ms', header = '3s', first-byte = '10s', idle = '1h', half-closed = '5m' }\n\
         on-refusal = { reply = \"busy\\r\\n\" }\n\
         [guard]\n\
         workers = 4\n\
         drain = '1m'\n\
         over-limit = 'shed-idle'\n\
         view = '127.0.0.1:8080'\n\
         [Service.postgres]\n\
         ConnsInbound = 500\n",
    )
    .unwrap();
    let settings = &file.settings;
    let [listen] = &settings.listeners[..] else {
        panic!("{settings:?}");
    };
    assert_eq!(listen.on, "[::1]:5432".parse().unwrap());
    let to: Vec<_> = listen.to.iter().map(|to| &**to).collect();
    assert_eq!(to, ["10.0.0.2:5432", "db.internal:5433"]);
    assert_eq!(&*listen.service, "postgres");
    let networks = ["10.0.0.0/8", "192.0.2.1/32", "198.51.100.0/24"];
    let networks = networks.map(|network| network.parse().unwrap());
    assert_eq!(listen.proxy_protocol.accept_from, networks);
    assert_eq!(listen.proxy_protocol.send, Some(ProxyVersion::V2));
    let longest = Duration::from_secs(2);
    assert_eq!(listen.queue, Some(Queue { most: 200, longest }));
    let timeouts = Timeouts {
        connect: Duration::from_millis(250),
        header: Duration::from_secs(3),
        first_byte: Some(Duration::from_secs(10)),
        idle: Some(Duration::from_secs(3600)),
        half_closed: Some(Duration::from_secs(300)),
        near_limit: None,
    };
    assert_eq!(listen.timeouts, timeouts);
    let busy = OnRefusal::Reply(b"busy\r\n"[..].into());
    assert_eq!(listen.on_refusal, busy);
    assert_eq!(settings.workers.count, 4);
    assert_eq!(settings.drain, Duration::from_secs(60));
    assert_eq!(settings.overflow, Overflow::ShedIdle);
    assert_eq!(file.view, Some("127.0.0.1:8080".parse().unwrap()));
    let postgres = LimitsKey::Service("postgres".into());
    assert_eq!(
        file.limits.line(&postgres, Resource::ConnsInbound),
        Some(15)
    );
}

#[test]
fn what_a_file_leaves_out_is_off_and_limits_are_unlimited() {
    let file = GuardFile::from_toml(PLAIN).unwrap();
    let listen = &file.settings.listeners[0];
    assert_eq!(&*listen.service, "guard");
    assert_eq!(listen.queue, None);
    assert_eq!(listen.timeouts, Timeouts::default());
    assert_eq!(listen.on_refusal, OnRefusal::Close);
    assert!(listen.proxy_protocol.accept_from.is_empty());
    assert_eq!(file.settings.workers.count, 1);
    assert_eq!(file.settings.drain, Duration::from_secs(30));
    assert_eq!((file.view, file.dry_run), (None, false));
    assert_eq!(file.limits().system.conns, LimitValue::Unlimited);
    assert_eq!(file.limits().dry_run, None);
}

#[test]
fn a_dry_run_evaluates_the_limits_and_enforces_none() {
    let text = format!("{PLAIN}[guard]\ndry-run = true\n[System]\nConns = 7\n");
    let limits = GuardFile::from_toml(&text).unwrap().limits();
    assert_eq!(limits.system.conns, LimitValue::Unlimited);
    assert_eq!(limits.dry_run.unwrap().system.conns, LimitValue::Limited(7));
    let twice = format!("{text}[DryRun.System]\nConns = 9\n");
    assert_eq!(
        errors(&twice),
        "line 5: guard.dry-run: a dry run enforces no limits, and the table DryRun has other \
         ones: remove this key or the table",
    );
}

#[test]
fn each_mistake_of_a_listener_says_what_was_meant() {
    let cases = [
        (
            "sevice = 'a'",
            ".sevice: unknown key; did you mean \"service\"?",
        ),
        (
            "\"a\\u0007\\n\" = 1",
            r".a\u{7}\n: unknown key; the known keys are on, to, service, proxy-protocol, queue, timeouts, on-refusal, splice",
        ),
        ("dry-run = true", ".dry-run: this key must be in [guard]"),
        (
            "service = 7",
            ".service: expected a string such as \"postgres\", found a number",
        ),
        ("service = ''", ".service: empty: a service needs a name"),
        (
            "splice = 'yes'",
            ".splice: expected true or false, found a string",
        ),
        ("queue = 200", ".queue: expected a table, found a number"),
        (
            "queue = { most = 200 }",
            ".queue: the key \"longest\" is missing: add longest = \"2s\"",
        ),
        (
            "queue = { longest = '2s' }",
            ".queue: the key \"most\" is missing: add most = 200",
        ),
        (
            "queue = { most = 0, longest = '2s' }",
            ".queue.most: expected a whole number from 1 to 1000000, found 0",
        ),
        (
            "queue = { most = -1, longest = '2s' }",
            ".queue.most: expected a whole number from 1 to 1000000, found -1",
        ),
        (
            "queue = { most = 1.5, longest = '2s' }",
            ".queue.most: expected a whole number from 1 to 1000000, found a number",
        ),
        (
            "queue = { most = 2, longest = '0s' }",
            ".queue.longest: must not be zero",
        ),
        (
            "timeouts = { connect = 5 }",
            ".timeouts.connect: expected a string such as \"2s\", found a number",
        ),
        (
            "timeouts = { conect = '5s' }",
            ".timeouts.conect: unknown key; did you mean \"connect\"?",
        ),
        (
            "timeouts = { idle = '5' }",
            ".timeouts.idle: expected a duration such as \"250ms\", \"2s\", \"5m\" or \"1h\", found \"5\"",
        ),
        (
            "timeouts = { idle = '-5s' }",
            ".timeouts.idle: expected a duration such as \"250ms\", \"2s\", \"5m\" or \"1h\", found \"-5s\"",
        ),
        (
            "timeouts = { idle = '5s ago' }",
            ".timeouts.idle: expected a duration such as \"250ms\", \"2s\", \"5m\" or \"1h\", found \"5s ago\"",
        ),
        (
            "timeouts = { idle = '' }",
            ".timeouts.idle: expected a duration such as \"250ms\", \"2s\", \"5m\" or \"1h\", found \"\"",
        ),
        (
            "timeouts = { idle = '9000h' }",
            ".timeouts.idle: \"9000h\" is longer than 366 days",
        ),
        (
            "timeouts = { half-closed = '0ms' }",
            ".timeouts.half-closed: must not be zero",
        ),
        (
            "on-refusal = 'drop'",
            ".on-refusal: expected \"close\", \"reset\" or { reply = \"TEXT\" }, found \"drop\"",
        ),
        (
            "on-refusal = true",
            ".on-refusal: expected \"close\", \"reset\" or { reply = \"TEXT\" }, found a boolean",
        ),
        (
            "on-refusal = { reply = '' }",
            ".on-refusal.reply: empty: write on-refusal = \"close\"",
        ),
        (
            "on-refusal = {}",
            ".on-refusal: the key \"reply\" is missing",
        ),
        (
            "proxy-protocol = { send = 'v3' }",
            ".proxy-protocol.send: unknown value \"v3\"; did you mean \"v1\"?",
        ),
        (
            "proxy-protocol = { send = 'binary' }",
            ".proxy-protocol.send: expected \"v1\" or \"v2\", found \"binary\"",
        ),
        (
            "proxy-protocol = { accept-from = '10.0.0.0/8' }",
            ".proxy-protocol.accept-from: expected an array of networks, found a string",
        ),
        (
            "proxy-protocol = { accept-from = ['lb.internal'] }",
            ".proxy-protocol.accept-from: expected a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", found \"lb.internal\"",
        ),
        (
            "proxy-protocol = { accept-from = ['10.0.0.1/8'] }",
            ".proxy-protocol.accept-from: 10.0.0.1/8 has bits set behind its prefix; did you mean 10.0.0.0/8?",
        ),
        (
            "proxy-protocol = { accept-from = ['10.0.0.0/33'] }",
            ".proxy-protocol.accept-from: expected a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", found \"10.0.0.0/33\"",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(error_of_line(line), expected, "{line}");
    }
}

#[test]
fn each_wrong_address_says_what_is_missing() {
    let on = [
        ("0.0.0.0", "no port: write \"0.0.0.0:PORT\""),
        ("::", "no port: write \"[::]:PORT\""),
        (
            "localhost:80",
            "expected an IP address and a port, such as \"0.0.0.0:5432\" or \"[::]:5432\", found \"localhost:80\"",
        ),
        (
            "a\\n:80",
            "expected an IP address and a port, such as \"0.0.0.0:5432\" or \"[::]:5432\", found \"a\\n:80\"",
        ),
        (
            "1.2.3.4:65536",
            "expected an IP address and a port, such as \"0.0.0.0:5432\" or \"[::]:5432\", found \"1.2.3.4:65536\"",
        ),
    ];
    for (address, expected) in on {
        let text = format!("[[listen]]\nto = '10.0.0.2:1'\non = \"{address}\"\n");
        assert_eq!(errors(&text), format!("line 3: listen.on: {expected}"));
    }
    let to = [
        ("10.0.0.2", "no port: write \"10.0.0.2:PORT\""),
        ("db.internal", "no port: write \"db.internal:PORT\""),
        ("2001:db8::2", "no port: write \"[2001:db8::2]:PORT\""),
        ("10.0.0.2:0", "a backend cannot have port 0"),
        ("db:0", "a backend cannot have port 0"),
        (
            "db:http",
            "expected a port from 1 to 65535 after the last colon, found \"db:http\"",
        ),
        (
            "db:",
            "expected a port from 1 to 65535 after the last colon, found \"db:\"",
        ),
        (":80", "expected HOST:PORT, found \":80\""),
        ("10.2:80", "expected HOST:PORT, found \"10.2:80\""),
        ("d b:80", "expected HOST:PORT, found \"d b:80\""),
        ("http://db:80", "expected HOST:PORT, found \"http://db:80\""),
        (
            "2001:db8::2:port",
            "an IPv6 address must be in brackets, as in \"[2001:db8::2]:5432\", found \"2001:db8::2:port\"",
        ),
    ];
    for (backend, expected) in to {
        let text = format!("[[listen]]\non = '0.0.0.0:1'\nto = [\n'10.0.0.3:2',\n\"{backend}\"]\n");
        assert_eq!(errors(&text), format!("line 5: listen.to: {expected}"));
    }
}

#[test]
fn each_mistake_of_the_whole_proxy_says_what_was_meant() {
    let cases = [
        (
            "worker = 2",
            "guard.worker: unknown key; did you mean \"workers\"?",
        ),
        (
            "splice = true",
            "guard.splice: this key must be in [[listen]]",
        ),
        (
            "workers = 0",
            "guard.workers: expected a whole number from 1 to 1024, found 0",
        ),
        (
            "workers = 'two'",
            "guard.workers: expected a whole number from 1 to 1024, found a string",
        ),
        (
            "workers = 99999999999999999999",
            "guard.workers: expected a whole number from 1 to 1024, found 99999999999999999999",
        ),
        (
            "drain = 30",
            "guard.drain: expected a string such as \"2s\", found a number",
        ),
        (
            "over-limit = 'shed'",
            "guard.over-limit: expected \"keep\" or \"shed-idle\", found \"shed\"",
        ),
        (
            "over-limit = 'shed_idle'",
            "guard.over-limit: unknown value \"shed_idle\"; did you mean \"shed-idle\"?",
        ),
        (
            "view = ':8080'",
            "guard.view: expected an IP address and a port, such as \"0.0.0.0:5432\" or \"[::]:5432\", found \":8080\"",
        ),
        (
            "view = '0.0.0.0:5432'",
            "guard.view: 0.0.0.0:5432 has a listener already, on line 2",
        ),
    ];
    for (line, expected) in cases {
        let text = format!("{PLAIN}[guard]\n{line}\n");
        assert_eq!(errors(&text), format!("line 5: {expected}"), "{line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn own_descriptors_need_several_workers() {
    let text =
        |workers: usize| format!("{PLAIN}[guard]\nown-descriptors = true\nworkers = {workers}");
    assert_eq!(
        errors(&text(1)),
        "line 5: guard.own-descriptors: has no effect with one worker: set workers",
    );
    let settings = GuardFile::from_toml(&text(2)).unwrap().settings;
    assert!(settings.workers.own_descriptors);
}

#[test]
fn a_file_without_a_listener_is_an_error() {
    let none = "listen: no table [[listen]]: nothing is guarded";
    assert_eq!(errors(""), none);
    assert_eq!(errors("[System]\nConns = 1\n"), none);
    assert_eq!(
        errors("listen = []"),
        "line 1: listen: empty: nothing is guarded"
    );
    assert_eq!(
        errors("[listen]\non = '0.0.0.0:1'\nto = '10.0.0.2:1'\n"),
        "line 1: listen: expected tables [[listen]], found a table",
    );
    assert_eq!(
        errors("[[listen]]\nservice = 'a'\n"),
        "line 1: listen: the key \"on\" is missing\nline 1: listen: the key \"to\" is missing",
    );
    assert_eq!(
        errors("[[listen]]\non = '0.0.0.0:1'\nto = []\n"),
        "line 3: listen.to: empty: a listener needs a backend",
    );
}

#[test]
fn all_mistakes_of_a_file_are_reported_in_the_order_of_their_lines() {
    let text = "[Sytem]\nConns = 1\n\
                [[listen]]\non = '0.0.0.0:1'\nto = '10.0.0.2'\nqueue = { most = 1 }\n\
                [Service.a]\nConn = 1\n\
                [[lisen]]\n\
                [guard]\ndrain = 'soon'\ndrain = '1s'\n";
    assert_eq!(
        errors(text),
        "line 1: Sytem: unknown key; did you mean \"System\"?\n\
         line 5: listen.to: no port: write \"10.0.0.2:PORT\"\n\
         line 6: listen.queue: the key \"longest\" is missing: add longest = \"2s\"\n\
         line 8: Service.a.Conn: unknown key; did you mean \"Conns\"?\n\
         line 9: lisen: unknown key; did you mean \"listen\"?\n\
         line 11: guard.drain: expected a duration such as \"250ms\", \"2s\", \"5m\" or \"1h\", found \"soon\"\n\
         line 12: not TOML: duplicate key",
    );
}

#[test]
fn a_file_that_is_not_toml_has_one_error_with_its_line() {
    let errors = errors("[[listen]]\non = '0.0.0.0:1'\nto = \n");
    assert!(errors.starts_with("line 3: not TOML: "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn an_error_of_a_file_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.toml");
    let missing = GuardFile::read(&path).unwrap_err().to_string();
    assert!(
        missing.starts_with(&path.display().to_string()),
        "{missing}"
    );
    std::fs::write(&path, "[[listen]]\n[System]\nConns = 'x'\n").unwrap();
    for error in GuardFile::read(&path).unwrap_err().iter() {
        assert_eq!(error.file.as_ref(), Some(&path));
    }
    std::fs::write(&path, PLAIN).unwrap();
    let file = GuardFile::read(&path).unwrap();
    assert_eq!(file.limits.path, Some(path));
}

#[test]
fn two_listeners_on_one_address_are_an_error() {
    let second = |on: &str| format!("{PLAIN}[[listen]]\non = '{on}'\nto = '10.0.0.3:1'\n");
    for on in ["0.0.0.0:5432", "[::ffff:0.0.0.0]:5432"] {
        assert_eq!(
            errors(&second(on)),
            format!("line 5: listen.on: {on} has a listener already, on line 2"),
        );
    }
    assert!(GuardFile::from_toml(&second("0.0.0.0:5433")).is_ok());
    // The system chooses a port for each.
    let chosen = second("0.0.0.0:0").replace("0.0.0.0:5432", "0.0.0.0:0");
    assert!(GuardFile::from_toml(&chosen).is_ok());
}

#[test]
fn a_backend_that_is_a_listener_of_the_file_is_refused() {
    let text =
        |on: &str, to: &str| format!("[[listen]]\non = '{on}'\nto = ['10.0.0.9:1', '{to}']\n");
    let refused = [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("127.0.0.1:80", "localhost:80"),
        ("127.0.0.1:80", "LocalHost.:80"),
        ("127.0.0.1:80", "0.0.0.0:80"),
        ("127.0.0.1:80", "[::ffff:127.0.0.1]:80"),
        ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("0.0.0.0:80", "127.3.2.1:80"),
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("0.0.0.0:80", "[::ffff:127.0.0.1]:80"),
        ("0.0.0.0:80", "localhost:80"),
        ("[::]:80", "[::1]:80"),
        ("[::]:80", "[::]:80"),
        ("[::]:80", "127.0.0.1:80"),
        ("[::]:80", "localhost:80"),
        ("[::1]:80", "[::]:80"),
        ("192.0.2.1:80", "192.0.2.1:80"),
    ];
    for (on, to) in refused {
        assert_eq!(
            errors(&text(on, to)),
            format!(
                "line 3: listen.to: {to} is a listener of this file, on line 2: the proxy would \
                 connect to itself"
            ),
        );
    }
    let allowed = [
        ("127.0.0.1:80", "127.0.0.1:81"),
        ("127.0.0.1:80", "127.0.0.2:80"),
        ("127.0.0.1:80", "[::1]:80"),
        ("0.0.0.0:80", "192.0.2.1:80"),
        ("0.0.0.0:80", "[::1]:80"),
        ("0.0.0.0:80", "db.internal:80"),
        ("127.0.0.1:0", "127.0.0.1:80"),
    ];
    for (on, to) in allowed {
        assert!(GuardFile::from_toml(&text(on, to)).is_ok(), "{on} {to}");
    }
}

#[test]
fn a_backend_that_is_another_listener_of_the_file_is_refused() {
    let text = "[[listen]]\non = '127.0.0.1:80'\nto = '127.0.0.1:81'\n\
                [[listen]]\non = '127.0.0.1:81'\nto = '127.0.0.1:80'\n";
    assert_eq!(errors(text).lines().count(), 2, "{}", errors(text));
}

#[test]
fn a_listener_on_all_addresses_has_the_addresses_of_this_machine() {
    // An unconnected socket takes the address of the interface that it would send from. This needs
    // a route and sends nothing.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = match socket.connect("192.0.2.1:9") {
        Ok(()) => socket.local_addr().unwrap().ip(),
        Err(_) => "127.0.0.1".parse().unwrap(),
    };
    let text = format!("[[listen]]\non = '0.0.0.0:80'\nto = '{own}:80'\n");
    assert!(errors(&text).contains("the proxy would connect to itself"));
}

#[test]
fn a_backend_that_is_given_twice_is_an_error() {
    let text = "[[listen]]\non = '0.0.0.0:1'\nto = ['10.0.0.2:1', '10.0.0.2:1']\n";
    assert_eq!(errors(text), "line 3: listen.to: 10.0.0.2:1 is given twice");
}
