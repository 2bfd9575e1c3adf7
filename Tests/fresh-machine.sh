#!/usr/bin/env bash
# Proves that a machine with nothing installed but Swift builds, tests and demonstrates this project: makes a minimal
# Debian in a scratch directory, binds the toolchain into it, clones the checkout's HEAD there, and runs make.
#
#   Tests/fresh-machine.sh [TARGET...]      targets of make; by default: demo test
#
# Needs root, debootstrap and git. What it takes from the environment:
#   SWIFT_HOME   directory of the toolchain, bound read-only at the same place  (default: that of `swift` on PATH)
#   SUITE        release of Debian                                              (default: bookworm)
#   MIRROR       where debootstrap fetches from                                 (default: the first configured mirror of it)
#   EXTRA_BINDS  further paths, split by spaces, bound read-only at the same place: local copies of Swift packages,
#                certificates of a proxy, a git configuration that names either, test data
#   PASS_ENV     names of environment variables to hand on, split by spaces     (default: the usual ones of proxies)
#   ROOT         directory to build in; kept afterwards (default: a scratch directory that is removed)
#
# The machine's own apt configuration (sources, settings, keys, certificates) is copied, so that its mirrors are used.
set -euo pipefail

SUITE=${SUITE:-bookworm}
top=$(cd "$(dirname "$0")/.." && pwd)
if (($# == 0)); then set -- demo test; fi

fail() {
  echo "error: $1" >&2
  echo "hint: $2" >&2
  exit 1
}
((EUID == 0)) || fail "a chroot needs root" "run it with sudo"
command -v debootstrap >/dev/null || fail "debootstrap is missing" "apt-get install debootstrap"
if [[ -z ${SWIFT_HOME:-} ]]; then
  swift=$(PATH=$PATH:/opt/swift/usr/bin command -v swift) || fail "no swift on PATH" "set SWIFT_HOME to the toolchain's directory"
  SWIFT_HOME=$(cd "$(dirname "$(readlink -f "$swift")")/../.." && pwd)
fi
[[ -x $SWIFT_HOME/usr/bin/swift ]] || fail "$SWIFT_HOME holds no usr/bin/swift" "set SWIFT_HOME to the toolchain's directory"
if [[ -z ${MIRROR:-} ]]; then
  MIRROR=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
    awk -v suite="$SUITE" '$2 == suite { print $1; exit }')
  MIRROR=${MIRROR:-http://deb.debian.org/debian}
fi

if [[ -n ${ROOT:-} ]]; then
  root=$ROOT
  mkdir -p "$root"
else
  root=$(mktemp -d)
fi
chmod 0755 "$root"  # it becomes /, which everybody may enter
mounts=()
finish() {
  local index
  for ((index = ${#mounts[@]} - 1; index >= 0; index--)); do umount -l "${mounts[index]}" || true; done
  # Nothing is removed through a mount that could not be undone.
  if [[ -z ${ROOT:-} ]] && ! grep -q " $root/" /proc/mounts; then rm -rf --one-file-system "$root"; fi
}
trap finish EXIT
bind() {
  if [[ -d $1 ]]; then mkdir -p "$root$1"; else mkdir -p "$root$(dirname "$1")" && touch "$root$1"; fi
  mount --rbind --make-rprivate "$1" "$root$1"
  mounts+=("$root$1")
  if [[ ${2:-} == read-only ]]; then mount -o remount,bind,ro "$root$1"; fi
}
timed() {
  local name=$1 start=$SECONDS
  shift
  if ! "$@"; then
    fail "$name failed after $((SECONDS - start)) s (before it: ${times:-nothing})" "ROOT=DIRECTORY keeps the tree for a look"
  fi
  times+="$name $((SECONDS - start)) s, "
}
times=

bootstrap() {
  local log
  log=$(mktemp)
  if ! debootstrap --variant=minbase "$SUITE" "$root" "$MIRROR" >"$log" 2>&1; then
    tail -20 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}
if [[ ! -e $root/etc/debian_version ]]; then
  echo "== debootstrap --variant=minbase $SUITE from $MIRROR"
  timed debootstrap bootstrap
fi
rm -f "$root/etc/apt/sources.list"
cp -aL /etc/apt/. "$root/etc/apt/"
for path in /etc/ssl/certs /usr/share/ca-certificates /usr/local/share/ca-certificates /usr/share/keyrings; do
  if [[ -d $path ]]; then mkdir -p "$root$path" && cp -aL "$path/." "$root$path/"; fi
done
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"

bind /proc
bind /sys
bind /dev
bind "$SWIFT_HOME" read-only
for path in ${EXTRA_BINDS:-}; do bind "$path" read-only; done

environment=(HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$SWIFT_HOME/usr/bin")
for name in ${PASS_ENV:-http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY TIDEWAITER_SHARED}; do
  if [[ -n ${!name:-} ]]; then environment+=("$name=${!name}"); fi
done
inside() { chroot "$root" env -i "${environment[@]}" "$@"; }

echo "== git and make, to have a clone and to run it"
install_first() {
  inside sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends git make ca-certificates' >"$root/tmp/apt.log" 2>&1 ||
    { tail -20 "$root/tmp/apt.log" >&2; return 1; }
}
timed "git and make" install_first
rm -rf "$root/tmp/clone.git" "$root/root/tidewaiter"
git clone -q --bare "$top" "$root/tmp/clone.git"
git -C "$root/tmp/clone.git" update-ref refs/heads/fresh "$(git -C "$top" rev-parse HEAD)"
inside git -c safe.directory='*' clone -q --branch fresh /tmp/clone.git /root/tidewaiter

for target in "$@"; do
  echo "== make $target"
  timed "make $target" inside make -C /root/tidewaiter "$target"
done
echo "fresh machine: ${times%, }"
