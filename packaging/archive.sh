#!/usr/bin/env bash
# Builds the programs for a target and packs them with licences, completions and manual pages into
# dist/.
#   packaging/archive.sh TARGET [saliq-check]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=$1
only=${2:-}
version=$(packaging/version.sh)
name=${only:-saliq}-$version-$target
ending=
case $target in *windows*) ending=.exe ;; esac
built=${CARGO_TARGET_DIR:-target}/$target/release
folder=dist/$name

rm -rf "$folder"
mkdir -p "$folder"
if [ -n "$only" ]; then
    cargo build --locked --release --target "$target" --no-default-features --features check \
        --bin saliq-check
    cp "$built/saliq-check$ending" "$folder"
else
    cargo build --locked --release --target "$target"
    cp "$built/saliq$ending" "$built/saliq-check$ending" "$folder"
    "$built/saliq$ending" man --out "$folder/man" --quiet >/dev/null
    mkdir "$folder/completions"
    for shell in bash zsh fish powershell elvish; do
        "$built/saliq$ending" completions "$shell" >"$folder/completions/saliq.$shell"
    done
fi
cp README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE "$folder"
case $target in
*windows*) (cd dist && 7z a -bso0 "$name.zip" "$name") ;;
*) tar -C dist -czf "dist/$name.tar.gz" "$name" ;;
esac
rm -rf "$folder"
