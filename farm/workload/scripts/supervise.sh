# Runs a command in the guest and tells twice a second how much I/O has finished, without starting a process for it:
# under memory pressure a new process may be what hangs.
# $1: directory for its output; $2: what to count, block devices or `vm` for paging; then the command.
dir=$1 sources=
for source in $2; do
  # Nodes below /dev/mapper are no links here, so the number of the device leads to its counters.
  [ "$source" = vm ] || source=/sys/dev/block/$((16#$(stat -Lc %t "$source"))):$((16#$(stat -Lc %T "$source")))/stat
  sources="$sources $source"
done
shift 2
mkdir -p "$dir" && cd "$dir" || exit 1
rm -f ended status && mkfifo ended && exec {ended}<>ended || exit 1

count() {
  local total=0 source line fields
  for source in $sources; do
    if [ "$source" = vm ]; then
      # pgfault also grows for who faults over and over and gets nowhere (mm/memory.c, mm_account_fault): a hang that is
      # missed. Without it a workload that fits into memory, which swaps nothing, would be called one on any kernel; the
      # count of stress-ng's own is told at its end only.
      # All at once: `read` goes back to the end of its line each time, which is elsewhere when a number before it has
      # grown by a digit.
      mapfile -t fields </proc/vmstat
      for line in "${fields[@]}"; do
        case $line in "pgfault "* | "pswpin "* | "pswpout "*) total=$((total + ${line#* })) ;; esac
      done
    else
      read -r -a fields <"$source" && total=$((total + fields[0] + fields[4] + fields[8]))
    fi
  done
  echo "farm-progress $total"
}

{
  "$@" >stdout 2>stderr </dev/null
  echo $? >status
  echo >&"$ended"
} &
child=$!
trap 'kill "$child" 2>/dev/null' EXIT
# The pipe only cuts the waiting short; a line that is lost in it (bash 5.2, read -t and SIGCHLD) costs half a second.
until [ -s status ]; do
  count
  read -r -t 0.5 -u "$ended"
done
wait "$child"
count
trap - EXIT
for name in stdout stderr; do
  printf 'farm-output %s %s\n' "$name" "$(tail -c 400000 "$name" | base64 -w0)"
done
read -r status <status
echo "farm-status $status"
rm -f stdout stderr status ended
