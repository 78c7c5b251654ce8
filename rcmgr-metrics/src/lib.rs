//! What can be seen of a network resource manager, while it runs and afterwards.
//!
//! | to learn about | see |
//! | --- | --- |
//! | a trace: what was asked for, granted and refused, event by event | [`trace`] |
//! | what a trace says, and what other limits would have made of it | [`replay`] |

#![forbid(unsafe_code)]

pub mod replay;
pub mod trace;
