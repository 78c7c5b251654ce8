//! The host names that the view answers to.
//!
//! A page of another site can let its own name point to 127.0.0.1 (DNS rebinding). For the browser
//! the view is then part of that site, and the page may read it. But the browser sends the site's
//! name in `Host`, so a request for an unknown name is refused.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::response::refused;
use crate::label::escaped;

/// The names in addition to the loopback names.
#[derive(Debug, Clone, Default)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// Loopback names, and these: each with or without a port, which is ignored.
    pub fn new(names: &[String]) -> Self {
        let name = |name: &String| {
            let parsed = name.parse::<Authority>();
            parsed.map_or_else(|_| normal(name), |authority| normal(authority.host()))
        };
        Self(names.iter().map(name).collect())
    }

    fn contain(&self, host: &str) -> bool {
        let host = normal(host);
        is_loopback(&host) || self.0.contains(&host) || self.0.iter().any(|name| name == "*")
    }

    /// Checks the host that a request is for, and the site that it comes from.
    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Response> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            let why = "the request has several Host headers";
            return Err(refused(StatusCode::BAD_REQUEST, why));
        }
        // HTTP/2 has the host in the URI. A request without any host does not come from a browser.
        let named = uri.authority().map(Authority::as_str).into_iter();
        for host in named.chain(host.map(text)) {
            if !is_name(host) || !host.parse().is_ok_and(|host| self.contains(&host)) {
                return Err(refused(
                    StatusCode::FORBIDDEN,
                    &format!(
                        "the host {} is not allowed: the view answers to loopback names and to those \
                         that its server allows with Observer::host",
                        escaped(host)
                    ),
                ));
            }
        }
        for origin in headers.get_all(header::ORIGIN) {
            let uri = text(origin).parse::<Uri>().ok();
            let host = uri.as_ref().and_then(Uri::authority);
            if !host.is_some_and(|host| self.contains(host)) {
                let why = format!("pages of {} may not read this", escaped(text(origin)));
                return Err(refused(StatusCode::FORBIDDEN, &why));
            }
        }
        Ok(())
    }

    fn contains(&self, host: &Authority) -> bool {
        self.contain(host.host())
    }
}

/// Refuses requests for other hosts.
pub(super) async fn check(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    match hosts.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(response) => response,
    }
}

/// A value that is not text is no name.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

/// Whether this is a host, perhaps with a port: an authority may also have a user.
fn is_name(host: &str) -> bool {
    !host.contains('@')
}

/// The name in lower case, without the dot of the root.
fn normal(host: &str) -> String {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.to_ascii_lowercase()
}

fn is_loopback(host: &str) -> bool {
    let inside = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match inside.unwrap_or(host).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(hosts: &Hosts, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::HOST,
            HeaderValue::from_bytes(host.as_bytes()).unwrap(),
        );
        hosts.check(&Uri::from_static("/"), &headers).is_ok()
    }

    #[test]
    fn loopback_names_and_addresses_are_hosts() {
        for host in [
            "localhost",
            "LOCALHOST:9500",
            "localhost.",
            "a.localhost:1",
            "127.0.0.1",
            "127.0.0.1:65535",
            "127.9.9.9:80",
            "[::1]",
            "[::1]:9500",
            "[::ffff:127.0.0.1]:9500",
            "[0:0:0:0:0:0:0:1]",
        ] {
            assert!(answers(&Hosts::default(), host), "{host}");
        }
    }

    #[test]
    fn other_names_and_addresses_are_refused() {
        for host in [
            "",
            "evil.example",
            "evil.example:9500",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil-localhost",
            "localhost@evil.example",
            "evil.example@localhost",
            "127.0.0.1:9500@evil.example",
            "0.0.0.0:9500",
            "192.0.2.1",
            "[2001:db8::1]:9500",
            "::1",
            "127.0.0.1 evil.example",
            "b\u{fc}cher.example",
            "*",
        ] {
            assert!(!answers(&Hosts::default(), host), "{host}");
        }
    }

    #[test]
    fn configured_names_are_hosts_with_any_port() {
        let names = ["Metrics.Example:80", "192.0.2.1", "[2001:db8::1]"].map(str::to_owned);
        let hosts = Hosts::new(&names);
        for host in [
            "metrics.example",
            "METRICS.example:9500",
            "metrics.example.",
            "192.0.2.1:9500",
            "[2001:DB8::1]:9500",
            "localhost",
        ] {
            assert!(answers(&hosts, host), "{host}");
        }
        for host in ["a.metrics.example", "192.0.2.11", "example"] {
            assert!(!answers(&hosts, host), "{host}");
        }
        assert!(answers(&Hosts::new(&["*".to_owned()]), "evil.example"));
    }
}
