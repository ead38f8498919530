#!/bin/sh
# Accuracy of every weight quantizer with every kind of activation, on the mini sets: docs/results/quantizers.md.
#     benches/quantizers.sh [SALIQ] [FOLDER]
# A float model of 2 epochs, plain training; from it 56 steps of quantization-aware training for each combination.
# Then sawb and lsq with unsigned PACT from scratch (2 epochs), and from the float model with Saliency Guided Training.
# One line a run in FOLDER/results.tsv: data set, weight quantizer, activations, bits, start, SGT, seed, test accuracy.
# Runs whose line is there already are skipped.
set -eu
saliq=${1:-saliq}
folder=${2:-runs/quantizers}
mkdir -p "$folder"
touch "$folder/results.tsv"

# run SET QUANTIZER ACTIVATIONS BITS START SGT SEED FLAGS…
run() {
    key=$(printf '%s\t%s\t%s\t%s\t%s\t%s\t%s' "$1" "$2" "$3" "$4" "$5" "$6" "$7")
    out="$folder/$1-$2-$3-$4-$5-$6-$7"
    sgt=$6 dataset=$1 seed=$7
    shift 7
    if grep -qF "$key" "$folder/results.tsv"; then return; fi
    accuracy=$("$saliq" train --quiet --json --force --dataset "$dataset" --batch-size 64 --optimizer momentum --schedule one-cycle \
        --sgt "$sgt" --seed "$seed" --log-every 0 --out "$out" "$@" | sed -n 's/^ *"accuracy": \([0-9.]*\),*$/\1/p')
    printf '%s\t%s\n' "$key" "$accuracy" >>"$folder/results.tsv"
}

# quantized SET QUANTIZER ACTIVATIONS BITS SEED: from the float model
quantized() {
    from="$folder/$1-float-none-32-scratch-false-0" weight_quant=$2 pact=$3 widths=$4
    run "$1" "$2" "$3" "$4" float false "$5" --weight-quant "$weight_quant" --pact "$pact" --bits "$widths" \
        --init "$from" --steps 56 --lr 0.02
}

sets="mnist-mini fashion-mini"
for set in $sets; do
    run "$set" float none 32 scratch false 0 --epochs 2 --lr 0.05
done
for bits in 2,2 4,2 4,4; do
    for set in $sets; do
        for activations in unsigned signed; do
            for quantizer in sawb lsq dorefa symmetric affine; do
                quantized "$set" "$quantizer" "$activations" "$bits" 0
            done
            case $bits in # 1-bit weights with the same activations
            2,2) quantized "$set" binary "$activations" w1a2,w1a2 0 ;;
            4,2) quantized "$set" binary "$activations" w1a4,w1a2 0 ;;
            4,4) quantized "$set" binary "$activations" w1a4,w1a4 0 ;;
            esac
        done
    done
done

# The two best, from scratch and with Saliency Guided Training.
for bits in 2,2 4,2 4,4; do
    for set in $sets; do
        for quantizer in sawb lsq; do
            run "$set" "$quantizer" unsigned "$bits" scratch false 0 --weight-quant "$quantizer" --pact unsigned --bits "$bits" \
                --epochs 2 --lr 0.05
            run "$set" "$quantizer" unsigned "$bits" float true 0 --weight-quant "$quantizer" --pact unsigned --bits "$bits" \
                --init "$folder/$set-float-none-32-scratch-false-0" --steps 56 --lr 0.02
        done
    done
done
