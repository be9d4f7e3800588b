#!/usr/bin/env bash
# bare.sh [COMMAND...]: both commands of README.md on a bare Debian 12 with nothing but git, made by mmdebstrap. Prints TAP.
#
#   tests/bare.sh                       examples/quickstart.sh, then tests/run.sh
#   tests/bare.sh examples/quickstart.sh
#
# Needs root (or unshare with a user namespace of its own). The chroot shares the host's network, nothing else.
set -uo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP a chroot needs root"; exit 0; }

commands=("$@")
[ $# -gt 0 ] || commands=(examples/quickstart.sh tests/run.sh)
. examples/packages.sh
install_packages all >&2

work=$(mktemp -d "${TMPDIR:-/var/tmp}/drover-bare.XXXXXX")
bare=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT
. tests/bare_root.sh
bare_root "$work" git,ca-certificates || { echo "not ok 1 - mmdebstrap makes a bare system"; exit 1; }
before=$(chroot "$bare" sh -c 'find /etc/systemd/system /etc/rc?.d 2>/dev/null | sort')

# As git would give it to a newcomer: what is committed. The real data lie beside it, as in the house.
mkdir -p "$bare/home/drover" "$bare/home/shared/data"
git archive HEAD | tar -x -C "$bare/home/drover"
data=${DROVER_DATA:-../shared/data}

number=0 status=0
for command in "${commands[@]}"; do
    number=$((number + 1)) start=$SECONDS
    # A mount and a pid namespace of its own: what is started inside ends with it.
    unshare --mount --pid --fork --kill-child sh -c '
        mount --make-rprivate / && mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" &&
        mount -t tmpfs tmpfs "$1/tmp" && { [ ! -d "$2" ] || mount --bind -o ro "$2" "$1/home/shared/data"; } &&
        exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DROVER_REQUIRE_DATA="$4" sh -c "cd /home/drover && $3"' \
        sh "$bare" "$data" "$command" "$([ -d "$data" ] && echo 1)" >"$work/log" 2>&1
    code=$?
    sed 's/^/# /' "$work/log"
    if [ $code = 0 ]; then echo "ok $number - $command on a bare system, in $((SECONDS - start)) s"
    else echo "not ok $number - $command on a bare system, status $code"; status=1; fi
done
number=$((number + 1))
after=$(chroot "$bare" sh -c 'find /etc/systemd/system /etc/rc?.d 2>/dev/null | sort' | grep -E '/S[0-9]|wants/')
new=$(echo "$after" | grep -vxF "$before")
if [ -z "$new" ] && [ ! -e "$bare/usr/sbin/policy-rc.d" ]; then echo "ok $number - no service is enabled that was not there, and policy-rc.d is gone"
else echo "not ok $number - no service is enabled that was not there: $new"; status=1; fi
echo "1..$number"
exit $status
