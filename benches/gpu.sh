#!/bin/sh
# What is worth measuring on a machine with a GPU, in stages of less than 9 minutes.
#     benches/gpu.sh [STAGE…]       all stages, the most important first, if none is named
#   suite     the tests of the library on this adapter, one module after the other
#   bench     step, dispatches, shares of measured peaks; tuned tiles, f16, matrices, an epoch
#   peers     the same step in PyTorch: eager, compiled, CUDA graphs
#   table2    Table II on the full sets (preset `best`)
#   resnet20  ResNet-20 on CIFAR-10, float and quantized
# A stage writes gpu-STAGE.md. What is done is kept in files and not done again: after a stage that
# ran out of time (exit status 75), the same command goes on. Nothing is built or downloaded. A
# machine needs a Vulkan loader, the program, and for `peers` Python with PyTorch.
#
#   SALIQ          the program                                  [target/release/saliq]
#   SALIQ_TESTS    the test program of tests/library for `suite` [the newest in target/*/deps]
#   PYTHON         for `peers`                                  [python3]
#   DATA           folder with mnist, fashion-mnist, cifar-10   [the places that saliq knows]
#   WORK           folder of what is done                       [runs/gpu]
#   OUT            folder of the results; if set, each stage also leaves its part of WORK there as
#                  gpu-STAGE.tgz.*, pieces of 15 MB             [docs/results]
#   FROM           folder with such pieces, to go on from on another machine
#   STAGE_SECONDS  time of a stage                              [500]
#   SUITE_FILTER   only these modules, with blanks between      [all]
#   SMALL          1: sizes for a software driver; figures mean nothing
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
saliq=${SALIQ:-$root/target/release/saliq}
python=${PYTHON:-python3}
work=${WORK:-$root/runs/gpu}
out=${OUT:-$root/docs/results}
small=${SMALL:-}
unfinished=75

say() { echo "gpu.sh: $*" >&2; }
die() { say "error: $*"; exit 2; }

[ -x "$saliq" ] || die "$saliq is no program: SALIQ names it"
command -v timeout >/dev/null || die "timeout (coreutils) was not found"
mkdir -p "$work" "$out"
work=$(cd "$work" && pwd)
out=$(cd "$out" && pwd)
[ -z "${DATA:-}" ] || export SALIQ_DATA_DIR="$DATA"
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$work}"

# Seconds that the stage has left.
left() { echo $((deadline - $(date +%s))); }

# Whether there is time for something that takes $1 seconds; if not, the stage is unfinished.
has_time() {
    [ "$(left)" -ge "$1" ] && return
    complete=
    return 1
}

# once NAME SECONDS COMMAND…: runs the command, unless NAME is there from before. Standard output
# becomes the file NAME when the command has succeeded. A command that fails is not repeated either:
# NAME.failed has its last lines. One that was stopped because the stage ended is repeated.
once() {
    name=$1 seconds=$2
    shift 2
    [ ! -e "$name" ] && [ ! -e "$name.failed" ] || return 0
    has_time "$seconds" || return 0
    say "$stage: $name"
    status=0
    timeout -k 20 "$(left)" "$@" >"$name.part" 2>"$name.log" || status=$?
    case $status in
    0) mv "$name.part" "$name" ;;
    124 | 137 | 143) complete= ;;
    *) { cat "$name.part"; tail -n 3 "$name.log"; } | tail -n 5 >"$name.failed" ;;
    esac
    rm -f "$name.part"
}

# number FILE KEY: the first number under "KEY" in JSON with a line for each.
number() { sed -n "s/^ *\"$2\": *\\(-*[0-9][0-9.eE+-]*\\),*\$/\\1/p" "$1" | head -n 1; }
# As number, for a text.
string() { sed -n "s/^ *\"$2\": *\"\\(.*\\)\",*\$/\\1/p" "$1" | head -n 1; }
digits() { awk -v value="$1" -v digits="$2" -v times="${3:-1}" \
    'BEGIN { if (value == "") print "–"; else printf "%.*f\n", digits, value * times }'; }

# Failed commands of the stage as a list.
failures() {
    for file in *.failed; do
        [ -e "$file" ] || continue
        printf -- '- %s: %s\n' "${file%.failed}" "$(tr '\n' ' ' <"$file")"
    done
}

