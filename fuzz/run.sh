#!/usr/bin/env bash
# Fuzzes the targets given (all, if none): 10 million executions or 15 minutes each, whichever comes first.
# FUZZ_RUNS and FUZZ_SECONDS change that. Needs a nightly toolchain and cargo-fuzz. What is found is in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v cargo-fuzz >/dev/null || { echo "cargo-fuzz was not found: cargo install cargo-fuzz" >&2; exit 1; }
export ASAN_OPTIONS="quarantine_size_mb=16${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
failed=
while read -r target length memory; do
    [[ $target == \#* || ( $# -gt 0 && " $* " != *" $target "* ) ]] && continue
    echo "== $target"
    mkdir -p "target/corpus/$target" "corpus/$target" "crashes/$target"
    dictionary=dictionaries/$target.dict
    # What is new goes to the first folder; the others are only read.
    cargo +nightly fuzz run "$target" "target/corpus/$target" "corpus/$target" "crashes/$target" -- \
        -runs="${FUZZ_RUNS:-10000000}" -max_total_time="${FUZZ_SECONDS:-900}" -max_len="$length" -timeout=20 \
        -malloc_limit_mb="$memory" -rss_limit_mb=1024 -print_final_stats=1 \
        ${dictionary:+$([ -e "$dictionary" ] && echo "-dict=$dictionary")} || failed="$failed $target"
done <targets.txt
[ -z "$failed" ] || { echo "found something:$failed" >&2; exit 1; }
