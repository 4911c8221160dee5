#!/bin/sh
# Boots a tree in a container, on a cable to a router that is this shell's own network:
#
#     container.sh ROOT
#
# When the guest makes the file /cable it is plugged in: the router answers for itself,
# STUN as well, and for nothing behind it. When it makes /conflict, the router takes the guest's
# address as well.
set -eu
root=$1
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
systemd-nspawn -q --register=no --keep-unit --network-veth --machine=box --set-credential=relay.password:geheim --console=pipe -D "$root" -b &
box=$!
while kill -0 $box 2>/dev/null; do
	if [ -e "$root/cable" ]; then
		ip addr add 192.0.2.1/24 dev ve-box
		ip link set ve-box up
		turnserver -n -S -L 192.0.2.1 --no-cli --no-tls --no-dtls --no-tcp --log-file "$root/stun.log" --simple-log --pidfile "$root/stun.pid" >/dev/null 2>&1 &
		stun=$!
		rm "$root/cable"
	fi
	if [ -e "$root/conflict" ]; then
		ip addr add 192.0.2.50/24 dev ve-box
		rm "$root/conflict"
	fi
	sleep 0.2
done
[ -z "${stun:-}" ] || kill "$stun"
wait $box
