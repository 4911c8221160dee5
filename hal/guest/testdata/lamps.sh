#!/bin/sh
# What the lamps of the box, its button and its ports go through in Debian, as root,
# under systemd, with the words of packaging/debian. That the service notifies, is
# upgraded and so on without lamps is told there.
# shellcheck shell=dash disable=SC2317,SC2154 # functions and names that are handed on
# shellcheck source=words.sh
. /words
leds=/sys/class/leds
long=180 # seconds, far more than anything takes, also where the emulated processor gets little of the real one

level() { grep -qE "($1).*out $2" /sys/kernel/debug/gpio; }
# Blue lights when its line is low.
red() { level RED hi; }
white() { level RED hi && level GREEN hi && level BLUE lo; }
# dark SECONDS: no lamp is lit all the time.
dark() {
	local end=$(($(now) + $1))
	while [ "$(now)" -lt $end ]; do
		! level 'RED|GREEN' hi && ! level BLUE lo || return 1
		sleep 0.1
	done
}
trigger() { sed 's/.*\[\(.*\)\].*/\1/' "$leds/$1/trigger"; }
ended() { [ "$(prop SubState)" = auto-restart ]; }
# freeze PID: stops it while a lamp is lit.
freeze() {
	until kill -STOP "$1" && red; do
		kill -CONT "$1"
		sleep 0.1
	done
}
# settings TEXT: the box gets these, and starts with them.
settings() {
	printf 'profiles = ["webprax"]\n%b' "$1" >$config
	systemctl restart $unit
}

# What is there is told to udev by no coldplug, which takes longest of all: only
# what counts here.
udevadm trigger --action=add --sysname-match='ttyS*'
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
for m in leds-gpio ledtrig-timer ledtrig-default-on evdev gpio_keys; do insmod /modules/$m.ko; done
udevadm settle
# Time to look between the end of a box and the next.
mkdir -p /run/systemd/system/$unit.d
printf '[Service]\nRestartSec=20\n' >/run/systemd/system/$unit.d/slow.conf

dpkg -i /1.0.0.deb
is "the button is of udev's own group" "$(stat -c '%G %a' /dev/input/event0)" "input 660"
is "its user" "$(stat -c %U /proc/"$(pid)")" sprechprobe
sees "the red lamp flashes, there is no address" $long red
is "the LED's group" "$(stat -c '%G %a' $leds/red:status/brightness)" "sprechprobe 664"

# Killed while a lamp is lit, which this kernel keeps lit: the hook puts it out,
# and the box starts again.
first=$(pid)
within $long red
kill -9 "$first"
sees "killed" $long ended
sees "after kill -9 the hook has put the lamps out" 1 dark 2
sees "and it runs again" $long other "$first"

# Stopped while lit: the watchdog ends it, the hook puts the lamps out.
second=$(pid)
freeze "$second"
sees "the watchdog ends a box that hangs" $long ended
is "why" "$(prop Result)" watchdog
sees "and the hook has put the lamps out" 1 dark 2
sees "and it runs again" $long other "$second"

# With the kernel's trigger, the files of which are made for root each time: the
# rule of udev gives them to the box, and the lamps go out without any watchdog.
insmod /modules/ledtrig-transient.ko
printf '[Service]\nWatchdogSec=0\n' >/run/systemd/system/$unit.d/slow.conf
systemctl daemon-reload
triggers() { echo "$(trigger red:status) $(trigger green:status) $(trigger blue:status)"; }
for _ in 1 2 3 4; do # on a machine that is out of breath udev comes too late for the box
	systemctl restart $unit
	within $long red
	[ "$(triggers)" != "transient transient transient" ] || break
done
is "the LEDs' triggers" "$(triggers)" "transient transient transient"
is "its files" "$(stat -c '%G %a' $leds/red:status/duration)" "sprechprobe 664"
third=$(pid)
freeze "$third"
sees "the kernel puts out the lamps of a box that hangs" $long dark 1
is "which nobody has ended" "$(prop SubState) $(pid)" "running $third"
kill -CONT "$third"
sees "and what goes on lights them again" $long red

# The button. It springs back after a tenth of a second, which a slow guest may sleep
# through.
press() {
	echo @press
	sleep 3
	logged 'asks=check'
}
sees "the button asks for a round" $long press

# While the package is changed the lamps say so, until the new box takes them.
dpkg -i /1.0.1.deb &
sees "the lamps are white, it is being changed" $long white
wait
sees "the new box runs" $long other "$third"
is "and has the lamps to itself" "$(systemctl show -P ActiveState sprechprobe-updating)" inactive
sees "of which it says as before" $long red

# GPIO lines and serial ports instead.
settings '[lights]\ndriver = "gpio"\n[[lights.lamp]]\nrole = "all"\ngpio = "LAMP4"\n[panel]\nport = "/dev/ttyS0"\n'
sees "a GPIO line flashes" $long level LAMP4 hi
is "the LEDs are the firmware's again" "$(trigger green:status)" default-on
sees "a serial port is written to" $long grep -qE '^0:.* tx:[1-9][0-9]' /proc/tty/driver/serial # what, the host reads

settings ''
within $long red
dpkg -r sprechprobe
is "after the removal the LEDs are the firmware's" "$(trigger green:status)" default-on
dpkg -P sprechprobe
is "after the purge" "$(find /etc /var /run /usr -name '*sprechprobe*' ! -path '*.service.d*' | grep -v dpkg | tr '\n' ' ')" ""
echo "@end"
systemctl poweroff --force
