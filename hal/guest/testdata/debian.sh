#!/bin/sh
# What the guest with Debian in it goes through, as root, under systemd. Every line
# that it says begins with @ok or @bad; debian_test.go passes them on.
unit=sprechprobe.service
leds=/sys/class/leds

ok() { echo "@ok $*"; }
bad() {
	echo "@bad $*"
	systemctl status --no-pager -n 15 $unit 2>&1 | sed 's/^/  /'
}

# is WHAT GOT WANT
is() { if [ "$2" = "$3" ]; then ok "$1: $2"; else bad "$1: $2, want $3"; fi; }

# has WHAT TEXT PATTERN
has() { if echo "$2" | grep -qE "$3"; then ok "$1: $(echo "$2" | grep -E "$3" | head -n 1)"; else bad "$1: $2, want $3"; fi; }

# within SECONDS COMMAND...: waits until it succeeds.
within() {
	end=$(($(cut -d . -f 1 /proc/uptime) + $1))
	shift
	until "$@"; do
		[ "$(cut -d . -f 1 /proc/uptime)" -lt $end ] || return 1
		sleep 0.2
	done
}

prop() { systemctl show -P "$1" $unit; }
pid() { prop MainPID; }
other() { [ "$(pid)" != "$1" ] && [ "$(pid)" != 0 ] && [ "$(prop ActiveState)" = active ]; }
red() { grep -q 'RED.*out hi' /sys/kernel/debug/gpio; }
# dark SECONDS: no lamp is lit all the time.
dark() {
	end=$(($(cut -d . -f 1 /proc/uptime) + $1))
	while [ "$(cut -d . -f 1 /proc/uptime)" -lt $end ]; do
		! grep -E 'RED|GREEN' /sys/kernel/debug/gpio | grep -q 'out hi' || return 1
		sleep 0.1
	done
}

mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
for m in leds-gpio ledtrig-timer ledtrig-default-on evdev; do insmod /modules/$m.ko; done
udevadm settle

# Installed, it runs: as nobody in particular, and says that it is ready.
dpkg -i /1.0.0.deb >/tmp/dpkg 2>&1 || bad "install: $(cat /tmp/dpkg)"
is "after the installation" "$(prop ActiveState)" active
is "told by sd_notify" "$(prop Type)" notify
first=$(pid)
is "its user" "$(stat -c %U /proc/"$first")" sprechprobe
is "its capabilities" "$(awk '/^CapEff/ { print $2 }' /proc/"$first"/status)" 0000000000000000
is "new privileges" "$(awk '/^NoNewPrivs/ { print $2 }' /proc/"$first"/status)" 1
is "seccomp" "$(awk '/^Seccomp:/ { print $2 }' /proc/"$first"/status)" 2
is "its state" "$(stat -c '%U %a' /var/lib/sprechprobe)" "sprechprobe 700"
is "listening ports" "$(awk '$4 == "0A"' /proc/net/tcp /proc/net/tcp6 | wc -l)" 0
within 60 red && ok "the red lamp flashes, there is no address" || bad "no lamp"
is "the LED's group" "$(stat -c '%G %a' $leds/red:status/brightness)" "sprechprobe 664"
within 60 sh -c "systemctl show -P StatusText $unit | grep -q offline"
has "systemctl status" "$(systemctl status --no-pager $unit)" 'Status:.*(offline|Netz)'
has "a field of the journal" "$(journalctl --no-pager -o cat SPRECHPROBE_VERDICT=offline)" 'verdict'
within 10 sh -c "journalctl --no-pager -o cat SPRECHPROBE_CODE=dhcp-none | grep -q finding" && ok "a finding has its field" || bad "no finding in the journal"

# Killed while a lamp is lit, which this kernel keeps lit: the hook puts it out,
# and the box starts again.
within 30 red
kill -9 "$first"
within 5 sh -c "! grep -q 'RED.*out hi' /sys/kernel/debug/gpio" && dark 2 && ok "after kill -9 the hook puts the lamps out" || bad "a lamp is lit after kill -9"
within 60 other "$first" && ok "and it runs again" || bad "it does not run again"
second=$(pid)

# Stopped while lit: the watchdog ends it, the hook puts the lamps out.
within 60 red
kill -STOP "$second"
within 60 sh -c "[ \$(systemctl show -P MainPID $unit) != $second ]" && ok "the watchdog ends a box that hangs" || bad "a box that hangs goes on"
within 15 dark 1 && ok "and its lamps are out" || bad "a hung box's lamp is lit"
within 60 other "$second" && ok "and it runs again" || bad "it does not run again"
has "why" "$(journalctl --no-pager -u $unit)" "Watchdog timeout|result 'watchdog'"

