//! What the view shows of the program itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::label::shown;
use crate::observer::Observer;

/// The counters of the program, by part.
#[derive(Debug, Serialize)]
pub(super) struct Program {
    /// The name of the kind of parts, such as `listener`.
    label: &'static str,
    parts: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Part {
    name: String,
    /// The values that are not zero.
    counters: BTreeMap<&'static str, u64>,
}

impl Program {
    /// `None` if the program has no counters.
    pub(super) fn of(observer: &Observer) -> Option<Self> {
        let program = observer.program.as_ref()?;
        let mut parts: Vec<Part> = Vec::new();
        for counter in program.read() {
            for (name, value) in counter.values {
                let name = shown(&name);
                let known = parts.iter_mut().find(|part| part.name == name);
                let part = match known {
                    Some(part) => part,
                    None => {
                        parts.push(Part {
                            name: name.into_owned(),
                            counters: BTreeMap::new(),
                        });
                        parts.last_mut()?
                    }
                };
                if value > 0 {
                    part.counters.insert(counter.title, value);
                }
            }
        }
        Some(Self {
            label: program.label,
            parts,
        })
    }
}
