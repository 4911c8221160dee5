#!/bin/sh
# What the box goes through as a service, as root, in a Debian of its own, with a
# cable to a router that service_test.go plays. What its lamps, button and ports do
# is told by hal/guest.
# shellcheck shell=dash disable=SC2154 # names that are handed on
# shellcheck source=words.sh
. /words

report=/run/sprechprobe/report.json
caps() { awk '/^CapEff/ { print $2 }' /proc/"$(pid)"/status; }

# Installed, it runs: as nobody in particular, and says that it is ready.
dpkg -i /1.0.0.deb
is "after the installation" "$(prop ActiveState)" active
is "told by sd_notify" "$(prop Type)" notify
first=$(pid)
is "its user" "$(stat -c %U /proc/"$first")" sprechprobe
is "its capabilities" "$(caps)" 0000000000000000
is "new privileges" "$(awk '/^NoNewPrivs/ { print $2 }' /proc/"$first"/status)" 1
is "seccomp" "$(awk '/^Seccomp:/ { print $2 }' /proc/"$first"/status)" 2
is "its state" "$(stat -c '%U %a' /var/lib/sprechprobe)" "sprechprobe 700"
is "listening ports" "$(awk '$4 == "0A"' /proc/net/tcp /proc/net/tcp6 | wc -l)" 0
is "a credential of the system" "$(stat -c '%a' /run/credentials/$unit/relay.password) $(cat /run/credentials/$unit/relay.password)" "400 geheim"
within 60 says offline
has "systemctl status" "$(systemctl status --no-pager $unit)" 'Status:.*(offline|Netz)'
sees "a field of the journal" 10 logged verdict SPRECHPROBE_VERDICT=offline
sees "a finding has its field" 10 logged finding SPRECHPROBE_CODE=link-down

# Killed, it starts again; stopped, the watchdog ends it.
kill -9 "$first"
sees "after kill -9 it runs again" 60 other "$first"
second=$(pid)
kill -STOP "$second"
sees "a box that hangs is ended, and runs again" 90 other "$second"
sees "why" 10 logged "Watchdog timeout|result 'watchdog'"

# A reload with a wrong file changes nothing.
third=$(pid)
echo 'no such entry = 1' >>$config
systemctl reload $unit
sees "a wrong configuration is refused" 20 logged "configuration refused"
is "and it goes on" "$(pid)" "$third"
sed -i '$d' $config

# The new version takes over, the configuration stays. Meanwhile the lamps, here
# drawn in the journal, say that the box is being changed.
printf '[lights]\ndriver = "terminal"\n# mine\n' >>$config
dpkg -i /1.0.1.deb
sees "the upgrade starts the new program" 60 other "$third"
is "its version" "$(sprechprobe version | cut -d ' ' -f 2)" 1.0.1
has "of which day" "$(sprechprobe status)" '^sprechprobe 1\.0\.1 20[0-9]{2}-[0-9]{2}-[0-9]{2}$'
sees "which the report tells, too" 60 grep -qE '"version":"1\.0\.1","version_at":"20[^"]*Z"' $report
is "the configuration" "$(tail -n 1 $config)" "# mine"
updating() { journalctl --no-pager -o cat -u sprechprobe-updating | grep -c 'updating'; }
has "the lamps have said so" "$(updating)" '^[1-9]'
is "and do not any more" "$(systemctl show -P ActiveState sprechprobe-updating)" inactive

# An upgrade that breaks off leaves the box as it was, and so its lamps.
fourth=$(pid)
dpkg-deb -R /1.0.1.deb /tmp/broken
sed -i 's/^Version: .*/Version: 1.0.2/' /tmp/broken/DEBIAN/control
printf '#!/bin/sh\nexit 1\n' >/tmp/broken/DEBIAN/preinst
chmod 755 /tmp/broken/DEBIAN/preinst
dpkg-deb -Znone -b /tmp/broken /tmp/broken.deb >/dev/null
is "an upgrade breaks off" "$(/usr/bin/dpkg -i /tmp/broken.deb >/tmp/dpkg 2>&1 || echo so)" so
sees "and the box runs again" 60 other "$fourth"
is "in its old version" "$(sprechprobe version | cut -d ' ' -f 2)" 1.0.1
is "with the lamps to itself" "$(systemctl show -P ActiveState sprechprobe-updating)" inactive

# A box that its owner has stopped stays so.
systemctl disable --now $unit 2>/dev/null
dpkg -i /1.0.1.deb
is "a stopped box after an upgrade" "$(prop ActiveState)" inactive
systemctl enable --now $unit 2>/dev/null

