# Makes allocations fail that one part of the kernel asks for (lib/fault-inject.c), or tells how many did and stops that.
# $1: directory in debugfs; $2: `start` or `stop`; $3: every how many-th fails; $4: functions, of which one has to be on the
# call trace; $5: functions, of which none may be on it; $6: Y to spare allocations that may sleep.
cd "/sys/kernel/debug/$1" || exit 1
most=1000000000
if [ "$2" = stop ]; then
  echo 0 >probability && echo "farm-injected $((most - $(cat times)))"
  exit
fi
# A filter takes one range of addresses: from the first of the functions to the end of the last. Functions of one
# source file lie together, and kallsyms is in the order of addresses.
range() {
  [ -n "$1" ] || { echo 0 0; return; }
  awk -v wanted="$1" '
    BEGIN { for (n = split(wanted, names, " "); n; n--) listed[names[n]] }
    last != "" && $1 != last { end = $1; last = "" }
    $2 ~ /^[tT]$/ && $3 in listed { if (start == "") start = $1; last = $1 }
    END { if (start == "") { print "the kernel has no function " wanted >"/dev/stderr"; exit 1 } print "0x" start, "0x" end }
  ' /proc/kallsyms
}
required=$(range "$4") && rejected=$(range "$5") || exit 1
echo 0 >probability && echo "${required% *}" >require-start && echo "${required#* }" >require-end &&
  echo "${rejected% *}" >reject-start && echo "${rejected#* }" >reject-end &&
  echo 32 >stacktrace-depth && echo "$6" >ignore-gfp-wait && echo N >task-filter && echo 0 >verbose &&
  echo 0 >space && echo "$3" >interval && echo "$most" >times || exit 1
if [ -e min-order ]; then  # pages, also those for data: dm-crypt and the page cache take __GFP_HIGHMEM
  echo 0 >min-order && echo N >ignore-gfp-highmem || exit 1
fi
echo 100 >probability
