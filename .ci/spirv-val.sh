#!/bin/sh
# Runs spirv-val over every .spv file of a folder; any failure fails. Usage: spirv-val.sh FOLDER
set -eu
folder=$1
if ! command -v spirv-val >/dev/null; then
    echo "spirv-val is not installed (package spirv-tools): the SPIR-V was not validated a second time." >&2
    exit 0
fi
checked=0 failed=0 skipped=0
for file in "$folder"/*.spv; do
    [ -e "$file" ] || { echo "no SPIR-V in $folder" >&2; exit 1; }
    if words=$(spirv-val --target-env vulkan1.1 "$file" 2>&1); then
        checked=$((checked + 1))
    elif grep -aq SPV_KHR_cooperative_matrix "$file" && ! spirv-val --help | grep -q 'vulkan1\.4'; then
        # Older than the extension: it cannot even decode the instructions.
        echo "skipped $file: this spirv-val is older than cooperative matrices" >&2
        skipped=$((skipped + 1))
    elif grep -aq SPV_KHR_cooperative_matrix "$file" && words=$(spirv-val --target-env vulkan1.3 "$file" 2>&1); then
        checked=$((checked + 1))
    else
        echo "$file: $words" >&2
        failed=$((failed + 1))
    fi
done
echo "spirv-val: $checked valid, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
