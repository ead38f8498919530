#!/bin/sh
# Repeats pages of docs/results with the program as it is.
#     benches/results.sh NAME…         runs the commands of the page docs/results/NAME.md
#     benches/results.sh --made NAME…  only writes how the page was made: COMMIT, DATE, MACHINE
#   scaling          6 minutes of two idle cores
#   judge            4 minutes; $PYTHON with Quantus and PyTorch (benches/peers/README.md)
#   randomisation    10 minutes
#   study            25 minutes
#   quantizers       4 hours, 3 of them on the full sets
#   deployment       2 hours with the full set of MNIST; $PYTHON with PyTorch and ONNX Runtime
#   bits             3 hours
#   residual         2 hours with CIFAR-10 as class folders; $PYTHON with PyTorch
#   software-driver  30 minutes with the full set of MNIST; $PYTHON with PyTorch
#   gpu              the stages of benches/gpu.sh, on a machine with a GPU
# What a command prints is a file in WORK/NAME, and a file that is there is not made again. Tables
# between <!-- TABLE --> and <!-- end --> of a page are replaced by the new ones; the page then says
# how it was made. Other tables and the text are the work of who repeats the page: it says how it
# was made after `--made NAME`. Figures of time need a machine that does nothing else.
#
#   SALIQ      the program            [target/release/saliq, which is built]
#   PYTHON                            [python3]
#   DATA       folder with mnist, fashion-mnist and cifar-10 (train/CLASS/* and test/CLASS/*), for
#              pages that need the full sets
#   WORK       folder of what is done [runs/results]
#   COMMIT     of the program         [that of the working tree, which must not be changed]
#   DATE                              [today]
#   MACHINE    where it ran           [processor and adapter]
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$root/target}"
python=${PYTHON:-python3}

say() { echo "results.sh: $*" >&2; }
die() { say "error: $*"; exit 2; }

# once FILE COMMAND…: runs the command unless FILE is there; its standard output becomes FILE.
once() {
    file=$1
    shift
    [ ! -e "$file" ] || return 0
    say "$page: $file"
    "$@" >"$file.part"
    mv "$file.part" "$file"
}

# run NAME COMMAND…: a command that writes the run folder NAME.
run() {
    name=$1
    shift
    once "$name.txt" "$@" --force --out "$name"
}

# table NAME: standard input replaces the table NAME of the page.
table() {
    cat >"$1.table"
    grep -q "^<!-- $1 -->\$" "$root/docs/results/$page.md" ||
        die "docs/results/$page.md has no <!-- $1 -->"
    awk -v name="$1" '
        $0 == "<!-- " name " -->" {
            print; print ""
            while ((getline line < (name ".table")) > 0) print line
            print ""
            inside = 1
        }
        $0 == "<!-- end -->" { inside = 0 }
        !inside' "$root/docs/results/$page.md" >page.md
    cp page.md "$root/docs/results/$page.md"
}

full_sets() {
    [ -d "${DATA:-}" ] || die "$page: DATA names a folder with mnist and fashion-mnist"
}

# Points of `saliq bench --sweep $1` as a table with the heading $2, and the line through them.
growth() {
    awk -v heading="$2" '
        function value(line) { sub(/^[^:]*: /, "", line); sub(/,$/, "", line); return line }
        BEGIN { printf "| %s | ms a step |\n| --- | --- |\n", heading }
        /"value":/ { at = value($0) }
        /"median_ms":/ { printf "| %d | %.0f |\n", at, value($0) }
        /"ms_per_unit":/ { slope = value($0) }
        /"offset_ms":/ { offset = value($0) }
        /"r_squared":/ {
            printf "\nLine through the points: %.1f ms + %.3f ms per unit, R² = %.4f.\n", offset,
                slope, value($0)
        }' "sweep-$1.json"
}

page_scaling() {
    for what in batch filters pixels; do
        once "sweep-$what.json" "$saliq" bench --json --sweep $what --batch-size 96 --steps 3 \
            --chart "$root/docs/images/scaling-$what.svg"
    done
    growth batch "images a step" | table batch
    growth filters "filters of conv2" | table filters
    growth pixels "pixels of an image" | table pixels
}

page_judge() {
    run float "$saliq" train --quiet --dataset mnist-mini --sgt false --epochs 3
    OMP_NUM_THREADS=$(nproc) once judge.md "$python" "$root/benches/peers/quantus_judge.py" float \
        --saliq "$saliq" --count 100
    table judge <judge.md
}

page_randomisation() {
    train="$saliq train --quiet --dataset mnist-mini --batch-size 64 --optimizer momentum"
    train="$train --schedule one-cycle"
    # shellcheck disable=SC2086 # a command
    run float $train --lr 0.05 --epochs 2
    # shellcheck disable=SC2086
    run 2-2 $train --lr 0.02 --steps 56 --bits 2,2 --init float
    once compare.txt "$saliq" compare float 2-2 --count 64 --randomisation \
        --method gradient,input-x-gradient,guided-backprop,deeplift,lrp --out compare
    by_hand
}

