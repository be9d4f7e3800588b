# bare_root.sh: a bare Debian 12 in WORK/root, by mmdebstrap. Sourced by tests/bare.sh and tests/integration/test_package.py. Needs root.
#
#   . tests/bare_root.sh; bare_root WORK git,ca-certificates
#
# Packages come from where this host gets them: its apt sources, options, keys and proxy are copied.
bare_root() {
    local work=$1 include=$2 root=$1/root file found=() options=()
    for file in /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list; do
        [ -s "$file" ] && found+=("$file")
    done
    mkdir "$work/apt"
    cp -L /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf.d/99* "$work/apt/" 2>/dev/null
    for file in "$work"/apt/*; do [ -f "$file" ] && options+=(--aptopt="$file"); done
    mmdebstrap --quiet --variant=apt --include="$include" "${options[@]}" bookworm "$root" "${found[@]}" >&2 || return 1
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    [ ! -d /etc/apt/auth.conf.d ] || cp -r /etc/apt/auth.conf.d/. "$root/etc/apt/auth.conf.d/"
}
