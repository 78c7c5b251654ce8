# Every chore by name. `just` alone lists them.

_default:
    @just --list --unsorted

# the demo on real sockets
demo *arguments:
    cargo run --release -- demo {{ arguments }}

# all tests, as the README has it
test:
    cargo test --workspace

# the rules of the sources, and of what each crate depends on
tidy:
    cargo test -p rcmgr-testkit --test tidy --test dependencies

# the examples, or one of them by name
examples name="*":
    for file in rcmgr/examples/{{ name }}.rs rcmgr-libp2p/examples/{{ name }}.rs; do [ ! -f "$file" ] || cargo run -p "${file%%/*}" --example "$(basename "$file" .rs)"; done

# what would be published, built from the packages
package:
    .ci/package

# what the reference did, replayed (RCMGR_VECTORS names the folder), by the engine and by the model
conformance:
    cargo test -p rcmgr-atomic --test conformance
    cargo test -p rcmgr-testkit --test model

# loom models of the engine, with loads that see the latest, then with loads that may not
loom *filter:
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p loom-tests --release {{ filter }}
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom RCMGR_LOOM_STALE_LOADS=1 cargo test -p loom-tests --release {{ filter }}

# 10 million operations on 2 and on 8 threads
stress ops="10000000":
    RCMGR_STRESS_OPS={{ ops }} cargo test --release -p rcmgr-atomic --test stress --test waiting_stress -- --nocapture --test-threads=1

# a million one-time peers, and a million one-time addresses, leave nothing behind
flood:
    cargo test --release -p rcmgr-atomic --test flood_of_peers --test flood_of_addresses -- --nocapture

# the engine against the sequential model, for longer
properties cases="20000":
    PROPTEST_CASES={{ cases }} cargo test --release -p rcmgr-atomic --test properties

# unit tests and a short stress of the engine under ThreadSanitizer and Valgrind: two minutes
sanitize:
    .ci/sanitize

# the readers of limits, sizes and allowlist entries with whatever bytes
fuzz cases="1000000":
    PROPTEST_CASES={{ cases }} cargo test --release -p rcmgr-config --test fuzz_limits
    PROPTEST_CASES={{ cases }} cargo test --release -p rcmgr-address --lib allowlist

# fuzz the parser of PROXY headers, beside other parsers (about ten minutes on two cores)
fuzz-proxy-headers cases="130000000":
    PROPTEST_CASES={{ cases }} cargo test --release -p rcmgr-guard --test proxy_protocol

# negotiations of libp2p streams, read beside multistream-select (about ten minutes)
fuzz-negotiation cases="3000000":
    PROPTEST_CASES={{ cases }} cargo test --release -p rcmgr-libp2p --lib negotiation::oracle

# the proxy with everything at random for ten minutes: nothing is left in the end
soak seconds="600":
    RCMGR_SOAK_SECONDS={{ seconds }} cargo test --release -p rcmgr-guard --test soak

# every workload on every engine, alone and shared: a table, and what the arguments ask for
study *arguments:
    cargo run --release -- study {{ arguments }}

# what a trace says, and what other limits would have made of it
replay *arguments:
    cargo run --release -- replay {{ arguments }}

# the live view at a URL, in this terminal
top *arguments:
    cargo run --release -- top {{ arguments }}

# the hot path against its floor, and what a connection costs, granted or refused
bench *filter:
    cargo bench -p rcmgr-study --bench hot_path --bench open_connection -- {{ filter }}

# what a scrape costs with 100,000 peers, and what it takes away from a thread that works
bench-scrape:
    cargo bench -p rcmgr-metrics --bench scrape
    cargo bench -p rcmgr-metrics --bench disturbance

# the live view's page in Chromium, with pictures of it in target/screenshots
browser:
    RCMGR_SCREENSHOTS="$PWD/target/screenshots" cargo test -p browser-tests

# what being observed costs the hot path: with and without in turns, three minutes
bench-on-off:
    cargo bench -p rcmgr-metrics --bench on_off

# the guarded listener and the request layer: their cost, and servers without file descriptors; three minutes
bench-servers:
    cargo bench -p rcmgr-tower --features axum,tonic --bench layer_cost --bench out_of_descriptors

# guard beside HAProxy: CPU time of each operation, memory of idle connections, honest clients under a flood; five minutes
bench-guard *arguments:
    cargo bench -p rcmgr-guard --bench beside_haproxy -- {{ arguments }}

# the cost of the libp2p wrappers: two swarms under limits beside two without; two minutes
bench-libp2p *arguments:
    cargo bench -p rcmgr-libp2p --bench wrapper_cost -- {{ arguments }}

# round trips of an honest libp2p peer while others attack: seven pairs of calm and attack; three minutes
bench-libp2p-attacks *arguments:
    cargo bench -p rcmgr-libp2p --bench pings_under_attack -- {{ arguments }}

# the instructions of reservations and releases, and of a small request with the layers (with Valgrind)
bench-instructions:
    cargo bench -p rcmgr-atomic --bench instructions
    RCMGR_LAYER_COST_INSTRUCTIONS=1 cargo bench -p rcmgr-tower --features axum --bench layer_cost

# formatting and clippy
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo clippy -p loom-tests --all-targets -- -D warnings

# the API's documentation and the book
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features
    mdbook build docs

# all that must pass before a change lands
ci:
    .ci/run
