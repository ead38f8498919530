#!/bin/sh
# Runs spirv-val over every .spv file of a folder, on all cores; any failure fails.
# Usage: spirv-val.sh FOLDER; with --one FILES… it says one line for each file.
set -eu
if [ "$1" = --one ]; then
    shift
    for file in "$@"; do
        if words=$(spirv-val --target-env vulkan1.1 "$file" 2>&1); then
            echo "valid $file"
        elif grep -aq SPV_KHR_cooperative_matrix "$file" && ! spirv-val --help | grep -q 'vulkan1\.4'; then
            # Older than the extension: it cannot even decode the instructions.
            echo "skipped $file: this spirv-val is older than cooperative matrices"
        elif grep -aq SPV_KHR_cooperative_matrix "$file" && words=$(spirv-val --target-env vulkan1.3 "$file" 2>&1); then
            echo "valid $file"
        else
            echo "failed $file: $(echo "$words" | tr '\n' ' ')"
        fi
    done
    exit 0
fi
folder=$1
if ! command -v spirv-val >/dev/null; then
    echo "spirv-val is not installed (package spirv-tools): the SPIR-V was not validated a second time." >&2
    exit 0
fi
files=$(find "$folder" -name '*.spv' | wc -l)
[ "$files" -gt 0 ] || { echo "no SPIR-V in $folder" >&2; exit 1; }
said=$(find "$folder" -name '*.spv' -print0 | xargs -0 -n 64 -P "$(getconf _NPROCESSORS_ONLN)" "$0" --one)
count() { echo "$said" | grep -c "^$1 " || true; }
echo "$said" | grep -v '^valid ' | sort >&2 || true
valid=$(count valid) failed=$(count failed) skipped=$(count skipped)
echo "spirv-val: $valid valid, $failed failed, $skipped skipped"
# A file of which nothing was said was not checked.
[ "$failed" = 0 ] && [ $((valid + skipped)) = "$files" ]