stage_suite() {
    tests=${SALIQ_TESTS:-}
    # shellcheck disable=SC2012 # names of cargo's making
    [ -n "$tests" ] ||
        tests=$(ls -t "$root"/target/*/deps/library-* 2>/dev/null | grep -v '\.' | head -n 1)
    [ -x "$tests" ] || die "suite: no test program: SALIQ_TESTS names it"
    # Tests read files of the source tree, wherever it lay when they were built.
    export CARGO_MANIFEST_DIR="$root"
    first="core_kernels sgt_kernels core_networks goldens integer_kernels judgement_kernels"
    all=$("$tests" --list 2>/dev/null |
        awk -F :: '/: test$/ && NF > 1 && !seen[$1]++ { print $1 }')
    [ -z "$small" ] || : "${SUITE_FILTER:=sgt_variants}"
    touch results.tsv
    for module in ${SUITE_FILTER:-$first $all}; do
        grep -q "^$module	" results.tsv && continue
        has_time 5 || break
        say "$stage: $module"
        begin=$(date +%s) status=0
        timeout -k 20 "$(left)" "$tests" "$module::" >"$module.log" 2>&1 || status=$?
        case $status in 124 | 137 | 143) complete=; break ;; esac
        result=$(awk -v status="$status" '
            /^test result: / { sub(/\.$/, "", $3); result = $3; passed = $4; failed = $6 }
            END {
                if (result == "") result = "crashed (status " status ")"
                else if (passed + failed == 0) result = "no tests"
                printf "%s\t%s\t%s", result, passed, failed
            }' "$module.log")
        printf '%s\t%s\t%s\n' "$module" "$result" "$(($(date +%s) - begin))" >>results.tsv
    done
    {
        echo "| module | result | passed | failed | seconds |"
        echo "| --- | --- | --- | --- | --- |"
        awk -F '\t' '{ printf "| %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5 }' results.tsv
        if grep -q '^test .*FAILED\|panicked at\|NOT RUN' ./*.log; then
            printf '\n```text\n'
            grep -h -A 3 '^test .*FAILED\|panicked at\|NOT RUN' ./*.log | head -n 120
            echo '```'
        fi
    } >body.md
}

# Rows of a table of steps: file, what it is.
step_row() {
    [ -e "$1" ] || return 0
    printf '| %s | %s | %s | %s | %s | %s | %s | %s |\n' "$2" \
        "$(digits "$(number "$1" median_ms)" 2)" "$(digits "$(number "$1" images_per_second)" 0)" \
        "$(number "$1" dispatches)" "$(digits "$(number "$1" peak_share)" 0 100) %" \
        "$(digits "$(number "$1" memory_ms)" 2)" "$(digits "$(number "$1" arithmetic_ms)" 2)" \
        "$(digits "$(number "$1" floor_share)" 0 100) %"
}

stage_bench() {
    batch=256 steps=20 dataset=mnist epochs=3 train="--batch-size 256 --lr 0.2"
    if [ -n "$small" ]; then
        batch=2 steps=1 dataset=mnist-mini epochs=1
        train="--batch-size 2 --train-limit 4 --test-limit 4"
    fi
    once step.json 20 "$saliq" bench --json --tiles table --batch-size "$batch" --steps "$steps"
    once tiles.json 60 "$saliq" bench --json --autotune --batch-size "$batch"
    # What the tuning found is used from here on; a software driver has nothing to tune.
    export SALIQ_TILES=table
    if [ -e tiles.json ]; then
        export SALIQ_TILES="$PWD/tiles.json"
        once step-tuned.json 20 "$saliq" bench --json --batch-size "$batch" --steps "$steps"
    fi
    once step-f16.json 20 "$saliq" bench --json --precision f16 --batch-size "$batch" \
        --steps "$steps"
    if [ ! -e epoch/model.safetensors ] && has_time 20; then
        # shellcheck disable=SC2086 # a list of flags
        once epoch.txt 20 "$saliq" train --quiet --dataset "$dataset" $train --epochs "$epochs" \
            --log-every 0 --force --out epoch
    fi
    once quantized.txt 20 "$saliq" train --quiet --dataset mnist-mini --bits 4,4 --steps 3 \
        --batch-size "$batch" --test-limit 4 --log-every 0 --force --out quantized
    if [ -e quantized.txt ]; then
        once inference.json 30 "$saliq" bench --json --inference quantized \
            --batch-size "$batch" --steps "$steps"
        # Without any optional feature, cooperative matrices among them.
        once inference-plain.json 30 env SALIQ_DEVICE_PROFILE=webgpu "$saliq" bench --json \
            --inference quantized --batch-size "$batch" --steps "$steps"
    fi
    if [ -z "$small" ]; then
        once step-1024.json 20 "$saliq" bench --json --batch-size 1024 --steps "$steps"
        once sweep.json 60 "$saliq" bench --json --sweep batch --batch-size 1024
    fi
    {
        echo "The float step with Saliency Guided Training, Table I, batch $batch:"
        echo
        echo "| | ms | images/s | dispatches | of the product's rate |" \
            "floor of memory, ms | of arithmetic, ms | of the floor |"
        echo "| --- | --- | --- | --- | --- | --- | --- | --- |"
        step_row step.json "tiles of the table"
        step_row step-tuned.json "measured tiles"
        step_row step-f16.json "f16 between layers"
        step_row step-1024.json "batch 1024"
        echo
        if [ -e step.json ]; then
            echo "Peaks: product $(digits "$(number step.json product_gflops)" 0) GFLOP/s, copy" \
                "$(digits "$(number step.json copy_gbytes_per_s)" 0) GB/s. The first step begins" \
                "after $(digits "$(number step.json ready_ms)" 0) ms and ends after" \
                "$(digits "$(number step.json first_step_ms)" 0) ms."
        fi
        if [ -e epoch/metrics.jsonl ]; then
            echo "Seconds of an epoch of $dataset with Saliency Guided Training, with its test:" \
                "$(sed -n 's/.*"kind":"epoch".*"seconds":\([0-9.]*\).*/\1/p' epoch/metrics.jsonl |
                    tr '\n' ' ')(in order)."
        fi
        for file in step-tuned.json step.json; do
            [ -e "$file" ] || continue
            printf '\nDispatches (%s):\n\n' "$file"
            echo "| dispatch | kernel | runs | ms of one | GFLOP/s | GB/s | of the peak |"
            echo "| --- | --- | --- | --- | --- | --- | --- |"
            dispatches "$file"
            break
        done
        for file in inference.json inference-plain.json; do
            [ -e "$file" ] || continue
            printf '\nInference of a (4,4) model (%s), as JSON:\n\n```json\n' "$file"
            cat "$file"
            echo '```'
        done
    } >body.md
}

