#!/bin/sh
# Builds web/dist: static files, for any server of files. `make web` calls it.
#
# The library is compiled with rustup's target wasm32-unknown-unknown, where it is installed or can
# be; else with Debian's packages, which have the standard library as source:
#   apt-get install rustc-web cargo-web rust-web-src lld-22
# SALIQ_WEB_TOOLCHAIN=debian takes these even so; SALIQ_WEB_PROFILE=dev is for work on the page.
set -eu
cd "$(dirname "$0")"
target=wasm32-unknown-unknown
profile=${SALIQ_WEB_PROFILE:-release}
case $profile in dev) folder=debug ;; *) folder=$profile ;; esac
export CARGO_TARGET_DIR="$PWD/target"
# The linker of the host's programs is not that of this target.
unset RUSTFLAGS
host_cargo=${CARGO:-cargo}

has_target() {
  command -v rustc >/dev/null && [ -d "$(rustc --print target-libdir --target $target 2>/dev/null)" ]
}

if [ "${SALIQ_WEB_TOOLCHAIN:-}" != debian ] && ! has_target && command -v rustup >/dev/null; then
  rustup target add $target || true
fi
if [ "${SALIQ_WEB_TOOLCHAIN:-}" != debian ] && has_target; then
  set -- "$host_cargo" build
elif [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] &&
  [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
  linker=$(ls /usr/bin/wasm-ld /usr/bin/wasm-ld-[0-9]* 2>/dev/null | sort -V | tail -n 1)
  [ -n "$linker" ] || { echo "wasm-ld was not found: apt-get install lld-22" >&2; exit 1; }
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker"
  set -- env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo build \
    -Zbuild-std=std,panic_abort
  command -v "$host_cargo" >/dev/null || host_cargo=/usr/bin/cargo
else
  echo "the target $target was not found: rustup target add $target, or, on Debian," >&2
  echo "apt-get install rustc-web cargo-web rust-web-src lld-22" >&2
  exit 1
fi

# Parsers recurse: more than the linker's megabyte of stack.
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C link-arg=-zstack-size=8388608"
"$@" --locked --package saliq-web --target $target --profile "$profile"
unset CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS
"$host_cargo" build --quiet --locked --package bind

rm -rf dist
mkdir -p dist/data dist/models
target/debug/bind "target/$target/$folder/saliq_web.wasm" dist
cp page/* dist
cp models/*.safetensors dist/models
for set in mnist-mini fashion-mini; do
  mkdir "dist/data/$set"
  cp ../assets/data/$set/*.gz ../assets/data/$set/LICENSE.md "dist/data/$set"
done
cp ../docs/images/demo-saliency.png ../docs/images/demo-filmstrip.png dist
packed=$(gzip -9 -c dist/saliq_bg.wasm | wc -c)
echo "web/dist: program $packed bytes compressed, $(du -sk dist | cut -f 1) KiB of files in all"
