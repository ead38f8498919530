#!/usr/bin/env bash
# The package for crates.io is smaller than MEGABYTES.
#   packaging/size.sh MEGABYTES
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(packaging/version.sh)
file=${CARGO_TARGET_DIR:-target}/package/saliq-$version.crate
[ -f "$file" ] || cargo package --locked --no-verify --allow-dirty >&2
bytes=$(wc -c <"$file")
echo "$file: $bytes bytes"
[ "$bytes" -lt "$(($1 * 1000000))" ] || { echo "error: $1 MB or more" >&2; exit 1; }
