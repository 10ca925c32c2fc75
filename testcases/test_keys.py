"""Report 003: keys that expire, are revoked and forgotten, and what their helper is told."""

import pytest

# Runs a script whose first lines these are: `refused WHY command` is one that has to fail for that reason, `soon
# command` one that has to succeed within ten seconds.
SAYING = """
set -e
refused() {
  if said=$("${@:2}" 2>&1); then echo "$* succeeded"; exit 1; fi
  [[ $said == *"$1"* ]] || { echo "$* failed: $said"; exit 1; }
}
soon() {
  for ((tries = 100; tries; tries--)); do
    ! ("$@") >/dev/null 2>&1 || return 0
    sleep 0.1
  done
  echo "not in time: $*"; exit 1
}
none() { ! grep " $1: " /proc/keys; }
"""
# A key -> what becomes of it. `$key` is a key of type user with the content `payload`, in a keyring `$ring` alone.
LIVES = {
    "expires": """
        other=$(keyctl add user other payload $ring)
        keyctl timeout $other 1000; keyctl timeout $key 1
        soon refused "Key has expired" keyctl print $key
        refused "Key has expired" keyctl update $key more
        keyctl print $other >/dev/null
        # One that is collected at once may be gone before anybody has seen it expired (security/keys/gc.c).
        echo 0 >/proc/sys/kernel/keys/gc_delay
        keyctl timeout $(keyctl add user brief payload $ring) 1
        soon none brief""",
    "revoked": """
        keyctl revoke $key
        refused "Key has been revoked" keyctl print $key
        refused "Key has been revoked" keyctl update $key more
        refused "Key has been revoked" keyctl link $key @s""",
    "invalidated": """
        keyctl invalidate $key
        # Once it has been taken out of its keyring, who has it no more is denied it (keyctl_read_key).
        refused "" keyctl print $key
        soon none short""",
    "unlinked": """
        keyctl link $key @s
        keyctl unlink $key $ring
        [ "$(keyctl print $key)" = payload ]
        keyctl unlink $key @s
        soon none short
        refused "" keyctl print $key""",
    "cleared": """
        keyctl add user more payload $ring >/dev/null
        keyctl clear $ring
        soon none short; soon none more
        [ -z "$(keyctl rlist $ring)" ]""",
    "updated": """
        keyctl update $key longer-than-before
        [ "$(keyctl print $key)" = longer-than-before ]
        [ "$(keyctl add user short again $ring)" = $key ]
        [ "$(keyctl print $key)" = again ]""",
    "found": """
        for depth in 1 2 3 4; do ring=$(keyctl newring ring$depth ${inner:-@s}); inner=$ring; done
        keyctl move $key $outer $inner
        [ "$(keyctl search @s user short)" = $key ]
        refused "Required key not available" keyctl search $outer user short
        refused "deadlock" keyctl link @s $inner""",
    "forbidden": """
        keyctl setperm $key 0x3f000000
        [ "$(keyctl print $key)" = payload ]
        refused "Permission denied" keyctl session - keyctl print $key
        logon=$(keyctl add logon farm:secret payload $ring)
        refused "Operation not supported" keyctl print $logon""",
}


def run_saying(target, script):
    """Run a script with the words of SAYING, in a session of its own."""
    done = target.run(["keyctl", "session", "-", "bash", "-c", SAYING + script], check=False)
    assert done.status == 0, done.stdout + done.stderr


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_what_becomes_of_a_key(target, life):
    """Documentation/security/keys/core.rst; security/keys/key.c, keyring.c, gc.c."""
    made = "outer=$(keyctl newring farm @s) ring=$outer\nkey=$(keyctl add user short payload $ring)\n"
    made += 'grep -q " short: " /proc/keys\n'
    run_saying(target, made + life)