# With the kernel's trigger, the files of which are made for root each time: the
# rule of udev gives them to the box.
insmod /modules/ledtrig-transient.ko
systemctl restart $unit
within 30 red
has "the LED's trigger" "$(cat $leds/red:status/trigger)" '\[transient\]'
is "its files" "$(stat -c '%G %a' $leds/red:status/duration)" "sprechprobe 664"

# A reload with a wrong file changes nothing.
third=$(pid)
echo 'no such entry = 1' >>/etc/sprechprobe/sprechprobe.toml
systemctl reload $unit
within 20 sh -c "journalctl --no-pager -u $unit | grep -q 'configuration refused'" && ok "a wrong configuration is refused" || bad "wrong configuration"
is "and it goes on" "$(pid)" "$third"
sed -i '$d' /etc/sprechprobe/sprechprobe.toml

# The new version takes over, the configuration stays.
echo '# mine' >>/etc/sprechprobe/sprechprobe.toml
dpkg -i /1.0.1.deb >/tmp/dpkg 2>&1 || bad "upgrade: $(cat /tmp/dpkg)"
within 60 other "$third" && ok "the upgrade starts the new program" || bad "the upgrade does not restart"
is "its version" "$(sprechprobe version | cut -d ' ' -f 2)" 1.0.1
is "the configuration" "$(tail -n 1 /etc/sprechprobe/sprechprobe.toml)" "# mine"

# From the boot partition: nothing, a wrong file, a good one with an address.
mkdir -p /boot/firmware
/lib/systemd/systemd-networkd & # for what reads its files
kill $!
is "without a file" "$(systemctl restart sprechprobe-provision >/dev/null 2>&1; systemctl show -P Result sprechprobe-provision)" success
printf 'profiles = ["webprax"]\n[network]\naddress = "192.168.178.300/24"\n' >/boot/firmware/sprechprobe.toml
systemctl restart sprechprobe-provision 2>/dev/null
is "a wrong file" "$(systemctl show -P Result sprechprobe-provision)" exit-code
has "what is wrong with it" "$(journalctl --no-pager -o cat -u sprechprobe-provision)" 'sprechprobe.toml:3: network.address'
is "it changes nothing" "$(tail -n 1 /etc/sprechprobe/sprechprobe.toml)" "# mine"
has "its place for the light" "$(cat /run/sprechprobe-provision/refused)" 'network.address'
systemctl restart $unit
within 60 sh -c "systemctl show -P StatusText $unit | grep -q sprechprobe.toml" && ok "status: $(prop StatusText)" || bad "status: $(prop StatusText)"
printf 'profiles = ["webprax"]\n[box]\nname = "Praxis"\n[network]\naddress = "192.168.178.50/24"\ngateway = "192.168.178.1"\nresolvers = ["192.168.178.1"]\n' >/boot/firmware/sprechprobe.toml
systemctl restart sprechprobe-provision
is "a good file" "$(systemctl show -P Result sprechprobe-provision)" success
has "is taken over" "$(cat /etc/sprechprobe/sprechprobe.toml)" 'Praxis'
has "with its address" "$(cat /run/systemd/network/10-sprechprobe.network)" 'Address=192.168.178.50/24'
is "nothing refused" "$(ls /run/sprechprobe-provision)" ""

# Gone, the lamps are the firmware's again.
dpkg -r sprechprobe >/tmp/dpkg 2>&1 || bad "remove: $(cat /tmp/dpkg)"
is "after the removal" "$(systemctl show -P ActiveState $unit)" inactive
is "the firmware's trigger" "$(sed 's/.*\[\(.*\)\].*/\1/' $leds/green:status/trigger)" default-on
[ -e /etc/sprechprobe/sprechprobe.toml ] && ok "the configuration is still there" || bad "removal takes the configuration"
dpkg -P sprechprobe >/tmp/dpkg 2>&1 || bad "purge: $(cat /tmp/dpkg)"
is "after the purge" "$(find /etc /var/lib /run /usr /lib -name '*sprechprobe*' 2>/dev/null | grep -v dpkg | tr '\n' ' ')" ""
echo "@end"
systemctl poweroff --force
