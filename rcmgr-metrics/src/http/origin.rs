//! Where the limits of a scope come from.

use std::sync::{Arc, Mutex, PoisonError};

use rcmgr_atomic::ScopeReport;
use rcmgr_config::LimitsFile;
use rcmgr_core::{Limits, LimitsKey, Resource};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::observer::{FileInForce, Observer};
use crate::reached::{Setting, entry_of};

/// The origin of one limit.
#[derive(Debug, Serialize)]
struct Origin {
    /// The setting, as in a limits file; `None` for an override.
    setting: Option<String>,
    /// The place: a file and line, or a phrase.
    from: String,
}

/// The origins of all eight limits.
#[derive(Debug)]
pub(super) struct Origins(Vec<(Resource, Origin)>);

impl Serialize for Origins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (resource, origin) in &self.0 {
            map.serialize_entry(resource.as_str(), origin)?;
        }
        map.end()
    }
}

const OVERRIDE: &str = "an override of this scope";
const PROGRAM: &str = "set in the program";

impl Origins {
    pub fn of(report: &ScopeReport, limits: &Limits, file: Option<&LimitsFile>) -> Self {
        let entry = entry_of(&report.id, limits);
        let origin = |resource| {
            (
                resource,
                origin(report, resource, entry.as_ref(), limits, file),
            )
        };
        Self(Resource::ALL.map(origin).into())
    }
}

fn origin(
    report: &ScopeReport,
    resource: Resource,
    entry: Option<&LimitsKey>,
    limits: &Limits,
    file: Option<&LimitsFile>,
) -> Origin {
    let value = report.limit.get(resource);
    let configured = entry.and_then(|entry| Some((entry, limits.lookup(entry)?)));
    let Some((entry, _)) = configured.filter(|(_, limit)| limit.get(resource) == value) else {
        return Origin {
            setting: None,
            from: OVERRIDE.to_owned(),
        };
    };
    // A field that the entry does not set has the value of the class.
    let keys = [Some(entry.clone()), entry.class_default()];
    for key in keys.into_iter().flatten() {
        let same = limits
            .lookup(&key)
            .is_some_and(|limit| limit.get(resource) == value);
        let Some(line) = file
            .filter(|_| same)
            .and_then(|file| file.line(&key, resource))
        else {
            continue;
        };
        let path = file.and_then(|file| file.path.as_ref());
        let from = match path {
            Some(path) => format!("{}:{line}", path.display()),
            None => format!("line {line} of the limits file"),
        };
        return Origin {
            setting: Some(setting(key, resource)),
            from,
        };
    }
    Origin {
        setting: Some(setting(entry.clone(), resource)),
        from: PROGRAM.to_owned(),
    }
}

fn setting(entry: LimitsKey, resource: Resource) -> String {
    Setting { entry, resource }.to_string()
}

/// The limits file in force, read again after each reload.
#[derive(Debug, Default)]
pub(super) struct File(Mutex<Option<(u64, Option<Arc<LimitsFile>>)>>);

impl File {
    /// The file that the limits come from, as far as it is known.
    pub fn of(&self, observer: &Observer) -> Option<Arc<LimitsFile>> {
        let watcher = match (&observer.file, &observer.watcher) {
            (FileInForce::Asked(read), _) => return Some(read()),
            (FileInForce::Read(file), None) => return Some(Arc::clone(file)),
            (FileInForce::Unknown, None) => return None,
            (_, Some(watcher)) => watcher,
        };
        let stats = watcher.stats();
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            // While the file is bad, the last good one is in force.
            Some((reloads, file)) if *reloads == stats.reloads || stats.error.is_some() => {
                file.clone()
            }
            _ if stats.error.is_some() => None,
            _ => {
                // A file in another format has no lines that are known here.
                let file = LimitsFile::read(watcher.path()).ok().map(Arc::new);
                *read = Some((stats.reloads, file.clone()));
                file
            }
        }
    }
}