page_study() {
    once study.txt "$saliq" reproduce --preset quick --out study
    cp study/report.html "$root/docs/results/quick.html"
    cp study/report.csv "$root/docs/results/quick.csv"
    by_hand
}

page_quantizers() {
    full_sets
    train="$saliq train --quiet --json --data-dir $DATA --sgt false --optimizer momentum --nesterov"
    train="$train --schedule one-cycle --batch-size 128"
    mnist="$train --dataset mnist --augment shift --dropout 0.25,0.5"
    fashion="$train --dataset fashion-mnist --augment hflip --dropout 0.25,0.25"
    # shellcheck disable=SC2086 # commands
    {
        run mnist-float $mnist --epochs 3 --lr 0.05
        for bits in 2,2 4,2 4,4; do
            run "mnist-$bits" $mnist --epochs 3 --lr 0.02 --bits $bits --init mnist-float
        done
        run fashion-float $fashion --epochs 5 --lr 0.05
        run fashion-2,2 $fashion --epochs 4 --lr 0.02 --bits 2,2 --init fashion-float
    }
    train="$saliq train --quiet --sgt false --batch-size 64 --steps 188 --optimizer momentum"
    for set in mnist fashion; do
        rate=0.05
        [ $set = mnist ] || rate=0.03
        # shellcheck disable=SC2086
        run "$set-mini" $train --schedule one-cycle --dataset $set-mini --lr $rate
        for calibration in mse percentile min-max; do
            for bits in 8,8 4,4 2,2; do
                quantized="$set-mini-$calibration-$bits.safetensors"
                once "$quantized.txt" "$saliq" quantize "$set-mini" --bits $bits --calibrate 256 \
                    --calibration $calibration --out "$quantized"
                once "$quantized.eval.json" "$saliq" eval "$quantized" --json
            done
        done
    done
    "$root/benches/quantizers.sh" "$saliq" mini
    by_hand
}

page_deployment() {
    full_sets
    quantizers=$work/quantizers
    [ -d "$quantizers/mnist-4,4" ] || die "deployment: first benches/results.sh quantizers"
    run mnist-2,2,4,8 "$saliq" train --quiet --dataset mnist --data-dir "$DATA" --sgt false \
        --optimizer momentum --nesterov --schedule one-cycle --batch-size 128 --epochs 1 --lr 0.01 \
        --augment shift --dropout 0.25,0.5 --bits 2,2,4,8 --init "$quantizers/mnist-2,2"
    for model in float 2,2 4,2 4,4 2,2,4,8; do
        from="$quantizers/mnist-$model"
        [ -d "$from" ] || from=mnist-$model
        once "export-$model.txt" "$saliq" export "$from" --format onnx --out "$model.onnx" \
            --verify 100 --data-dir "$DATA"
        once "explain-$model.txt" "$saliq" explain "$from" --method random --count 10000 \
            --data-dir "$DATA" --out "maps-$model"
        once "onnx-$model.txt" "$python" "$root/tests/onnx_check.py" "$model.onnx" \
            "maps-$model/attributions.safetensors"
        [ $model != float ] || continue
        once "levels-$model.json" "$saliq" eval "$from" --engine integer --compare-levels --json \
            --data-dir "$DATA"
        once "packed-$model.txt" "$saliq" export "$from" --format packed --data-dir "$DATA" \
            --out "$model.safetensors"
        once "cost-$model.txt" "$saliq" cost "$from"
        once "inference-$model.json" "$saliq" bench --json --inference "$from" --batch-size 1024 \
            --steps 5
    done
    once onnxruntime.txt "$python" "$root/benches/peers/onnxruntime_inference.py" 2,2.onnx \
        --saliq "$saliq" --model "$quantizers/mnist-2,2" --threads 2 --batch 1024 --rounds 3
    by_hand
}

page_bits() {
    bits="cargo run --quiet --locked --release --manifest-path $root/Cargo.toml"
    bits="$bits --example bits_truth --"
    for seed in 0 1 2 3 4; do
        # shellcheck disable=SC2086 # a command
        once "halved-$seed.txt" $bits halved fashion-mini $seed "fashion-$seed.csv"
    done
    # shellcheck disable=SC2086
    once judged.txt $bits judge fashion-?.csv
    by_hand
}

# residual NAME PEER_FLAGS [FLAG…]: ResNet-8 in saliq, and in PyTorch with PEER_FLAGS; a row.
residual() {
    name=$1
    peer_flags=$2
    shift 2
    # shellcheck disable=SC2086 # flags
    {
        run "$name" "$saliq" train --quiet --dataset "$DATA/cifar-10" --network resnet-8 \
            --optimizer adam --lr 0.002 --schedule cosine --batch-size 128 --epochs 5 "$@"
        once "$name.json" "$saliq" eval "$name" --json --predictions "$name.csv"
        once "torch-$name.txt" "$python" "$root/benches/peers/torch_resnet8.py" "$DATA/cifar-10" \
            --epochs 5 $peer_flags --out "torch-$name.csv"
    }
    once "compared-$name.txt" "$python" "$root/benches/peers/torch_resnet8.py" \
        --compare "$name.csv" "torch-$name.csv"
    sed -nE "s/^(.*) and (.*), difference (.*) points$/| $name | \1 | \2 | \3 |/p" \
        "compared-$name.txt" >>rows
}

