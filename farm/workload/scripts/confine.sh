# Runs a command in a cgroup that is pressed down to so much memory; the pages of a tmpfs are charged to who wrote them.
# memory.high, not memory.max: who exceeds it waits for the swap device (mm/memcontrol.c, mem_cgroup_handle_over_high);
# at memory.max a device that is slow for a moment brings the OOM killer.
# $1: bytes; then the command.
root=/sys/fs/cgroup
echo +memory >"$root/cgroup.subtree_control" && mkdir -p "$root/farm" && echo "$1" >"$root/farm/memory.high" &&
  echo $$ >"$root/farm/cgroup.procs" || exit 1
shift
exec "$@"
