//! The arguments of `/rcmgr.json`.

use axum::extract::Query as Arguments;
use axum::http::Uri;
use rcmgr_core::ScopeId;

use super::names::{name, parent, peer};
use crate::label::shown;

/// The largest number of scopes in one answer.
const MOST: usize = 1000;
/// The longest search text, in bytes.
const LONGEST_SEARCH: usize = 1000;

/// The requested scopes, and their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub sort: Sort,
    /// In lower case; empty for all scopes.
    pub search: String,
    pub offset: usize,
    pub limit: usize,
    /// The name of the scope to show in detail, as it is shown.
    pub scope: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Utilisation,
    Memory,
    Streams,
    Conns,
    Refusals,
    Name,
}

impl Query {
    /// Parses the text after the `?`.
    ///
    /// # Errors
    ///
    /// A sentence for the client.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self {
            sort: Sort::Utilisation,
            search: String::new(),
            offset: 0,
            limit: 100,
            scope: None,
        };
        let pairs = pairs(text)?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if pairs[..at].iter().any(|(before, _)| before == name) {
                return Err(format!("{:?} is given twice", shown(name)));
            }
        }
        for (name, value) in pairs {
            match &*name {
                "sort" => query.sort = sort(&value)?,
                "search" if value.len() > LONGEST_SEARCH => {
                    return Err(format!("search is longer than {LONGEST_SEARCH} bytes"));
                }
                "search" => query.search = value.to_lowercase(),
                "scope" if value.len() > LONGEST_SEARCH => {
                    return Err(format!("scope is longer than {LONGEST_SEARCH} bytes"));
                }
                "scope" => query.scope = Some(value),
                "offset" => query.offset = number("offset", &value)?,
                "limit" => {
                    query.limit = number("limit", &value)?;
                    if !(1..=MOST).contains(&query.limit) {
                        return Err(format!("limit must be from 1 to {MOST}"));
                    }
                }
                _ => {
                    return Err(format!(
                        "unknown argument {:?}; the arguments are sort, search, offset, limit and scope",
                        shown(&name),
                    ));
                }
            }
        }
        Ok(query)
    }

    /// Whether this is the scope to show in detail. Names that are cut may be those of several
    /// scopes.
    pub(super) fn is_of(&self, id: &ScopeId) -> bool {
        self.scope.as_ref().is_some_and(|scope| name(id) == *scope)
    }

    /// Whether this is one of the scopes to list: of a scope in detail, those below it.
    pub(super) fn finds(&self, id: &ScopeId) -> bool {
        let is_below = self.scope.as_ref().is_none_or(|scope| {
            let above = [parent(id), peer(id)];
            above.iter().flatten().any(|above| name(above) == *scope)
        });
        // Search the whole name, even if it is shown cut.
        let search = &self.search;
        let found = || id.exact().to_string().to_lowercase().contains(search);
        is_below && (search.is_empty() || found())
    }
}

fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let bad = || "the arguments are not a valid query string".to_owned();
    let uri: Uri = format!("/?{text}").parse().map_err(|_| bad())?;
    let Arguments(pairs) = Arguments::try_from_uri(&uri).map_err(|_| bad())?;
    Ok(pairs)
}

fn sort(value: &str) -> Result<Sort, String> {
    Ok(match value {
        "utilisation" => Sort::Utilisation,
        "memory" => Sort::Memory,
        "streams" => Sort::Streams,
        "conns" => Sort::Conns,
        "refusals" => Sort::Refusals,
        "name" => Sort::Name,
        _ => {
            return Err(
                "sort must be one of utilisation, memory, streams, conns, refusals and name".into(),
            );
        }
    })
}

fn number(name: &str, value: &str) -> Result<usize, String> {
    let number = value.parse();
    number.map_err(|_| format!("{name} must be a whole number, not {:?}", shown(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let text = "sort=name&search=%2FKad%20%22&offset=200&limit=1000&scope=peer%3Aa";
        let query = Query::parse(text).unwrap();
        let expected = Query {
            sort: Sort::Name,
            search: "/kad \"".to_owned(),
            offset: 200,
            limit: 1000,
            scope: Some("peer:a".to_owned()),
        };
        assert_eq!(query, expected);
        assert_eq!(Query::parse("").unwrap().limit, 100);
    }

    #[test]
    fn a_bad_argument_is_answered_with_a_sentence() {
        let cases = [
            (
                "sort=size",
                "sort must be one of utilisation, memory, streams",
            ),
            ("limit=0", "limit must be from 1 to 1000"),
            ("limit=1001", "limit must be from 1 to 1000"),
            ("limit=", "limit must be a whole number, not \"\""),
            ("offset=-1", "offset must be a whole number, not \"-1\""),
            (
                "offset=99999999999999999999",
                "offset must be a whole number",
            ),
            ("page=2", "unknown argument \"page\""),
            ("sort=%00%0a", "sort must be one of"),
            ("limit=1&limit=1000", "\"limit\" is given twice"),
            ("offset=0&sort=name&offset=9", "\"offset\" is given twice"),
            ("search=a&search=", "\"search\" is given twice"),
        ];
        for (text, sentence) in cases {
            let said = Query::parse(text).unwrap_err();
            assert!(said.starts_with(sentence), "{text}: {said}");
        }
        for name in ["search", "scope"] {
            let long = format!("{name}={}", "x".repeat(1001));
            assert!(Query::parse(&long).unwrap_err().contains("1000 bytes"));
        }
    }
}