# The helper says first that its key is good for three seconds, and makes it then.
HURRIED = """
echo 'create user hurried:* * /tmp/hurried %k %S' >/etc/request-key.d/hurried.conf
cat >/tmp/hurried <<'EOF'
#!/bin/sh
keyctl timeout $1 3 && keyctl instantiate $1 payload $2
EOF
chmod +x /tmp/hurried
soon refused "Key has expired" keyctl print $(keyctl request2 user hurried:1 callout @s)
"""


def test_a_helper_says_how_long_its_key_is_good(target):
    """Before the key has any content, which must not make it last for ever (key.c, __key_instantiate_and_link)."""
    run_saying(target, HURRIED)


# The helper leaves somebody behind who has its authority to make the key (request-key assumes it).
LEFT_BEHIND = """
echo 'create user left:* * /tmp/left %k %S' >/etc/request-key.d/left.conf
cat >/tmp/left <<'EOF'
#!/bin/sh
sleep 60 >/dev/null 2>&1 &
keyctl instantiate $1 payload $2
EOF
chmod +x /tmp/left
[ "$(keyctl print $(keyctl request2 user left:1 callout @s))" = payload ]
grep ' .request_' /proc/keys
"""


def test_an_authority_that_is_used_up_is_listed(target):
    """It says nothing more of the key that it was for (security/keys/request_key_auth.c, request_key_auth_describe)."""
    run_saying(target, LEFT_BEHIND)


# Two move keys between two keyrings, one there and the other back: KEYCTL_MOVE by the numbers of x86-64's calls.
MOVED = r"""
sub add { my ($type, $name, $payload, $ring) = @_; syscall(248, $type, $name, $payload, length($payload), $ring) }
my ($one, $other) = map { add("keyring", $_, "", -3) } "one", "other";
my $key = add("user", "moved", "payload", $one);
die "$!" if $one < 0 || $other < 0 || $key < 0;
my ($moved, $child) = (0, fork());
for (1 .. $ARGV[0]) { $moved++ if syscall(250, 30, $key, $child ? $one : $other, $child ? $other : $one, 0) == 0 }
exit($moved == 0) unless $child;
waitpid($child, 0);
exit($? || $moved == 0);
"""


@pytest.mark.machine(cpus=2)
@pytest.mark.usefixtures("second_cpu")
def test_keys_move_both_ways(target):
    """Two keyrings are locked in one order, whichever a key leaves (security/keys/keyring.c, __key_move_lock)."""
    target.run(["keyctl", "session", "-", "perl", "-e", MOVED, "50000"])


# By the numbers of x86-64's calls: a key in the keyring of the thread and one in that of the process, each of which is
# then made the place for requested keys (KEYCTL_SET_REQKEY_KEYRING), though it is there already.
DEFAULTS = r"""
my ($type, $name, $payload) = ("user", "kept", "payload");
for my $ring (-1, -2) {
  my $key = syscall(248, $type, $name, $payload, 7, $ring);
  my $id = syscall(250, 0, $ring, 0);
  die "$!" if $key < 0 || $id < 0;
  for (1 .. 100) { syscall(250, 14, -$ring) < 0 and die "$!" }
  syscall(250, 0, $ring, 0) == $id or die "another keyring took its place";
  syscall(250, 10, $ring, $type, $name, 0) == $key or die "the key in it is gone";
}
"""


def test_a_keyring_that_is_there_is_kept(target):
    """Who asks for one that he has gets that one (process_keys.c, install_thread_keyring_to_cred and the like)."""
    target.run(["perl", "-e", DEFAULTS])


# Four ask for a key that is not there: one has it made, and the others wait until it is (wait_for_key_construction).
ONE_FOR_ALL = """
asked=
for number in 1 2 3 4; do keyctl request2 user debug:shared x @s & asked="$asked $!"; done
for pid in $asked; do wait $pid || exit 1; done
"""
# The same for a key that is refused in the end (security/keys/key.c, key_reject_and_link).
NONE_FOR_ALL = """
for number in 1 2 3 4; do keyctl request2 user debug:refused negate @s & done
wait
"""
# And for one whose helper fails, so that request-key neither makes nor refuses it (complete_request_key).
NOBODY_FOR_ALL = """
echo 'create user failing:* * /tmp/failing' >/etc/request-key.d/failing.conf
printf '#!/bin/sh\\nsleep 1\\nexit 1\\n' >/tmp/failing && chmod +x /tmp/failing || exit 1
for number in 1 2 3 4; do keyctl request2 user failing:1 x & done
wait
"""


