#!/bin/sh
# What an image must show, as root, in its first start and in the one after a loss of
# power.
# shellcheck shell=dash disable=SC2154 # names that are handed on
# shellcheck source=words.sh
. /words
exec >>/data/said 2>&1
mounted() { awk -v at="$1" '$2 == at { t = $3 " " $4 } END { print t }' /proc/mounts; }
key() { sprechprobe identity 2>/dev/null | grep -v '^ *$' | head -n 3; }

has "the root is read-only" "$(mounted /)" '(^| |,)ro(,|$)'
is "nothing can be written there" "$(touch /usr/x 2>/dev/null || echo no)" no
has "logs are in memory" "$(mounted /var/log)" '^tmpfs'
is "so is the journal" "$(find /var/log/journal -name '*.journal' 2>/dev/null | wc -l)" 0
sees "the box runs" 90 [ "$(prop ActiveState)" = active ]
is "its user" "$(stat -c %U /proc/"$(pid)")" sprechprobe
is "nothing has failed" "$(systemctl list-units --failed --plain --no-legend | grep -E 'sprechprobe|mount' | grep -v provision | tr '\n' ' ')" ""
id=$(cat /etc/machine-id)
is "the box goes by the id that is kept" "$id" "$(cat /data/machine-id)"
sees "a key of its own" 60 sh -c "sprechprobe identity >/dev/null 2>&1"
if [ ! -e /data/first.id ]; then
	has "the installer's file is taken over" "$(cat $config)" 'Praxis Nord'
	has "by the box as well" "$(sprechprobe config show)" 'Praxis Nord'
	echo "$id" >/data/first.id
	key >/data/first.key
	sync
	touch /data/first
	sleep 600 # until the power goes
fi
is "after the power was gone it is the same machine" "$id" "$(cat /data/first.id)"
is "with the same key" "$(key | md5sum)" "$(md5sum </data/first.key)"
has "and the same settings" "$(cat $config)" 'Praxis Nord'
is "a file that is wrong is refused" "$(systemctl show -P Result sprechprobe-provision)" exit-code
sees "the box shows it by five flashes, and says why" 60 says sprechprobe.toml
echo "@end"
systemctl poweroff --force
