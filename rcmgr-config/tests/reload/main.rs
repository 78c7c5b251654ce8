//! Limits follow a file, however it is replaced, and stay as they are while it is bad.

mod bad_files;
mod replacing;
mod said;
mod support;
mod watching;
