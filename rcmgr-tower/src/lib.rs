//! Layers for tower, axum and tonic: a budget of memory over requests and their bodies.

#![forbid(unsafe_code)]
