#!/bin/sh
# Boots an image's root, read-only, twice, and takes the power away in between:
#
#     image.sh ROOT DATA BOOT
#
# DATA is its partition /data, BOOT the one that every PC shows. What the guest says
# comes out.
set -eu
root=$1 data=$2 boot=$3
start() { systemd-nspawn -q --register=no --keep-unit --private-network --read-only --machine=box --console=pipe --bind="$data":/data --bind-ro="$boot":/boot/firmware -D "$root" -b >"$data/console" 2>&1 & }

start
leader=$!
n=0
until [ -e "$data/first" ] || [ $n = 600 ]; do
	sleep 0.2
	n=$((n + 1))
done
kill -KILL "$leader" # and with it all that runs in there: nothing is told, nothing is closed
wait "$leader" 2>/dev/null || true
printf 'profiles = ["webprax"]\n[box]\nname = 7\n' >"$boot/sprechprobe.toml"
start
wait $! || true
cat "$data/said" "$data/console"
