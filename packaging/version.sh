#!/usr/bin/env bash
# The tag, the crate, the citation and the changelog have the same version.
#   packaging/version.sh [vX.Y.Z]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
fail() {
    echo "error: $1" >&2
    exit 1
}
[ $# -eq 0 ] || [ "$1" = "v$version" ] || fail "the tag $1 is not v$version, the version in Cargo.toml"
grep -q "^version: $version\$" CITATION.cff || fail "CITATION.cff: is not of version $version"
grep -q "^## $version" CHANGELOG.md || fail "CHANGELOG.md: no section $version"
echo "$version"
