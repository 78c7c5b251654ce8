//! The bodies of requests and responses.

mod drain;
mod meter;
mod pace;
mod request;
mod response;

pub(crate) use drain::{drain, spawn};
pub(crate) use meter::Meter;
pub use request::RequestBody;
pub use response::ResponseBody;
