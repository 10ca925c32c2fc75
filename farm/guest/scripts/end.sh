# Ends a command of the farm's in the guest with all that descends from it. Its process group is not enough: each job of
# fio makes a session of its own (backend.c, thread_main). By builtins of any sh alone, as under memory pressure a new
# process may be what hangs, and by /proc/PID/stat, which unlike cmdline and environ waits for no lock of the process's.
# $1: the command's process group, or session.
farm_end() {
  found=' ' more=yes
  # Who is stopped starts nothing more and leaves no child to init: a round that finds nobody new is the last.
  while [ "$more" ]; do
    more=
    for stat in /proc/[0-9]*/stat; do
      read -r line <"$stat" || continue
      pid=${line%% *}
      case $found in *" $pid "*) continue ;; esac
      # Behind the name, which stands in brackets and may hold some: state, parent, group, session.
      set -- "$1" ${line##*") "}
      case $found in
        *" $3 "* | *" $5 "*) ;;
        *) [ "$4" = "$1" ] || [ "$5" = "$1" ] || continue ;;
      esac
      found="$found$pid " more=yes
      kill -s STOP "$pid"
    done
  done
  kill -s KILL -- "-$1" $found
} 2>/dev/null