@pytest.mark.machine(cpus=2)
@pytest.mark.parametrize("script", [
    pytest.param(ONE_FOR_ALL, id="made"), pytest.param(NONE_FOR_ALL, id="refused"),
    pytest.param(NOBODY_FOR_ALL, id="failed")])
def test_who_waits_for_a_key_is_woken(target, script):
    """By whoever makes or refuses it, or fails to.

    They sleep interruptibly, so that no watchdog of the kernel looks at them.
    """
    # Each of them would make a session keyring of its own, and a key in that, if they had none together.
    together = ["timeout", f"{target.pace.seconds(5):.0f}", "keyctl", "session", "-", "bash", "-c"]
    for _ in range(3):
        assert target.run([*together, script], check=False).status == 0, "tasks that waited for a key were not woken"


# request-key.conf of keyutils negates such a key, and leaves it in the session's keyring for half a minute.
READ_REFUSED = """
keyctl request2 user debug:empty negate @s
id=$(awk '/ user +debug:empty/ { print $1 }' /proc/keys) && [ -n "$id" ] || exit 2
! keyctl read 0x$id
"""


def test_a_refused_key_has_no_content(target):
    """It has no payload that its type could read (security/keys/keyctl.c, keyctl_read_key)."""
    target.run(["keyctl", "session", "-", "bash", "-c", READ_REFUSED])


# An encrypted key is loaded from what `keyctl pipe` gives, and its master gets other content after that.
LOADED = """
set -e
master=$(keyctl add user master "$(head -c 32 /dev/urandom | base64)" @s)
text=$(keyctl pipe $(keyctl add encrypted first "new user:master 32" @s))
other() { [ "$1" = 0 ] && echo 1 || echo 0; }
blob=${text##* }
for wrong in "${text%??}" "${text}00" "${text%?}x" "${text%?}" "${text%?}$(other "${text: -1}")" \
    "${text% *} $(other "${blob:0:1}")${blob:1}"; do
  if keyctl add encrypted second "load $wrong" @s 2>/dev/null; then exit 1; fi
done
keyctl add encrypted second "load $text" @s
keyctl update $master other
"""


def test_a_master_key_can_be_used_after_what_could_not_be_loaded(target):
    """It is locked while it decrypts another key, and no longer (encrypted.c, encrypted_key_decrypt)."""
    target.run(["keyctl", "session", "-", "bash", "-c", LOADED])


# The helper writes down what it is told of key, caller and the caller's keyrings, and makes the key.
TOLD = r"""
set -e
echo 'create user told:* * /tmp/told %k %d %c %u %g %T %P %S' >/etc/request-key.d/told.conf
cat >/tmp/told <<'EOF'
#!/bin/bash
echo "$2 $3 $4 $5 $6 $(keyctl rdescribe $7) $(keyctl rdescribe $8)" >/tmp/told.out
keyctl instantiate $1 payload $8
EOF
chmod +x /tmp/told
keyctl session of-farm bash -c 'keyctl print $(keyctl request2 user told:7 callout @p)'
cat /tmp/told.out
"""


def test_the_helper_is_told_who_asks_for_what(target):
    """The caller's thread has no keyring, its process one, its session another (call_sbin_request_key)."""
    said = target.run(["bash", "-c", TOLD]).stdout.splitlines()
    assert said[-2:-1] == ["payload"]
    key, *ids, thread, process, session = said[-1].split(" ")
    assert (key, ids, thread) == ("told:7", ["callout", "0", "0"], "0")
    assert (process.rpartition(";")[2], session.rpartition(";")[2]) == ("_pid", "of-farm")
