# Shared by the maintainer scripts; build-deb puts it into each of them.

# In the order of stopping: the agent decides nothing new while wiperd drains.
SERVICES="nullbay-agent.service nullbay-wiperd.service nullbay-server.service"
# Which of them ran before an upgrade. In /run: after a reboot nobody starts anything because of it.
WERE_RUNNING=/run/nullbay.were-running

has_systemd() {
  [ -d /run/systemd/system ]
}

say() {
  # Standard output belongs to debconf.
  echo "nullbay: $*" >&2
}

# Stops what runs and remembers it. Fails where a service cannot be stopped: a drive may be at work
# that cannot be interrupted, and the program must not be replaced under it.
stop_services() {
  has_systemd || return 0
  for service in $SERVICES; do
    systemctl --quiet is-active "$service" || continue
    echo "$service" >>"$WERE_RUNNING"
    [ "$service" != nullbay-wiperd.service ] ||
      say "asking drives at work to stop at their next block; their jobs resume afterwards"
    if ! systemctl stop "$service"; then
      say "$service could not be stopped; see 'systemctl status $service'"
      return 1
    fi
  done
}

# Starts again what stop_services stopped, in the opposite order. A failure is told, not fatal: the
# package is installed all the same.
start_services_again() {
  has_systemd && [ -f "$WERE_RUNNING" ] || return 0
  for service in nullbay-wiperd.service nullbay-agent.service nullbay-server.service; do
    grep -qxF "$service" "$WERE_RUNNING" || continue
    systemctl start "$service" || say "$service did not start again; see 'systemctl status $service'"
  done
  rm -f "$WERE_RUNNING"
}
