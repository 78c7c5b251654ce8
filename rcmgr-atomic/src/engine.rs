//! The state that all scopes of a manager share: nodes and paths by name, the limits in force, how
//! a refusal is settled, and the records of operations.

mod attempt;
mod dry_run;
mod evaluation;
mod leaf_class;
mod limits_in_force;
mod nodes;
mod over_releases;
mod past_refusers;
mod paths;
mod record;
mod refused_peers;
mod scope_ref;
mod state;
mod survey;
mod unproven;
mod wait;

pub use dry_run::{DryRunPermit, Granted};
pub use evaluation::LetPass;
pub use paths::FromPath;
pub use record::{Operation, Record, Recorder, Refusal};
pub use scope_ref::{KnownScope, ScopeRef};
pub use state::{Engine, Path};
pub use wait::{Request, Wait, check_alone, count_final};
