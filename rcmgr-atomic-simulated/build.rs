//! The sources are those of `rcmgr-atomic`. With this `cfg` their atomics and locks are those of the
//! simulated machine.

fn main() {
    println!("cargo::rustc-cfg=simulated");
    println!("cargo::rerun-if-changed=build.rs");
}
