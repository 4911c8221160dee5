#!/bin/sh
# Installs, upgrades, removes and purges a package in an unpacked system of another
# processor:
#
#     install.sh ROOT.tar PACKAGE QEMU MAGIC
#
# in namespaces of its own. MAGIC is how that processor's programs begin.
set -eu
root=$1 deb=$2 qemu=$3 magic=$4
ok() { echo "@ok $*"; }
is() { if [ "$2" = "$3" ]; then ok "$1: $2"; else echo "@bad $1: $2, want $3"; fi; }

mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || { echo "@cannot mount binfmt_misc"; exit 0; }
printf '%s' ":box:M::$magic"':\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$qemu"':OCF' \
	>/proc/sys/fs/binfmt_misc/register || { echo "@cannot register $qemu"; exit 0; }
mount -t tmpfs none /mnt
tar -x -C /mnt -f "$root"
cp "$deb" /mnt/box.deb
mount --rbind /dev /mnt/dev
mount --rbind /proc /mnt/proc
guest() { chroot /mnt /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }

guest dpkg -i /box.deb
config=/mnt/etc/sprechprobe/sprechprobe.toml
arch=$(guest dpkg --print-architecture)
case $arch in
armhf)
	is "version" "$(guest sprechprobe version)" "sprechprobe 1.2.3 linux/arm"
	# One package for all Raspberry Pis: Debian's own programs take an ARMv7, ours
	# what the first Pi and the Zero have.
	is "on an ARM1176" "$(guest env QEMU_CPU=arm1176 sprechprobe version)" "sprechprobe 1.2.3 linux/arm"
	;;
*) is "version" "$(guest sprechprobe version)" "sprechprobe 1.2.3 linux/$arch" ;;
esac
is "configuration" "$(guest sprechprobe config check)" "$(guest sprechprobe config check | grep '^good: box ')"
is "its mode" "$(stat -c '%u %a' $config)" "0 644"
is "user" "$(guest getent passwd sprechprobe | cut -d : -f 6,7)" "/var/lib/sprechprobe:/usr/sbin/nologin"
is "groups" "$(guest id -Gn sprechprobe | tr ' ' '\n' | sort | tr '\n' ' ')" "dialout gpio input sprechprobe "
wants=/mnt/etc/systemd/system
is "service enabled" "$(readlink $wants/multi-user.target.wants/sprechprobe.service)" "/lib/systemd/system/sprechprobe.service"
is "set-up enabled" "$(readlink $wants/sysinit.target.wants/sprechprobe-provision.service)" "/lib/systemd/system/sprechprobe-provision.service"
is "nor what the lamps say of an update" "$(find $wants -name 'sprechprobe-updating.service')" ""
is "socket not enabled" "$(find $wants -name '*.socket')" ""
is "unit" "$(guest systemd-analyze verify --man=no /lib/systemd/system/sprechprobe.service /lib/systemd/system/sprechprobe-provision.service /lib/systemd/system/sprechprobe-updating.service 2>&1 | grep sprechprobe || true)" ""

echo "# mine" >>$config
guest systemctl disable sprechprobe-provision.service >/dev/null 2>&1 || true
guest dpkg -i /box.deb
is "configuration after the upgrade" "$(tail -n 1 $config)" "# mine"
is "what the administrator disabled" "$(find $wants -name 'sprechprobe-provision.service')" ""

guest dpkg -r sprechprobe
is "configuration after the removal" "$(tail -n 1 $config)" "# mine"
is "program after the removal" "$(find /mnt/usr/bin -name 'sprechprobe*')" ""
mkdir -p /mnt/var/lib/sprechprobe
guest dpkg -i /box.deb
is "configuration when it is back" "$(tail -n 1 $config)" "# mine"
guest dpkg -P sprechprobe
is "after the purge" "$(find /mnt/etc /mnt/var /mnt/usr /mnt/run -name '*sprechprobe*')" ""
