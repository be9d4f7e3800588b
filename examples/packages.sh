# packages.sh: the one list of Debian packages, and the one way they are installed. Sourced by examples/quickstart.sh and tests/run.sh.
#
#   . examples/packages.sh
#   install_packages build peers          # groups below; nothing is asked of the network when all are there
#
# Packages that bring a daemon (Orthanc) would start it and have it start at boot. While we install, policy-rc.d says no
# to starting; afterwards what became enabled by it is disabled again. A service that was there before stays as it was.

packages_of() {
    case "$1" in
    # what CMake looks for
    build) echo cmake ninja-build gcc g++ pkg-config lua5.4 liblua5.4-dev libsqlite3-dev libpq-dev libssl-dev libcjson-dev libpcre2-dev \
        libevent-dev libcmocka-dev zlib1g-dev libdcmtk-dev dcmtk uthash-dev ;;
    # the legacy PACS, the tools that feed it, and one that sums up what happened
    peers) echo orthanc dcmtk sqlite3 ;;
    # postgresql: its binaries; the tests run them in a private directory
    test) echo python3 strace faketime mandoc libasan8 libubsan1 postgresql ;;
    # tests/run.sh --all: fuzz targets, a bare system, fresh clocks
    all) echo clang llvm mmdebstrap lintian ;;
    *) echo "packages.sh: there is no group '$1'" >&2; return 1 ;;
    esac
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Links by which services start at boot, one a line.
enabled_services() {
    find /etc/systemd/system -path '*.wants/*' -o -path '*.requires/*' 2>/dev/null | sort
    find /etc/rc?.d -name 'S*' 2>/dev/null | sort
}

# A shell of its own, so that its trap takes policy-rc.d away again whatever ends it.
install_packages() (
    missing=()
    for group in "$@"; do
        for package in $(packages_of "$group"); do
            dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
        done
    done
    [ ${#missing[@]} -gt 0 ] || exit 0
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        echo "packages are missing and installing them needs root: run this as root, or install sudo, or first run" >&2
        echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    echo "installing ${#missing[@]} packages: ${missing[*]}"

    policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.conf
    before=$(enabled_services)
    log=$(mktemp)
    trap 'rm -f $log; [ ! -e $clusters.before ] || as_root mv $clusters.before $clusters; as_root rm -f $policy; [ ! -e $policy.before ] || as_root mv $policy.before $policy' EXIT
    trap 'exit 130' INT TERM
    [ ! -e $policy ] || as_root mv $policy $policy.before
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy

    # PostgreSQL's package would make a cluster and run it: not while we install.
    if [[ " ${missing[*]} " == *" postgresql "* ]]; then
        as_root mkdir -p "$(dirname $clusters)"
        [ ! -e $clusters ] || as_root cp -p $clusters $clusters.before
        echo 'create_main_cluster = false' | as_root tee -a $clusters >/dev/null
    fi

    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}" >"$log" 2>&1
    status=$?
    for link in $(enabled_services | grep -vxF "$before"); do
        case "$link" in
        /etc/rc*) as_root update-rc.d "$(basename "$link" | sed 's/^S[0-9]*//')" disable >/dev/null 2>&1 || as_root rm -f "$link" ;;
        *) as_root rm -f "$link" ;;
        esac
    done
    [ $status = 0 ] || { tail -n 30 "$log"; echo "apt-get could not install them; its last messages stand above"; } >&2
    exit $status
)
