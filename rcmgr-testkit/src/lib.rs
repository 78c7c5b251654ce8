//! Shared test support of rcmgr.
