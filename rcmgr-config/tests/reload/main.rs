//! Tests that limits follow a file, however it is replaced, and stay unchanged while it is bad.

mod bad_files;
mod log;
mod replacing;
mod support;
mod watching;
