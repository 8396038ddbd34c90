"""Linux behind the ports: block devices, pass-through commands, sysfs, mounts, clock."""
