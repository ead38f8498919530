#!/usr/bin/env bash
# Unpacks the software Vulkan driver of Debian's next release into a folder, beside the system's
# own, and installs nothing: Debian on x86-64 only.
#   .ci/newer-driver.sh [FOLDER]     FOLDER/run PROGRAM [ARGUMENT…] starts a program on that driver
# FOLDER is target/newer-driver if none is given; .ci/test-more.sh looks there. The driver needs a
# newer C library, which comes with it: FOLDER/run starts programs with that library's loader.
set -euo pipefail

suite=${SUITE:-trixie}
mkdir -p "${1:-target/newer-driver}"
folder=$(cd "${1:-target/newer-driver}" && pwd)
command -v apt-get >/dev/null || { echo "apt-get was not found: Debian only" >&2; exit 1; }
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    sed -nE 's/^(deb|URIs:).*(https?:\/\/[^ ]+).*/\2/p' | grep -v security | head -1) || true
[ -n "$mirror" ] || { echo "apt has no mirror" >&2; exit 1; }

# A package manager's state of its own, in which nothing is installed: it fetches everything.
mkdir -p "$folder"/lists/partial "$folder"/cache/archives/partial "$folder"/root
: >"$folder/status"
printf 'deb %s %s main\n' "$mirror" "$suite" "$mirror" "$suite-backports" >"$folder/sources.list"
apt=(apt-get -qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=-
    -o "Dir::State::Lists=$folder/lists" -o "Dir::State::status=$folder/status"
    -o "Dir::Cache=$folder/cache" -o APT::Get::List-Cleanup=0 -o APT::Install-Recommends=0
    -o Debug::NoLocking=1)
"${apt[@]}" update
"${apt[@]}" -y --download-only -t "$suite-backports" install mesa-vulkan-drivers libvulkan1 >/dev/null
for package in "$folder"/cache/archives/*.deb; do dpkg-deb -x "$package" "$folder/root"; done

libraries=$folder/root/usr/lib/x86_64-linux-gnu
printf '{"file_format_version": "1.0.0", "ICD": {"api_version": "1.4.0", "library_path": "%s"}}\n' \
    "$libraries/libvulkan_lvp.so" >"$folder/driver.json"
cat >"$folder/run" <<SCRIPT
#!/bin/sh
export VK_DRIVER_FILES=$folder/driver.json VK_ICD_FILENAMES=$folder/driver.json
export XDG_RUNTIME_DIR=\${XDG_RUNTIME_DIR:-$folder}
exec $libraries/ld-linux-x86-64.so.2 --library-path $libraries:/usr/lib/x86_64-linux-gnu "\$@"
SCRIPT
chmod +x "$folder/run"
echo "$folder/run"
