# Creates, renames, reads back and removes files until the time is up; the same seed makes the same operations.
# $1: directory; $2: seconds; $3: seed; $4: files; $5: largest file in KiB.
mkdir -p "$1" && cd "$1" || exit 1
RANDOM=$3
operations=0

# A file's content follows from its number and its length in lines of 64 bytes; no process is started for it.
content() {
  printf -v line '%-63s\n' "file $1"
  printf -v wanted '%*s' "$2" ''
  wanted=${wanted// /"$line"}
}

while [ "$SECONDS" -lt "$2" ]; do
  number=$((RANDOM % $4))
  name=$(echo [fg]"$number".*)
  if [ -e "$name" ]; then
    lines=${name##*.}
    content "$number" "$lines"
    got=
    IFS= read -r -d '' got <"$name"
    if [ "$got" != "$wanted" ]; then
      echo "farm-churn: wrong content in $PWD/$name" >&2
      cmp "$name" <<<"${wanted%$'\n'}" >&2
      exit 3
    fi
    case $((RANDOM % 3)) in
      0) rm "$name" || exit 1 ;;
      1) case $name in f*) mv "$name" "g$number.$lines" || exit 1 ;; *) mv "$name" "f$number.$lines" || exit 1 ;; esac ;;
    esac
  else
    lines=$((RANDOM % ($5 * 16) + 1))
    content "$number" "$lines"
    printf %s "$wanted" >"f$number.$lines" || exit 1
    [ $((RANDOM % 2)) = 0 ] || sync "f$number.$lines" || exit 1
  fi
  operations=$((operations + 1))
done
echo "farm-churn: $operations operations"
