# shellcheck shell=bash
# A Debian root in a folder, for scripts that try the package as on a machine of its own. Source it behind common.sh.

# The mirror this machine uses itself.
mirror() {
    local found
    found="$(grep -rhoE 'https?://[^ ]+' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | grep -E '/debian/?$' | head -n 1)"
    echo "${found:-http://deb.debian.org/debian}"
}

# make_debian FOLDER [PACKAGES]: a bare Debian 12, with further packages (separated by commas), that reaches the network as this machine does.
make_debian() {
    local root="$1" more="${2:-}"
    command -v debootstrap >/dev/null || die "debootstrap is missing; install the package debootstrap"
    mkdir -p "$root"
    # Services have users of their own, for whom this is "/".
    chmod 755 "$root"
    debootstrap --variant=minbase ${more:+--include="$more"} bookworm "$root" "$(mirror)" >"$root.log" 2>&1 || {
        tail -n 5 "$root.log" >&2
        die "debootstrap failed; $root.log has all it said"
    }
    rm -f "$root.log"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    if [[ -d /etc/apt/apt.conf.d ]]; then cp -n /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true; fi
}

# inside COMMAND...: in $ROOT.
inside() { chroot "$ROOT" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }

# The package that scripts/package made last.
newest_package() {
    find .build/package -name 'sluice_*.deb' -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -n 1 | cut -d' ' -f2-
}