# The table of a benchmark's dispatches.
dispatches() {
    awk '
        function text(line) { sub(/^[^:]*: "/, "", line); sub(/",?$/, "", line); return line }
        function value(line) { sub(/^[^:]*: /, "", line); sub(/,$/, "", line); return line }
        function short(x, digits) { return x == "null" ? "–" : sprintf("%." digits "f", x) }
        /"kernels": \[/ { inside = 1 }
        /^  \]/ { inside = 0 }
        !inside { next }
        /"name":/ { name = text($0) }
        /"kernel":/ { kernel = text($0) }
        /"count":/ { count = value($0) }
        /"median_ms":/ { ms = value($0) }
        /"gflops":/ { gflops = value($0) }
        /"gbytes_per_s":/ { bytes = value($0) }
        /"peak_share":/ {
            share = value($0)
            printf "| %s | %s | %s | %s | %s | %s | %s |\n", name, kernel, count, short(ms, 3),
                short(gflops, 1), short(bytes, 1),
                share == "null" ? "–" : sprintf("%.0f %%", 100 * share)
        }' "$1"
}

stage_peers() {
    "$python" -c "import torch" 2>/dev/null || {
        echo "Not run: $python has no PyTorch." >body.md
        return
    }
    batches="256 64 1024" steps=20
    [ -z "$small" ] || batches=2 steps=1
    for batch in $batches; do
        # PyTorch stands between two runs of saliq; all in one sitting.
        once "batch-$batch.json" 60 "$python" "$root/benches/peers/torch_sgt_step.py" --json \
            --batch "$batch" --steps "$steps" --saliq "$saliq"
    done
    {
        echo "| batch | form | execution | ms |"
        echo "| --- | --- | --- | --- |"
        for batch in $batches; do
            [ -e "batch-$batch.json" ] || continue
            "$python" - "batch-$batch.json" <<'PY'
import json, sys
result = json.load(open(sys.argv[1]))
batch = result["step"]["batch_size"]
ours = [run["step"]["median_ms"] for run in result["saliq"]]
print(f"| {batch} | saliq, before and after | {result['saliq'][0]['adapter']['name']} | "
      + ", ".join(f"{ms:.2f}" for ms in ours) + " |")
for form in result["step"]["forms"]:
    ms = form.get("median_ms")
    text = f"{ms:.2f} ({ms / (sum(ours) / len(ours)):.2f} × saliq's)" if ms else form["error"]
    print(f"| {batch} | PyTorch {result['torch']}, {form['form']} | {form['execution']} | {text} |")
PY
        done
    } >body.md
}

