"""Bundles are hostile input: each thing that one may try is refused with a sentence, and nothing of it happens."""

import gzip
import hashlib
import io
import json
import tarfile
import tracemalloc

import pytest

from farm.cli.replay import command as replay_command
from farm.errors import UserError
from farm.host.cache import Store
from farm.repro import archive
from farm.repro.archive import unpack
from farm.repro.bundle import write_bundle
from farm.repro.manifest import MANIFEST
from farm.repro.recorded import load


@pytest.fixture
def files(make_bundle, tmp_path):
    """The files of a good bundle, by name, manifest first."""
    good = tmp_path / "good"
    good.mkdir()
    unpack(make_bundle(), good)
    names = sorted(str(path.relative_to(good)) for path in good.rglob("*") if path.is_file())
    names.sort(key=lambda name: name != MANIFEST)
    return {name: (good / name).read_bytes() for name in names}


@pytest.fixture
def refused(tmp_path):
    """Writes an archive of (TarInfo or name, content) and expects its refusal; returns the sentence."""
    def refused(members, padding=b""):
        outside = sorted(path for path in tmp_path.rglob("*"))
        path, directory = tmp_path / "hostile.farm.tar.gz", tmp_path / "unpacked"
        directory.mkdir()
        with gzip.open(path, "wb") as out:
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for member, content in members:
                    about = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
                    about.size = len(content) if about.isreg() else 0
                    tar.addfile(about, io.BytesIO(content))
            out.write(padding)
        with pytest.raises(UserError) as caught:
            unpack(path, directory)
        now = [one for one in tmp_path.rglob("*") if directory not in [one, *one.parents] and one != path]
        assert sorted(now) == outside
        assert all(one.is_dir() or (one.is_file() and not one.is_symlink()) for one in directory.rglob("*"))
        return str(caught.value)

    return refused


def listed(files, **more):
    """The files with a manifest that lists others too, or has other fields."""
    manifest = json.loads(files[MANIFEST])
    manifest["files"] |= {name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
                          for name, content in more.pop("extra", {}).items()}
    return {**files, MANIFEST: json.dumps({**manifest, **more}).encode()}


@pytest.mark.parametrize(("place", "words"), [
    ("runs", "exists already"), ("no/such/a.tar.gz", "There is no directory")])
def test_where_no_bundle_can_be_is_said_before_anything_is_read(make_run, tmp_path, place, words):
    run = load(make_run())
    (run.directory / "qemu.txt").unlink()
    with pytest.raises(UserError, match=words):
        write_bundle(run, tmp_path / place, Store(tmp_path / "store"), with_kernel=False, with_image=True)


def test_a_good_bundle_comes_out_as_it_went_in(files, make_run):
    manifest = json.loads(files[MANIFEST])
    assert set(manifest["files"]) == files.keys() - {MANIFEST}
    assert files["config"] == b"CONFIG_XFS_FS=y\n"
    assert manifest["cell"]["seed"] == 7
    assert manifest["append"] == ["workqueue.watchdog_thresh=20"]
    everything = b"".join(files.values())
    assert b"my-secret-host" not in everything
    assert b"/home/me" not in everything


@pytest.mark.parametrize("name", [
    "../escape", "/etc/farm-escape", "reports/../../escape", "patches/../../01.patch", "README.md/../../x",
    "reports/01-a.txt/x", "conf\nig", "unknown", "patches/1.patch", ".bashrc", "./config",
])
def test_no_name_leads_outside_or_anywhere_unknown(files, refused, name):
    said = refused([*listed(files, extra={name: b"x"}).items(), (name, b"x")])
    assert "is refused" in said
    assert "which no bundle has" in said


@pytest.mark.parametrize(("kind", "word"), [
    (tarfile.SYMTYPE, "symbolic link"), (tarfile.LNKTYPE, "hard link"), (tarfile.CHRTYPE, "device"),
    (tarfile.BLKTYPE, "device"), (tarfile.FIFOTYPE, "device"), (tarfile.DIRTYPE, "directory"),
    (tarfile.CONTTYPE, "strange kind"), (b"S", ""),
])
def test_nothing_but_plain_files_is_taken(files, refused, kind, word):
    about = tarfile.TarInfo("bzImage")
    about.type, about.linkname = kind, "/etc/passwd"
    assert word in refused([*files.items(), (about, b"x" * 512)])


def test_a_file_cannot_come_through_a_link_of_the_same_name(files, refused):
    about = tarfile.TarInfo("config")
    about.type, about.linkname = tarfile.SYMTYPE, "/tmp/farm-escape"
    body = [(name, content) for name, content in files.items() if name != "config"]
    assert "symbolic link" in refused([*body, (about, b""), ("config", files["config"])])


def test_what_the_manifest_does_not_say_is_not_taken(files, refused):
    assert "not in its manifest.json" in refused([*files.items(), ("bzImage", b"x")])


def test_a_changed_file_is_noticed(files, refused):
    assert "not what its manifest.json says" in refused({**files, "replay.sh": b"rm -rf ~\n"}.items())


def test_a_file_is_not_given_twice(files, refused):
    assert "twice" in refused([*files.items(), ("config", files["config"])])


def test_a_bundle_that_was_cut_off_is_noticed(make_bundle, tmp_path):
    path = make_bundle()
    (tmp_path / "u").mkdir()
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(UserError, match=r"damaged|cut off"):
        unpack(path, tmp_path / "u")


