# Holds memory in the guest until no more than $2 KiB are available. Pages of ramfs are neither swapped out nor dropped
# (fs/ramfs/inode.c:ramfs_get_inode marks them unevictable), so what has to give way is everything else. Memory is read
# without starting a process: under memory pressure a new process may be what hangs.
# $1: a directory to mount on; $2: KiB to leave available; $3: `fixed` to stay as it is then, `follow` to go on adjusting.
dir=$1 keep=$2 pieces=0
mkdir -p "$dir" && mount -t ramfs farm-hold "$dir" && cd "$dir" || exit 1
mkfifo .never && exec {never}<>.never || exit 1

available() {
  local key value
  while read -r key value _; do
    [ "$key" = MemAvailable: ] && left=$value && return
  done </proc/meminfo
}

# One step towards the mark; false when it is reached. Only half of a large surplus is taken at once: the kernel's
# estimate lags behind, and taking too much would bring the OOM killer.
adjust() {
  local surplus piece
  available
  surplus=$((left - keep))
  if [ "$surplus" -gt 1024 ]; then
    piece=$((surplus > 8192 ? surplus / 2 : surplus))
    dd if=/dev/zero of="$pieces" bs=64K count=$((piece / 64)) status=none || exit 1
    pieces=$((pieces + 1))
  elif [ "$surplus" -lt -4096 ] && [ "$pieces" -gt 0 ]; then
    pieces=$((pieces - 1))
    rm "$pieces"
  else
    return 1
  fi
}

while adjust; do :; done
echo "farm-held $left"
while :; do
  read -r -t 0.5 -u "$never"
  [ "$3" = fixed ] || adjust
done
