//! Limits files, built over the defaults.

use std::path::{Path, PathBuf};

use rcmgr_atomic::{Limit, LimitField, Limits, LimitsKey, Resource};
use rcmgr_config::{
    AddressKey, LimitsExt, LimitsFile, LimitsFileErrors, Machine, PartialLimits, Setting, Warning,
};

use super::advice::{self, Advice};
use super::amount::printable;
use super::defaults::Defaults;
use super::origin::Origin;

/// The resulting limits, and the files and defaults that they come from.
#[derive(Debug)]
pub struct Configuration<'a> {
    /// The limits.
    pub limits: Limits,
    defaults: &'a Defaults,
    /// If two files set the same field, the later one wins.
    files: Vec<LimitsFile>,
}

impl<'a> Configuration<'a> {
    /// Reads the files and builds their limits over the defaults.
    ///
    /// # Errors
    ///
    /// All mistakes of the first invalid file.
    pub fn read(defaults: &'a Defaults, files: &[PathBuf]) -> Result<Self, LimitsFileErrors> {
        let files = files.iter().map(LimitsFile::read_with_all_errors);
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

    /// The warnings about the limits, those of the defaults included.
    pub fn warnings(&self, machine: Option<&Machine>) -> Vec<Advice<'_>> {
        let mut warnings = self.limits.warnings(machine);
        let of_files = self.limits.warnings_over(&self.defaults.limits, machine);
        let new = of_files.into_iter();
        let new: Vec<_> = new.filter(|warning| !warnings.contains(warning)).collect();
        warnings.extend(new);
        self.folded(&warnings)
    }

    /// The warnings, with one line for all defaults that one set field makes unreachable.
    pub fn folded(&self, warnings: &[Warning]) -> Vec<Advice<'_>> {
        let line_of = |setting: &Setting| self.line_of(setting);
        advice::folded(warnings, "", line_of, |setting| line_of(setting).is_none())
    }

    /// The warnings of the dry run, folded in the same way.
    pub fn folded_dry_run(&self, warnings: &[Warning]) -> Vec<Advice<'_>> {
        let line_of = |setting: &Setting| self.dry_run_line_of(setting);
        // A limit that the dry run leaves out is as enforced.
        advice::folded(warnings, "DryRun.", line_of, |setting| {
            line_of(setting).is_none() && self.line_of(setting).is_none()
        })
    }

    /// A description of the limits.
    pub fn description(&self) -> String {
        let files: Vec<_> = self.files.iter().map(path).collect();
        let over = files.iter().rev();
        let over = over.map(|path| printable(&path.display().to_string()));
        let over: Vec<_> = over.chain([self.defaults.description.clone()]).collect();
        over.join(", over ")
    }

    /// The entries to show: the requested ones, or all. A name without an entry has the limit of
    /// its class.
    pub fn entries(&self, asked: &[LimitsKey]) -> Vec<(LimitsKey, Limit)> {
        if asked.is_empty() {
            return self.limits.entries().collect();
        }
        let limit = |key: &LimitsKey| Some((key.clone(), self.limits.lookup(key)?));
        asked.iter().filter_map(limit).collect()
    }

    /// The file and the line that set a field, if any.
    pub fn set_by(&self, key: &LimitsKey, resource: Resource) -> Option<(&Path, usize)> {
        self.latest(|file| file.line(key, resource))
    }

    /// The file and the line of a setting, if a file has it.
    pub fn line_of(&self, setting: &Setting) -> Option<(&Path, usize)> {
        self.latest(|file| advice::line_in(file, setting))
    }

    /// The file and the line of a setting of the dry run, if a file has it.
    pub fn dry_run_line_of(&self, setting: &Setting) -> Option<(&Path, usize)> {
        self.latest(|file| match setting {
            Setting::Field(LimitField { key, resource }) => {
                file.dry_run_lines.get(&(key.clone(), *resource)).copied()
            }
            Setting::Address(key) => file.dry_run_address_lines.get(key).copied(),
            Setting::DryRun => None,
        })
    }

    /// The latest file that has a line, and the line.
    fn latest(&self, line: impl Fn(&LimitsFile) -> Option<usize>) -> Option<(&Path, usize)> {
        let mut latest_first = self.files.iter().rev();
        latest_first.find_map(|file| Some((path(file), line(file)?)))
    }

    /// Whether a file sets the number of requests that may wait.
    pub fn sets_waiters(&self) -> bool {
        self.files.iter().any(|file| file.waiters_line.is_some())
    }

    /// The origin of the number of requests that may wait.
    pub fn waiters_origin(&self) -> Origin {
        match self.latest(|file| file.waiters_line) {
            Some((path, line)) => Origin::File {
                path: path.to_owned(),
                line,
            },
            None => self.defaults.fixed_origin(),
        }
    }

    /// The origin of a limit by address.
    pub fn address_origin(&self, key: &AddressKey) -> Origin {
        for file in self.files.iter().rev() {
            let addresses = &file.limits.addresses;
            if addresses.sets(key.list()) {
                return of_file(file, file.address_line(key));
            }
            if addresses.starts_from_reference_defaults() {
                return Origin::Reference {
                    path: path(file).to_owned(),
                };
            }
        }
        self.defaults.fixed_origin()
    }

    /// The origin of a limit by address of the dry run, if a file sets it.
    pub fn dry_run_address_origin(&self, key: &AddressKey) -> Option<Origin> {
        let mut latest_first = self.files.iter().rev();
        latest_first.find_map(|file| {
            let addresses = &file.limits.dry_run.as_ref()?.addresses;
            if addresses.sets(key.list()) {
                return Some(of_file(file, file.dry_run_address_lines.get(key).copied()));
            }
            let reference = Origin::Reference {
                path: path(file).to_owned(),
            };
            addresses
                .starts_from_reference_defaults()
                .then_some(reference)
        })
    }

    /// The origin of a value.
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

fn of_file(file: &LimitsFile, line: Option<usize>) -> Origin {
    let path = path(file).to_owned();
    match line {
        Some(line) => Origin::File { path, line },
        None => Origin::WholeList { path },
    }
}

fn path(file: &LimitsFile) -> &Path {
    file.path.as_deref().unwrap_or(Path::new(""))
}

/// The machine to compare limits with. If its memory is unknown, no limit of memory is too high.
pub fn comparable(machine: Machine) -> Machine {
    match machine.memory {
        0 => Machine {
            memory: u64::MAX,
            ..machine
        },
        _ => machine,
    }
}
