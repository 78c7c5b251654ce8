//! The address of a live view.

use ureq::http::Uri;

/// The URL of a live view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The URL of the JSON.
    asked: String,
    /// The URL without the password, for the screen.
    shown: String,
}

impl Address {
    /// Parses a URL. Without a scheme, as in `127.0.0.1:9500`, it is `http`.
    ///
    /// # Errors
    ///
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let whole = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let uri: Uri = whole
            .parse()
            .map_err(|error| format!("{error}; expected a URL such as http://127.0.0.1:9500"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(
                    "https is not supported: use http, and a tunnel if the view is on another \
                     machine"
                        .to_owned(),
                );
            }
            other => {
                let other = other.unwrap_or_default();
                return Err(format!("unknown scheme {other:?}: expected http"));
            }
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let host = uri.host().unwrap_or_default();
        if host.is_empty() {
            return Err("the host is missing; expected a URL such as http://127.0.0.1:9500".into());
        }
        check_port(place.strip_prefix(host).unwrap_or_default())?;
        if uri.query().is_some() || text.contains('#') {
            return Err(
                "the URL must end with the path: use the options --search and --sort".to_owned(),
            );
        }
        let path = uri.path().trim_end_matches('/');
        let path = path.strip_suffix("/rcmgr.json").unwrap_or(path);
        let login = login.map(|login| format!("{login}@")).unwrap_or_default();
        Ok(Self {
            asked: format!("http://{login}{place}{path}/rcmgr.json"),
            shown: format!("http://{place}{path}"),
        })
    }

    /// The URL to request.
    pub fn asked(&self) -> &str {
        &self.asked
    }

    /// The given URL without the password.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

/// Checks the text after the host.
fn check_port(behind: &str) -> Result<(), String> {
    let Some(port) = behind.strip_prefix(':') else {
        return Ok(());
    };
    match port.parse::<u16>() {
        Ok(1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err(format!("the port must be from 1 to 65535, not {port:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_leave_out_scheme_and_path() {
        let plain = "http://127.0.0.1:9500";
        let cases = [
            ("127.0.0.1:9500", plain),
            ("http://127.0.0.1:9500", plain),
            (" http://127.0.0.1:9500/ ", plain),
            ("127.0.0.1:9500/rcmgr.json", plain),
            ("localhost", "http://localhost"),
            ("[::1]:80", "http://[::1]:80"),
            ("http://a.example/inside/", "http://a.example/inside"),
        ];
        for (text, shown) in cases {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.shown(), shown, "{text}");
            assert_eq!(address.asked(), format!("{shown}/rcmgr.json"), "{text}");
        }
    }

    #[test]
    fn a_password_is_sent_and_not_shown() {
        let address = Address::parse("http://me:secret@host:80/").unwrap();
        assert_eq!(address.asked(), "http://me:secret@host:80/rcmgr.json");
        assert_eq!(address.shown(), "http://host:80");
    }

    #[test]
    fn an_invalid_url_gets_a_helpful_error() {
        let cases = [
            ("", "expected"),
            ("http://", "expected"),
            (":9500", "the host is missing"),
            ("a b", "expected"),
            ("https://a", "https is not supported"),
            ("ftp://a", "unknown scheme \"ftp\""),
            ("a:99999", "from 1 to 65535, not \"99999\""),
            ("a:0", "from 1 to 65535, not \"0\""),
            ("a:", "from 1 to 65535, not \"\""),
            ("a:x", "from 1 to 65535, not \"x\""),
            ("a/?search=x", "--search and --sort"),
            ("a/#x", "--search and --sort"),
        ];
        for (text, why) in cases {
            let said = Address::parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
