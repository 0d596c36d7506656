#!/bin/sh
# The first process of a virtual machine of the tests: network, disk, srmd, and a shell on the
# second serial port for what a test wants done.  A full systemd takes four times as long to boot
# here; the units are tested in containers.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONPATH=/opt/srmd/lib
modprobe virtio_net
for word in $(cat /proc/cmdline); do
    case $word in lab.address=*) address=${word#*=} ;; esac
done
ip link set lo up
ip link set eth0 up
ip addr add "$address" dev eth0
mkdir -p /opt/srmd
mount /dev/vdb /opt/srmd
python3 -m srmd run --config /opt/srmd/node/node.toml </dev/null >>/opt/srmd/log.jsonl 2>&1 &
stty -F /dev/ttyS1 raw -echo
exec </dev/ttyS1 >/dev/ttyS1 2>&1
echo "ready"
while read -r line; do
    sh -c "$line" 2>&1
    echo "exit $?"
done
