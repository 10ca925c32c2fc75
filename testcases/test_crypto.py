"""Report 000: what the crypto API computes for whoever asks, which others have computed before and will after."""

import hmac

# $1: the algorithm; then pairs of a number of bytes of key and of data, each of which is its own place. Prints codes.
# A socket of AF_ALG (crypto/af_alg.c): perl, which every Debian has, knows no names for its numbers, and its accept()
# asks for an address, which there is none of (43 is x86-64's).
CODES = r"""
sub bytes { pack("C*", map { $_ & 255 } 0 .. $_[0] - 1) }
my $name = shift;
while (@ARGV) {
  my ($key, $data) = (bytes(shift), bytes(shift));
  socket(my $socket, 38, 5, 0) or die "socket: $!";
  bind($socket, pack("S a14 L L a64", 38, "hash", 0, 0, $name)) or die "bind: $!";
  setsockopt($socket, 279, 1, $key) or die "key: $!";
  (my $number = syscall(43, fileno($socket), 0, 0)) >= 0 or die "accept: $!";
  open(my $asked, "+<&=", $number) or die "open: $!";
  defined(syswrite($asked, $data)) or die "write: $!";
  sysread($asked, my $code, 128) or die "read: $!";
  print unpack("H*", $code), "\n";
}
"""
# Hash -> the bytes that it takes at once.
BLOCKS = {"sha1": 64, "sha256": 64, "sha512": 128}


def around(block):
    """As many bytes of key and of data; a key that is larger than a block is hashed first (RFC 2104)."""
    sizes = (1, block - 1, block, block + 1, 3 * block)
    return [(key, data) for key in sizes for data in (*sizes, 4096)]


def test_codes_with_keys_of_any_length(target):
    """crypto/hmac.c, hmac_setkey: a kernel that computes others agrees with itself."""
    for name, block in BLOCKS.items():
        asked = around(block)
        words = [str(size) for pair in asked for size in pair]
        said = target.run(["perl", "-e", CODES, f"hmac({name})", *words]).stdout.split()
        for (key, data), code in zip(asked, said, strict=True):
            computed = hmac.new(bytes(at & 255 for at in range(key)), bytes(at & 255 for at in range(data)), name)
            assert code == computed.hexdigest(), f"hmac({name}) of {data} bytes by a key of {key} is another"
