#!/usr/bin/env bash
# The section of a version in CHANGELOG.md: the notes of its release.
#   packaging/notes.sh X.Y.Z
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

awk -v head="## $1" 'index($0, head) == 1 { on = 1; next } /^## / { on = 0 } on' CHANGELOG.md
