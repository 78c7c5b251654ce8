//! The tasks of a server, one page each.
