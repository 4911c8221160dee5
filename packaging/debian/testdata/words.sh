# The words in which a story of the box in a Debian of its own is told, for service.sh
# here and lamps.sh of hal/guest. Every line that counts begins with @ok or @bad; the
# tests pass them on.
# shellcheck shell=dash disable=SC2034
unit=sprechprobe.service
config=/etc/sprechprobe/sprechprobe.toml

ok() { echo "@ok $*" "($(now) s)"; }
bad() {
	echo "@bad $*" "($(now) s)"
	systemctl status --no-pager -n 15 $unit 2>&1 | sed 's/^/  /'
}

# is WHAT GOT WANT
is() { if [ "$2" = "$3" ]; then ok "$1: $2"; else bad "$1: $2, want $3"; fi; }

# has WHAT TEXT PATTERN
has() { if echo "$2" | grep -qE "$3"; then ok "$1: $(echo "$2" | grep -E "$3" | head -n 1)"; else bad "$1: $2, want $3"; fi; }

# sees WHAT SECONDS COMMAND...: waits until it succeeds.
sees() {
	local what=$1 limit=$2
	shift 2
	if within "$limit" "$@"; then ok "$what"; else bad "not seen in $limit s: $what"; fi
}

# seconds since the system started
now() { cut -d . -f 1 /proc/uptime; }

# within SECONDS COMMAND...: waits until it succeeds.
within() {
	local end=$(($(now) + $1))
	shift
	until "$@"; do
		[ "$(now)" -lt $end ] || return 1
		sleep 0.2
	done
}

prop() { systemctl show -P "$1" $unit; }
pid() { prop MainPID; }
# other PID: another process is the box now.
other() { [ "$(pid)" != "$1" ] && [ "$(pid)" != 0 ] && [ "$(prop ActiveState)" = active ]; }
# says PATTERN: so it stands in the status of the service.
says() { prop StatusText | grep -q "$1"; }
# logged PATTERN [FIELD=VALUE]: so it stands in the journal of the service.
logged() { journalctl --no-pager -o cat -u $unit ${2:+"$2"} | grep -qE "$1"; }
# dpkg does something that must go well.
dpkg() { /usr/bin/dpkg "$@" >/tmp/dpkg 2>&1 || bad "dpkg $*: $(cat /tmp/dpkg)"; }
