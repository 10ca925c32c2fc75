"""What a program has synced is there after a power cut: journals are replayed, and logs recovered."""

import pytest

# Few blocks, so that a journal holds several versions of each.
BLOCKS = 48
# The first time with nothing under way: what was written last must not be lost. Then in the middle of it.
ROUNDS = {"all is done": (100, 100), "it goes on": (200, 1 << 30)}
WRITE = """
for ((number = $3; number < $4; number++)); do
  printf '%-4096d' $number |
    dd of="$1" bs=4K seek=$((number % $2)) oflag=direct conv=notrunc,fsync status=none || exit 1
  echo $number
done
"""


def on(name, layers, **namespace):
    disk = pytest.mark.namespace("data", **{"size": "96M", **namespace})
    return pytest.param(marks=[disk, pytest.mark.stack(f"data / {layers}")], id=name)


@pytest.mark.parametrize((), [
    on("crypt", "crypt"), on("journal", "integrity"), on("hmac", "integrity:hash=hmac-sha256", block=4096),
    on("bitmap", "integrity:mode=bitmap"), on("tags", "integrity:mode=inline", block=4096, ms=64),
    on("aead", "luks2:integrity=hmac-sha256", block=4096),
    on("ext4", "crypt / ext4", size="384M"), on("xfs", "integrity / xfs", size="384M"),
])
def test_what_was_synced_is_there(target, stack, power_cut):
    path = f"{stack.mountpoint}/file" if stack.mountpoint else stack.device
    acknowledged: list[str] = []
    for state, (enough, most) in ROUNDS.items():
        numbers = [str(BLOCKS), str(len(acknowledged)), str(most)]
        written = target.stream(["bash", "-c", WRITE, "bash", path, *numbers], acknowledged.append)
        while written.running and len(acknowledged) < enough:
            target.run("sleep 0.1")
        power_cut()
        assert len(acknowledged) >= enough, "the writer ended by itself"
        last = len(acknowledged) - 1
        found = target.run(["dd", f"if={path}", "bs=4K", f"count={BLOCKS}", "status=none"]).stdout.split()
        while found[(last + 1) % BLOCKS:][:1] == [str(last + 1)]:  # more may have been written, and nobody told of it
            last += 1
        newest = [str(last - (last - block) % BLOCKS) for block in range(BLOCKS)]
        assert found == newest, f"after a power cut when {state}"
