#!/usr/bin/env bash
# What `make test-all` runs after `make test` and `make soak`: all parts, or those that are named.
#   adapters  the tests of DEVICE_TESTS on every other adapter that `saliq devices` lists
#   gpu       every stage of benches/gpu.sh with small sizes
#   matrices  convolution_cooperative in 1,000 random shapes on an adapter with cooperative matrices;
#             SALIQ_MATRIX_DRIVER names a program that starts another on such a driver
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

# The test programs are started by $SALIQ_MATRIX_DRIVER, such as a script that sets VK_DRIVER_FILES.
part_matrices() {
    local features tests
    # shellcheck disable=SC2086 # a program with arguments
    features=$(${SALIQ_MATRIX_DRIVER:-} "$saliq" devices --json) || return 1
    grep -q '"cooperative-matrix"' <<<"$features" ||
        { lacks "no adapter has cooperative matrices (SALIQ_MATRIX_DRIVER)"; return; }
    tests=$("$cargo" test --locked --no-run --test library 2>&1 |
        sed -n 's/.*Executable.*(\(.*\))/\1/p')
    # shellcheck disable=SC2086
    SALIQ_MATRIX_SHAPES=1000 ${SALIQ_MATRIX_DRIVER:-} "$tests" --nocapture --test-threads 1 \
        core_kernels::products_of_levels core_kernels::matrices
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

[ $# -gt 0 ] || set -- adapters gpu matrices python module book fuzz deny web
failed=
for part in "$@"; do
    declare -F "part_$part" >/dev/null || { echo "error: there is no part $part" >&2; exit 2; }
    echo "== $part"
    "part_$part"
    case $? in 0 | "$left_out") ;; *) failed="$failed $part" ;; esac
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