# From the boot partition: nothing, a wrong file, a good one with an address.
mkdir -p /boot/firmware
is "without a file" "$(systemctl restart sprechprobe-provision >/dev/null 2>&1; systemctl show -P Result sprechprobe-provision)" success
printf 'profiles = ["webprax"]\n[network]\naddress = "192.168.178.300/24"\n' >/boot/firmware/sprechprobe.toml
systemctl restart sprechprobe-provision 2>/dev/null
is "a wrong file" "$(systemctl show -P Result sprechprobe-provision)" exit-code
has "what is wrong with it" "$(journalctl --no-pager -o cat -u sprechprobe-provision)" 'sprechprobe.toml:3: network.address'
is "it changes nothing" "$(tail -n 1 $config)" "# mine"
has "its place for the light" "$(cat /run/sprechprobe-provision/refused)" 'network.address'
systemctl restart $unit
sees "what the box says of it" 60 says sprechprobe.toml
printf 'profiles = ["far"]\n[box]\nname = "Praxis"\n[network]\naddress = "192.0.2.50/24"\ngateway = "192.0.2.1"\nresolvers = ["192.0.2.1"]\n' >/boot/firmware/sprechprobe.toml
cp /far.toml /etc/sprechprobe/profiles.d/
systemctl restart sprechprobe-provision
is "a good file" "$(systemctl show -P Result sprechprobe-provision)" success
has "is taken over" "$(cat $config)" 'Praxis'
has "with its address" "$(cat /run/systemd/network/10-sprechprobe.network)" 'Address=192.0.2.50/24'
is "nothing refused" "$(ls /run/sprechprobe-provision)" ""

# On the network, out of its sandbox and without a right of root: who says no on the
# way, and sockets for echoes.
systemctl restart systemd-networkd
touch /cable
within 30 grep -q 010200C0 /proc/net/route
systemctl restart $unit
sees "ICMP errors tell who says no" 60 grep -qE '"icmp_from":"192.0.2' $report
# gateway PATTERN: so the newest report has it of the echoes by the router.
gateway() { grep -oE '"probe":"gateway",("target":\{[^}]*\},)?"outcome":[^}]*\}' $report | grep -qE "$1"; }
sees "the router answers the box's echoes" 60 gateway '"outcome":"answered".*"received_count":20'
is "which it asks without a right" "$(caps)" 0000000000000000
echo 1 0 >/proc/sys/net/ipv4/ping_group_range
systemctl kill -s USR1 $unit
sees "only because sysctl.d opens echoes to everybody" 60 gateway 'echo requests are not permitted'
/lib/systemd/systemd-sysctl /usr/lib/sysctl.d/60-sprechprobe.conf
systemctl kill -s USR1 $unit
sees "as it does with each start of the system" 60 gateway '"outcome":"answered"'
is "nothing is known of another device with its address" "$(grep -o '"addr_conflict":[a-z]*' $report)" ""

# Its page, at a port that systemd holds for it.
page() { perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new("127.0.0.1:80") or exit; print $s "GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"; print <$s>'; }
printf '[page]\nshow = "always"\n' >>$config
systemctl stop $unit
systemctl enable --now sprechprobe.socket 2>/dev/null
systemctl start $unit
has "the page at port 80" "$(page)" '^HTTP/1.[01] 200'
systemctl disable --now sprechprobe.socket 2>/dev/null
sed -i '/^\[page\]/,$d' $config

# With the drop-in it asks by ARP, too.
install -D -m 644 /usr/share/doc/sprechprobe/examples/arp.conf /etc/systemd/system/$unit.d/arp.conf
systemctl daemon-reload
systemctl restart $unit
is "its capability with arp.conf" "$(caps)" 0000000000002000
sees "nobody else has its address" 60 grep -q '"addr_conflict":false' $report
touch /conflict # the router takes it
within 20 [ ! -e /conflict ]
systemctl restart $unit
sees "another device with its address is found" 60 logged finding SPRECHPROBE_CODE=addr-conflict

dpkg -r sprechprobe
is "after the removal" "$(systemctl show -P ActiveState $unit)" inactive
[ -e $config ] && ok "the configuration is still there" || bad "removal takes the configuration"
rm -r /etc/systemd/system/$unit.d
dpkg -P sprechprobe
is "after the purge" "$(find /etc /var/lib /run /usr /lib -name '*sprechprobe*' 2>/dev/null | grep -v dpkg | tr '\n' ' ')" ""

# The vendor's side: it waits to be told what to serve.
unit=sprechprobe-fleet.service
dpkg -i /fleet.deb
is "the fleet after its installation" "$(prop ActiveState) $(prop UnitFileState)" "inactive disabled"
systemctl enable --now $unit 2>/dev/null
sees "it serves this machine" 60 sh -c "grep -qi ' 0100007F:1F90 .* 0A ' /proc/net/tcp"
has "as nobody in particular" "$(stat -c %u /proc/"$(pid)")" '^6[0-9]{4}$'
is "with the right to a low port and no other" "$(caps)" 0000000000000400
fleet=$(pid)
echo 'FLEET_FLAGS="--lang en"' >/etc/default/sprechprobe-fleet
dpkg -i --force-confold /fleet.deb
sees "an upgrade starts it again" 60 other "$fleet"
is "with its settings" "$(cat /etc/default/sprechprobe-fleet)" 'FLEET_FLAGS="--lang en"'
dpkg -r sprechprobe-fleet
is "the fleet after the removal" "$(prop ActiveState)" inactive
dpkg -P sprechprobe-fleet
is "after the purge only its keys are left" "$(find /etc /var/lib /run /usr /lib -name '*sprechprobe-fleet*' 2>/dev/null | grep -v dpkg | sort | tr '\n' ' ')" "/var/lib/private/sprechprobe-fleet /var/lib/sprechprobe-fleet "
echo "@end"
systemctl poweroff --force