page_residual() {
    [ -d "${DATA:-}/cifar-10/train" ] || die "residual: DATA names a folder with cifar-10/train"
    low="--bits 4 --all-layers --first-last 8"
    : >rows
    # shellcheck disable=SC2086 # flags
    {
        residual float "" --sgt false
        residual w4a4 "--bits 4" --sgt false $low
        residual float-sgt "--sgt"
        residual w4a4-sgt "--bits 4 --sgt" $low
    }
    {
        echo "| model | saliq | PyTorch | saliq − PyTorch, points |"
        echo "| --- | --- | --- | --- |"
        cat rows
    } | table accuracies
    for name in w4a4 w4a4-sgt; do
        once "packed-$name.txt" "$saliq" export "$name" --format packed --out "$name.safetensors"
        echo "$name.safetensors: $(wc -c <"$name.safetensors") bytes"
    done >packed
    by_hand
}

page_software_driver() {
    full_sets
    train="$saliq train --dataset mnist --data-dir $DATA --epochs 1"
    adam="$train --batch-size 256 --optimizer adam --schedule one-cycle"
    # shellcheck disable=SC2086 # commands
    {
        run float $adam --lr 0.002
        run 4-2 $adam --lr 0.001 --bits 4,2 --init float
        run paper $train
    }
    once demo.txt "$saliq" demo
    OMP_NUM_THREADS=$(nproc) once step.json "$python" "$root/benches/peers/torch_sgt_step.py" \
        --batch 256 --steps 5 --json --saliq "$saliq"
    once depthwise.txt cargo run --quiet --locked --release \
        --manifest-path "$root/Cargo.toml" --example depthwise_rate
    by_hand
}

page_gpu() {
    die "gpu: benches/gpu.sh STAGE writes docs/results/gpu-STAGE.md; then --made gpu-STAGE"
}

# Ends a page whose tables are not all replaced.
by_hand() {
    say "$page: the new figures are in $PWD; docs/results/$page.md has the old ones. Then:" \
        "benches/results.sh --made $page"
    is_made=
}

commit() {
    if [ -n "${COMMIT:-}" ]; then
        echo "$COMMIT"
    elif [ -n "$(git status --porcelain -- src shaders benches Cargo.toml Cargo.lock)" ]; then
        die "src, shaders or benches have changes that are in no commit (COMMIT names another)"
    else
        git rev-parse --short=7 HEAD
    fi
}

machine() {
    if [ -n "${MACHINE:-}" ]; then
        echo "$MACHINE"
        return
    fi
    processor=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1)
    "$saliq" devices --json 2>/dev/null | awk -v processor="${processor:-$(uname -m)}" \
        -v cores="$(nproc)" '
        function text(line) { sub(/^[^:]*: "/, "", line); sub(/",?$/, "", line); return line }
        /"name":/ { name = text($0) }
        /"driver":/ { driver = text($0) }
        /"picked": true/ { printf "%s cores of %s; %s, %s\n", cores, processor, name, driver }'
}

# Writes how the page was made; the test adds the hashes of the sources.
made() {
    file=docs/results/$page.md
    [ -e "$file" ] || die "there is no $file"
    text=$(awk '/^## How this page was made$/ { exit } { print }' "$file")
    {
        printf '%s\n\n## How this page was made\n\n' "$text"
        printf -- '- Commit: %s\n' "$(commit)"
        printf -- '- Date: %s\n' "${DATE:-$(date -u +%Y-%m-%d)}"
        printf -- '- Machine: %s\n' "$(machine)"
        printf -- "- Command: \`benches/results.sh %s\`\n" "$page"
    } >"$work/made.md"
    mv "$work/made.md" "$file"
    say "$file is of commit $(commit)"
}

only_made=
if [ "${1:-}" = --made ]; then
    only_made=1
    shift
fi
[ $# -gt 0 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0"; exit 2; }
pages=$(sed -n 's/^page_\([a-z_]*\)() {$/\1/p' "$0" | tr '_\n' '- ')
for page in "$@"; do
    case " $pages $([ -z "$only_made" ] || echo "$page") " in
    *" $page "*) ;;
    *) die "there is no page $page; there are $pages" ;;
    esac
done
mkdir -p "${WORK:-runs/results}"
work=$(cd "${WORK:-runs/results}" && pwd)
saliq=${SALIQ:-$root/target/release/saliq}
[ -n "${SALIQ:-}" ] || cargo build --quiet --locked --release
saliq=$(cd "$(dirname "$saliq")" && pwd)/$(basename "$saliq")
[ -x "$saliq" ] || die "$saliq is no program: SALIQ names it"
commit >/dev/null
for page in "$@"; do
    is_made=1
    if [ -z "$only_made" ]; then
        mkdir -p "$work/$page"
        cd "$work/$page"
        "page_$(echo "$page" | tr - _)"
        cd "$root"
    fi
    [ -z "$is_made" ] || made
done
SALIQ_WRITE_RESULTS=1 cargo test --quiet --locked --test repository results