stage_table2() {
    flags="--preset best --seeds 1 --sgt true"
    [ -z "$small" ] || flags="--preset tiny --dataset mnist-mini --bits 2,2 --sgt true"
    # shellcheck disable=SC2086 # a list of flags
    once study.txt 10 "$saliq" reproduce $flags --out study
    {
        if [ -e study/report.md ]; then
            cat study/report.md
        else
            echo "Models that are done (accuracies of the test set):"
            echo
            for file in study/runs/*/result.json; do
                [ -e "$file" ] || continue
                echo "- $(basename "$(dirname "$file")"): $(number "$file" accuracy)"
            done
        fi
    } >body.md
}

stage_resnet20() {
    data="--dataset cifar-10" float="--epochs 120 --batch-size 128 --lr 0.1 --augment crop,hflip"
    further="--epochs 60 --batch-size 128 --lr 0.02 --augment crop,hflip"
    float="$float --optimizer momentum --nesterov --schedule one-cycle --weight-decay 0.0005"
    further="$further --optimizer momentum --nesterov --schedule one-cycle --weight-decay 0.0001"
    if [ -n "$small" ]; then
        data="--dataset mnist-mini --test-limit 8"
        float="--steps 1 --batch-size 2" further=$float
    fi
    # train NAME FLAGS…: a run that goes on from its last checkpoint.
    train() {
        run=$1
        shift
        # shellcheck disable=SC2086 # lists of flags
        once "$run.json" 10 "$saliq" train --quiet --json --network resnet-20 $data --sgt false \
            --first-last 8 --seed 0 --checkpoint-every 1m --resume --out "$run" "$@"
    }
    # shellcheck disable=SC2086 # lists of flags
    train float $float
    for bits in 4 2; do
        [ -e float.json ] || continue
        # shellcheck disable=SC2086 # lists of flags
        train "w${bits}a$bits" --bits "$bits" --init float $further
    done
    {
        echo "| run | test accuracy | seconds of the last epoch |"
        echo "| --- | --- | --- |"
        for run in float w4a4 w2a2; do
            [ -e "$run/metrics.jsonl" ] || continue
            last=$(grep '"kind":"epoch"' "$run/metrics.jsonl" | tail -n 1)
            field() { printf '%s' "$last" | sed -n "s/.*\"$1\":\\([0-9.]*\\).*/\\1/p"; }
            state=
            [ -e "$run.json" ] || state=" (epoch $(field epoch), not finished)"
            echo "| $run$state | $(digits "$(field test_accuracy)" 2 100) % | $(field seconds) |"
        done
    } >body.md
}

run_stage() {
    stage=$1 complete=1
    deadline=$(($(date +%s) + ${STAGE_SECONDS:-500}))
    if [ ! -d "$work/$stage" ] && [ -n "${FROM:-}" ] && [ -e "$FROM/gpu-$stage.tgz.aa" ]; then
        cat "$FROM/gpu-$stage.tgz".* | tar -xz -C "$work"
    fi
    mkdir -p "$work/$stage"
    cd "$work/$stage"
    "stage_$stage"
    # The adapter of this run; a stage that goes on elsewhere names all.
    if ! "$saliq" devices --json >devices.json 2>devices.log; then die "$(cat devices.log)"; fi
    awk '
        function text(line) { sub(/^[^:]*: "/, "", line); sub(/",?$/, "", line); return line }
        /"name":/ { name = text($0) }
        /"driver":/ { driver = text($0) }
        /"picked": true/ { print name ", driver " driver }' devices.json >>adapters.txt
    sort -u -o adapters.txt adapters.txt
    {
        echo "# On a GPU: $stage"
        echo
        echo "Made by \`benches/gpu.sh $stage\` with $("$saliq" --version) on $(date -u +%Y-%m-%d)."
        [ -z "$small" ] || echo "**Sizes are small: the figures mean nothing.**"
        [ -n "$complete" ] || echo "**Unfinished: the same command goes on.**"
        echo
        sed 's/^/Adapter: /' adapters.txt
        echo
        cat body.md
        if ls ./*.failed >/dev/null 2>&1; then
            printf '\nWhat failed:\n\n'
            failures
        fi
    } >"$out/.gpu-$stage.md"
    mv "$out/.gpu-$stage.md" "$out/gpu-$stage.md"
    cd "$work"
    if [ -n "${OUT:-}" ]; then
        rm -f "$out/gpu-$stage.tgz".*
        # A finished run needs no checkpoint.
        find "$stage" -name checkpoint.safetensors | while read -r file; do
            run=$(dirname "$file")
            for done in "$run/result.json" "$run.json" "$run.txt"; do
                [ ! -e "$done" ] || rm -f "$file"
            done
        done
        tar -cz --exclude=.lock "$stage" | split -b 15000000 - "$out/gpu-$stage.tgz."
    fi
    if [ -z "$complete" ]; then
        say "$stage is unfinished: the same command goes on"
        any_unfinished=1
    fi
}

stages="suite bench peers table2 resnet20"
for stage in "$@"; do
    case " $stages " in
    *" $stage "*) ;;
    *) die "there is no stage $stage; there are $stages" ;;
    esac
done
[ $# -gt 0 ] || eval "set -- $stages"
any_unfinished=
for one in "$@"; do run_stage "$one"; done
[ -z "$any_unfinished" ] || exit $unfinished
