#!/usr/bin/env bash
# A Homebrew formula for a release, from its checksums.
#   packaging/formula.sh X.Y.Z SHA256SUMS
set -euo pipefail

version=$1
sums=$2
cd "$(dirname "${BASH_SOURCE[0]}")/.."
home=$(sed -n 's/^repository = "\(.*\)"$/\1/p' Cargo.toml)

# The lines of a target: where its archive is, and its sum.
source_of() {
    local file=saliq-$version-$1.tar.gz sum
    sum=$(awk -v file="$file" '$2 == file { print $1 }' "$sums")
    [ -n "$sum" ] || { echo "error: $sums: no sum of $file" >&2; exit 1; }
    printf '      url "%s/releases/download/v%s/%s"\n      sha256 "%s"\n' \
        "$home" "$version" "$file" "$sum"
}

# In variables of their own: a failure in the text below would not end the script.
mac_arm=$(source_of aarch64-apple-darwin)
mac_intel=$(source_of x86_64-apple-darwin)
linux_arm=$(source_of aarch64-unknown-linux-gnu)
linux_intel=$(source_of x86_64-unknown-linux-gnu)

cat <<RUBY
class Saliq < Formula
  desc "Saliency guided training and quantization of small CNNs on any GPU"
  homepage "$home"
  version "$version"
  license any_of: ["MIT", "Apache-2.0"]

  on_macos do
    on_arm do
$mac_arm
    end
    on_intel do
$mac_intel
    end
  end

  on_linux do
    on_arm do
$linux_arm
    end
    on_intel do
$linux_intel
    end
  end

  def install
    bin.install "saliq", "saliq-check"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/saliq.bash" => "saliq"
    zsh_completion.install "completions/saliq.zsh" => "_saliq"
    fish_completion.install "completions/saliq.fish"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/saliq --version")
    (testpath/"a.wgsl").write "@compute @workgroup_size(1) fn main() {}"
    system bin/"saliq", "check", "a.wgsl"
  end
end
RUBY
