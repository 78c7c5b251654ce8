//! Tests of the live view in a real browser: `cargo test -p browser-tests` drives Chromium. This is
//! a separate package, because the browser driver takes minutes to build.
