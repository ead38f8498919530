#!/bin/sh
# saliq-check from this checkout, built when it is called first: the hook `saliq-check-built` of
# .pre-commit-hooks.yaml. `language: rust` of pre-commit would build the whole program, with wgpu.
# Usage: saliq-check.sh ARGUMENTS…, as saliq-check.
set -eu
manifest=$(dirname "$0")/../Cargo.toml
exec cargo run --quiet --release --locked --manifest-path "$manifest" \
    --no-default-features --features check --bin saliq-check -- "$@"
