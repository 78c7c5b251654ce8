//! Files of limits, built over the defaults.

use std::path::{Path, PathBuf};

use rcmgr_atomic::{BadConfiguration, Limit, Limits, LimitsKey, Resource};
use rcmgr_config::{LimitsFile, PartialLimits};

use super::amount::printable;
use super::defaults::Defaults;
use super::origin::Origin;

/// The limits that come out, and of what.
#[derive(Debug)]
pub struct Configuration<'a> {
    /// The limits.
    pub limits: Limits,
    defaults: &'a Defaults,
    /// Of two that set the same field, the later one counts.
    files: Vec<LimitsFile>,
}

impl<'a> Configuration<'a> {
    /// Reads the files and builds their limits over the defaults.
    ///
    /// # Errors
    ///
    /// What is wrong with the first file that can't be read.
    pub fn read(defaults: &'a Defaults, files: &[PathBuf]) -> Result<Self, BadConfiguration> {
        let files = files.iter().map(LimitsFile::read);
        let files: Vec<_> = files.collect::<Result<_, _>>()?;
        let mut set = PartialLimits::default();
        for file in files.iter().rev() {
            set.apply(&file.limits);
        }
        Ok(Self {
            limits: set.build(&defaults.limits),
            defaults,
            files,
        })
    }

    /// Which limits they are, in words.
    pub fn description(&self) -> String {
        let files: Vec<_> = self.files.iter().map(path).collect();
        let over = files.iter().rev();
        let over = over.map(|path| printable(&path.display().to_string()));
        let over: Vec<_> = over.chain([self.defaults.description.clone()]).collect();
        over.join(", over ")
    }

    /// The entries to show: those asked for, or else all. A name without an entry has the limit of
    /// its class.
    pub fn entries(&self, asked: &[LimitsKey]) -> Vec<(LimitsKey, Limit)> {
        if asked.is_empty() {
            return self.limits.entries().collect();
        }
        let limit = |key: &LimitsKey| Some((key.clone(), self.limits.lookup(key)?));
        asked.iter().filter_map(limit).collect()
    }

    /// The file and the line that sets a field, if one does.
    pub fn set_by(&self, key: &LimitsKey, resource: Resource) -> Option<(&Path, usize)> {
        let mut latest_first = self.files.iter().rev();
        latest_first.find_map(|file| Some((path(file), file.line(key, resource)?)))
    }

    /// Where a value comes from.
    pub fn origin(&self, key: &LimitsKey, resource: Resource) -> Origin {
        if let Some((path, line)) = self.set_by(key, resource) {
            let path = path.to_owned();
            return Origin::File { path, line };
        }
        match key.class_default() {
            Some(default) => Origin::Class {
                origin: Box::new(self.origin(&default, resource)),
                default,
            },
            None => self.defaults.origin(key, resource),
        }
    }
}

fn path(file: &LimitsFile) -> &Path {
    file.path.as_deref().unwrap_or(Path::new(""))
}
