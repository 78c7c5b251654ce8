//! What can be seen of a network resource manager, while it runs and afterwards.
//!
//! | to learn about | see |
//! | --- | --- |
//! | a trace: what was asked for, granted and refused, event by event | [`trace`] |

#![forbid(unsafe_code)]

pub mod trace;
