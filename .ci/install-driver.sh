#!/bin/sh
# Installs the distribution's software Vulkan driver on a Linux machine that has no Vulkan driver at all.
# Does nothing where there is one, and nothing on macOS (Metal) and Windows (Direct3D 12).
# With --spirv-val, also installs the SPIR-V validator where the package manager has it.
set -eu

want_spirv_val=no
[ "${1:-}" = --spirv-val ] && want_spirv_val=yes

[ "$(uname -s)" = Linux ] || exit 0

has_driver() {
    # The loader's own override, and the older name of it.
    [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] && return 0
    for folder in /etc/vulkan/icd.d /usr/share/vulkan/icd.d /usr/local/etc/vulkan/icd.d /usr/local/share/vulkan/icd.d \
        /run/opengl-driver/share/vulkan/icd.d "${XDG_DATA_HOME:-${HOME:-/}/.local/share}/vulkan/icd.d"; do
        for file in "$folder"/*.json; do
            [ -e "$file" ] && return 0
        done
    done
    return 1
}

has_loader() {
    for file in /usr/lib/libvulkan.so.1 /usr/lib64/libvulkan.so.1 /usr/lib/*/libvulkan.so.1 /usr/local/lib*/libvulkan.so.1 \
        /run/opengl-driver/lib/libvulkan.so.1; do
        [ -e "$file" ] && return 0
    done
    PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1'
}

missing_driver=no
{ has_driver && has_loader; } || missing_driver=yes
missing_validator=no
[ "$want_spirv_val" = yes ] && ! command -v spirv-val >/dev/null && missing_validator=yes
[ "$missing_driver$missing_validator" = nono ] && exit 0

sudo=
if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null; then sudo=sudo; fi

packages() { # driver packages, then the validator's package
    list=
    [ "$missing_driver" = yes ] && list=$1
    [ "$missing_validator" = yes ] && list="$list $2"
    echo "$list"
}

install() {
    if command -v apt-get >/dev/null; then
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq || return 1
        # shellcheck disable=SC2046 # a list of packages
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            $(packages "mesa-vulkan-drivers libvulkan1" spirv-tools)
    elif command -v dnf >/dev/null; then
        # shellcheck disable=SC2046
        $sudo dnf install -y -q $(packages "mesa-vulkan-drivers vulkan-loader" spirv-tools)
    elif command -v pacman >/dev/null; then
        # shellcheck disable=SC2046
        $sudo pacman -S --needed --noconfirm $(packages "vulkan-swrast vulkan-icd-loader" spirv-tools)
    else
        return 1
    fi
}

if [ "$missing_driver" = yes ]; then echo "No Vulkan driver found: installing the distribution's software driver." >&2; fi
if ! install; then
    if [ "$missing_driver" = yes ]; then
        echo "Could not install a Vulkan driver. Please install one: your GPU vendor's, or Mesa's software driver (lavapipe)" >&2
        echo "and the Vulkan loader (Debian: mesa-vulkan-drivers libvulkan1; Fedora: mesa-vulkan-drivers vulkan-loader;" >&2
        echo "Arch: vulkan-swrast vulkan-icd-loader; openSUSE: libvulkan_lvp libvulkan1; Alpine: mesa-vulkan-swrast vulkan-loader)." >&2
        exit 1
    fi
    echo "Could not install spirv-val (package spirv-tools); going on without it." >&2
fi
