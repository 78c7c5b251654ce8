//! What users of a manager can rely on, one sentence each.

mod dynamic;
mod kept_scopes;
mod lifetimes;
mod limits;
mod low_priorities;
mod refusals;
mod releases;
mod services;
mod spans;
mod support;