def test_a_file_that_is_left_out_is_noticed(files, refused):
    assert "lacks config" in refused((name, content) for name, content in files.items() if name != "config")


def test_the_manifest_comes_first(files, refused):
    assert "begins with" in refused(sorted(files.items(), reverse=True))


@pytest.mark.parametrize(("content", "words"), [
    (b"", "no bundle of the farm"), (b"no archive\n", "no bundle of the farm"),
    (gzip.compress(b"not a tar\n" * 100, mtime=0), "no bundle of the farm"),
    (gzip.compress(b"", mtime=0), "no bundle|empty"),
])
def test_something_else_is_no_bundle(tmp_path, content, words):
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "u").mkdir()
    with pytest.raises(UserError, match=words):
        unpack(tmp_path / "b", tmp_path / "u")


def test_a_bomb_is_refused_by_the_size_that_it_announces(files, refused, tmp_path):
    about = tarfile.TarInfo("config")
    about.size = 1 << 40
    header = about.tobuf(tarfile.GNU_FORMAT)
    path = tmp_path / "bomb"
    with gzip.open(path, "wb") as out, tarfile.open(fileobj=out, mode="w") as tar:
        manifest = tarfile.TarInfo(MANIFEST)
        manifest.size = len(files[MANIFEST])
        tar.addfile(manifest, io.BytesIO(files[MANIFEST]))
        tar.fileobj.write(header)
        out.write(bytes(1 << 20))
    (tmp_path / "u").mkdir()
    with pytest.raises(UserError, match="more than any bundle"):
        unpack(path, tmp_path / "u")


def test_a_header_of_gigabytes_is_not_read_into_memory(files, tmp_path):
    about = tarfile.TarInfo("./@PaxHeader")
    about.type, about.size = tarfile.XHDTYPE, 48 << 20
    path = tmp_path / "bomb"
    with gzip.open(path, "wb", 1) as out:
        out.write(about.tobuf(tarfile.GNU_FORMAT))
        for _ in range(48):
            out.write(bytes(1 << 20))
    (tmp_path / "u").mkdir()
    tracemalloc.start()
    with pytest.raises(UserError, match="larger headers"):
        unpack(path, tmp_path / "u")
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def header(name, kind, size=0, content=b""):
    about = tarfile.TarInfo(name)
    about.type, about.size = kind, size or len(content)
    return about.tobuf(tarfile.GNU_FORMAT) + content.ljust(-len(content) % 512 + len(content), b"\0")


def holes():
    """A file whose list of holes, by the words of its extended header, has no end."""
    words = b"".join(f"{len(word) + 3} {word}".encode() for word in (
        "GNU.sparse.major=1\n", "GNU.sparse.minor=0\n", "GNU.sparse.name=config\n"))
    return header("x", tarfile.XHDTYPE, content=words) + header("config", tarfile.REGTYPE, 1 << 30) + b"900000000\n"


def old_holes():
    """The same as GNU tar once wrote it: a flag in each list says that another follows."""
    first = bytearray(header("config", tarfile.GNUTYPE_SPARSE, 512))
    first[482] = 1
    first[148:156] = b"%06o\0 " % (256 + sum(first[:148]) + sum(first[156:512]))
    return bytes(first)


@pytest.mark.parametrize(("start", "more"), [
    (holes, b"1\n" * (2 << 20)), (old_holes, (b"00000000001\0" * 42 + b"\1").ljust(512, b"\0") * 8000)])
def test_a_list_of_holes_without_an_end_is_not_read_into_memory(tmp_path, start, more):
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(start() + more))
    (tmp_path / "u").mkdir()
    tracemalloc.start()
    with pytest.raises(UserError, match="larger headers"):
        unpack(path, tmp_path / "u")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("archive", [
    header("././@LongLink", tarfile.GNUTYPE_LONGNAME, content=b"name\0") * 2000,
    header("x", tarfile.XHDTYPE, content=b"13 path=abcd\n") * 2000, old_holes()])
def test_headers_that_tarfile_cannot_take_are_a_sentence(tmp_path, archive):
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(archive))
    (tmp_path / "u").mkdir()
    with pytest.raises(UserError, match=r"larger headers|no bundle of the farm"):
        unpack(path, tmp_path / "u")


def test_more_files_than_any_run_has(files, refused, monkeypatch):
    monkeypatch.setattr(archive, "MOST_FILES", 5)
    assert "more than any bundle" in refused(files.items())


def test_more_bytes_than_any_run_has(files, refused, monkeypatch):
    monkeypatch.setattr(archive, "MOST_BYTES", 2000)
    assert "larger" in refused(files.items(), padding=bytes(4 << 20))


def test_nothing_of_a_refused_bundle_stays(make_bundle, tmp_path):
    path = make_bundle()
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(UserError):
        replay_command.callback(path, trust=False, unpack_to=tmp_path / "there", as_json=False)
    assert not (tmp_path / "there").exists()


def test_a_bundle_is_not_written_over_another_file(make_bundle):
    make_bundle()
    with pytest.raises(UserError, match="exists already"):
        make_bundle()


def test_the_same_run_makes_the_same_bundle(make_run, tmp_path):
    run, made = load(make_run()), []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        path = tmp_path / place / "a.farm.tar.gz"
        write_bundle(run, path, Store(tmp_path / "store"), with_kernel=False, with_image=False)
        made.append(path.read_bytes())
    assert made[0] == made[1]
