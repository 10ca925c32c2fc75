# Repeats fio until the time is up, at least once; each pass writes everything it verifies, with a seed of its own.
# $1: seconds; $2: seed of the first pass; $3: job file; $4: its text.
printf %s "$4" >"$3"
pass=0
while :; do
  export FARM_SEED=$(($2 + pass))
  printf -v FARM_PATTERN '0x%08x' "$FARM_SEED"
  export FARM_PATTERN
  fio --output-format=json "$3" || exit
  pass=$((pass + 1))
  [ "$SECONDS" -lt "$1" ] || exit 0
done
