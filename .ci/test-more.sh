#!/usr/bin/env bash
# What `make test-all` runs after `make test` and `make soak`: all parts, or those that are named.
#   adapters  the tests of DEVICE_TESTS on every other adapter that `saliq devices` lists
#   gpu       every stage of benches/gpu.sh with small sizes
#   driver    the unit tests, library and program on another Vulkan driver, then the modules of
#             DEVICE_TESTS there with WebGPU's limits. SALIQ_DRIVER [target/newer-driver/run, which
#             .ci/newer-driver.sh makes] names a program that starts another on that driver
#   matrices  convolution_cooperative in SALIQ_MATRIX_SHAPES [1000] random shapes, on the adapter
#             that is picked or else on SALIQ_DRIVER's, where one has cooperative matrices
#   python    PyTorch and ONNX Runtime on files that saliq writes, with $PYTHON's packages [python3]
#   module    the Python module, its notebook and docs/scripting.md, with $PYTHON's packages
#   book      the book in docs/book, with mdbook
#   fuzz      every parser for FUZZ_SECONDS [30], from the kept inputs on
#   deny      licences, advisories, duplicates
#   web       the page in the installed browsers
# A part is left out, and a line says so, where the machine lacks what it needs.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo=${CARGO:-cargo}
python=${PYTHON:-python3}
# The program that the tests built: no second build.
saliq=${CARGO_TARGET_DIR:-target}/debug/saliq
driver=${SALIQ_DRIVER:-$PWD/target/newer-driver/run}
left_out=77

lacks() {
    echo "left out: $1" >&2
    return $left_out
}

# A line an adapter that is not the one that is picked: its index.
others() {
    "$saliq" devices --json |
        awk '/"index":/ { number = $2 + 0 } /"picked": false/ { print number }'
}

part_adapters() {
    local indices index
    indices=$(others) || return 1
    [ -n "$indices" ] || { lacks "there is one adapter"; return; }
    for index in $indices; do
        echo "== adapter $index"
        # shellcheck disable=SC2046,SC2086 # a list of names
        SALIQ_ADAPTER=$index "$cargo" test --locked --test library --test program -- \
            $(printf '%s:: ' ${DEVICE_TESTS:?}) || return 1
    done
}

part_gpu() {
    "$cargo" test --locked --test program -- --ignored gpu_stages::
}

# Cargo and the tests start programs by the runner of the target.
on_driver() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    env "CARGO_TARGET_${host}_RUNNER=$driver" "$@"
}

part_driver() {
    [ -x "$driver" ] || { lacks "no other driver (.ci/newer-driver.sh, SALIQ_DRIVER)"; return; }
    "$driver" "$saliq" devices || return 1
    on_driver "$cargo" test --locked --no-fail-fast --lib --test library --test program || return 1
    # shellcheck disable=SC2046,SC2086 # a list of names
    SALIQ_DEVICE_PROFILE=webgpu on_driver "$cargo" test --locked --no-fail-fast --test library -- \
        $(printf '%s:: ' ${DEVICE_TESTS:?})
}

part_matrices() {
    local start=env
    "$saliq" devices --json | grep -q '"cooperative-matrix"' || start=on_driver
    if [ $start = on_driver ]; then
        { [ -x "$driver" ] && "$driver" "$saliq" devices --json | grep -q '"cooperative-matrix"'; } ||
            { lacks "no adapter has cooperative matrices (.ci/newer-driver.sh)"; return; }
    fi
    SALIQ_MATRIX_SHAPES=${SALIQ_MATRIX_SHAPES:-1000} $start "$cargo" test --locked --test library -- \
        --nocapture --test-threads 1 core_kernels::products_of_levels core_kernels::matrices
}

# Both models of docs/python.md, in little time; errors end the part.
python_on() (
    set -e
    data=assets/data/mnist-mini
    train() {
        "$saliq" train --quiet --dataset mnist-mini --normalize 0.1307,0.3081 --sgt false "$@"
    }
    train --epochs 2 --out "$1/float"
    train --epochs 1 --bits 2,2 --init "$1/float" --out "$1/quantized"
    "$python" tests/python_recipe.py \
        --saliq "$saliq" --float "$1/float" --quantized "$1/quantized"
    accuracy=$("$saliq" eval "$1/float" --json | awk '/"accuracy":/ { print $2 + 0; exit }')
    "$python" tests/interop.py "$1/float" --images $data/t10k-images-idx3-ubyte.gz \
        --labels $data/t10k-labels-idx1-ubyte.gz --expect "$accuracy"
    for model in "$1/float" "$1/quantized"; do
        "$saliq" explain "$model" --quiet --method random --count 1000 --out "$model/maps"
        "$saliq" export "$model" --quiet --format onnx --out "$model/model.onnx"
        "$python" tests/onnx_check.py "$model/model.onnx" "$model/maps/attributions.safetensors"
    done
)

part_python() {
    local packages="numpy, onnx, onnxruntime, safetensors, torch" folder status
    "$python" -c "import $packages" 2>/dev/null ||
        { lacks "$python has not all of $packages"; return; }
    folder=$(mktemp -d) || return 1
    # Not as a condition, in which `set -e` would not count.
    python_on "$folder"
    status=$?
    rm -rf "$folder"
    return $status
}

part_module() {
    "$python" -c "import numpy" 2>/dev/null || { lacks "$python has no numpy"; return; }
    "$python" tests/module_check.py --saliq "$saliq" || return 1
    "$python" -c "import optuna, tensorboard" 2>/dev/null ||
        { lacks "$python has not all of optuna, tensorboard"; return; }
    "$python" tests/scripting_check.py --saliq "$saliq"
}

part_book() {
    command -v mdbook >/dev/null || { lacks "mdbook was not found"; return; }
    mdbook build docs/book
}

part_fuzz() {
    command -v cargo-fuzz >/dev/null || { lacks "cargo-fuzz was not found"; return; }
    "$cargo" +nightly --version >/dev/null 2>&1 || { lacks "no nightly toolchain"; return; }
    FUZZ_SECONDS=${FUZZ_SECONDS:-30} fuzz/run.sh
}

part_deny() {
    command -v cargo-deny >/dev/null || { lacks "cargo-deny was not found"; return; }
    "${MAKE:-make}" deny
}

# `make web-test`, where there is what builds it, node and a browser.
part_web() {
    command -v npm >/dev/null || { lacks "npm was not found"; return; }
    rustc --print target-libdir --target wasm32-unknown-unknown 2>/dev/null | xargs ls >/dev/null 2>&1 ||
        [ -d /usr/lib/rustlib/src ] || command -v rustup >/dev/null ||
        { lacks "no target wasm32-unknown-unknown"; return; }
    ls /usr/bin/chromium /usr/bin/google-chrome /usr/bin/firefox /usr/bin/firefox-esr 2>/dev/null |
        grep -q . || { lacks "no browser"; return; }
    "${MAKE:-make}" web-test
}

[ $# -gt 0 ] || set -- adapters gpu driver matrices python module book fuzz deny web
failed=
for part in "$@"; do
    declare -F "part_$part" >/dev/null || { echo "error: there is no part $part" >&2; exit 2; }
    echo "== $part"
    "part_$part"
    case $? in 0 | "$left_out") ;; *) failed="$failed $part" ;; esac
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
