//! What can be seen of a network resource manager, while it runs and afterwards.
//!
//! | to learn about | see |
//! | --- | --- |
//! | a trace: what was asked for, granted and refused, event by event | [`trace`] |
//! | what a trace says, and what other limits would have made of it | [`replay`] |

#![forbid(unsafe_code)]

pub mod replay;
pub mod trace;

/// The programs in the book, compiled and run as tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../docs/src/traces.md")]
    struct Traces;
}
