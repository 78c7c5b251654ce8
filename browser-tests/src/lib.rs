//! The live view in a real browser: `cargo test -p browser-tests` drives Chromium. It is a package of its
//! own because what speaks to the browser takes minutes to build, which nothing else needs.
