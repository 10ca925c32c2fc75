"""The content-addressed store."""

import errno
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from farm.deadline import Deadline
from farm.errors import InfrastructureError
from farm.host import cache
from farm.host.cache import Store


def put(store: Store, key: str, content: bytes = b"content", kind: str = "kernel") -> cache.Entry:
    def make(directory: Path) -> dict[str, Any]:
        (directory / "file").write_bytes(content)
        return {"said": key}

    return store.build(kind, key, make)


def refuse(directory: Path) -> dict[str, Any]:
    raise AssertionError("made again")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


class TestGetAndBuild:
    def test_what_was_built_is_found_again(self, store: Store) -> None:
        made = put(store, "a", b"12345")
        found = store.build("kernel", "a", refuse)
        assert found.meta == {"said": "a"}
        assert found.file("file").read_bytes() == b"12345"
        assert (made.cached, found.cached) == (False, True)
        assert found.size == 5

    @pytest.mark.parametrize("key", ["../../mine", "..", ".", "", "a/../../../mine", "/mine", "a\0b"])
    def test_what_is_no_key_leads_nowhere(self, store: Store, tmp_path: Path, key: str) -> None:
        put(store, "a")
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/work").write_text("years of it")
        assert store.get("kernel", key.replace("/mine", f"{tmp_path}/mine") if key == "/mine" else key) is None
        assert (tmp_path / "mine/work").exists()
        assert store.get("kernel", "a") is not None

    def test_nothing_is_found_in_an_empty_store(self, store: Store) -> None:
        assert store.get("kernel", "a") is None

    def test_kinds_do_not_mix(self, store: Store) -> None:
        put(store, "a")
        assert store.get("image", "a") is None

    def test_a_file_that_does_not_exist_is_an_error(self, store: Store) -> None:
        with pytest.raises(InfrastructureError, match="has no file vmlinux"):
            put(store, "a").file("vmlinux")

    def test_a_failed_make_leaves_nothing(self, store: Store) -> None:
        def make(directory: Path) -> dict[str, Any]:
            (directory / "half").write_bytes(b"x")
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            store.build("kernel", "a", make)
        assert store.get("kernel", "a") is None
        assert list((store.root / "tmp").iterdir()) == []

    def test_a_full_disk_is_an_infrastructure_error_with_path_and_room(self, store: Store) -> None:
        def make(directory: Path) -> dict[str, Any]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with pytest.raises(InfrastructureError, match=rf"no space left.*{store.root}.*MiB free"):
            store.build("kernel", "a", make)
        assert list((store.root / "tmp").iterdir()) == []

    def test_dev_full_really_raises_that_error(self, store: Store) -> None:
        def make(directory: Path) -> dict[str, Any]:
            with Path("/dev/full").open("wb", buffering=0) as full:
                full.write(b"x")
            return {}

        with pytest.raises(InfrastructureError, match="no space left"):
            store.build("kernel", "a", make)

    def test_other_disk_errors_are_not_called_a_full_disk(self, store: Store) -> None:
        def make(directory: Path) -> dict[str, Any]:
            raise OSError(errno.EIO, "i/o")

        with pytest.raises(OSError, match="i/o"):
            store.build("kernel", "a", make)

    def test_a_root_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(InfrastructureError, match="FARM_CACHE"):
            put(Store(tmp_path / "file" / "store"), "a")


class TestCorruption:
    @pytest.mark.parametrize("damage", ["changed", "shortened", "removed", "manifest", "manifest gone"])
    def test_a_corrupt_entry_is_removed_logged_and_built_again(
        self, store: Store, damage: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = put(store, "a").path
        if damage == "changed":
            (path / "file").write_bytes(b"cOntent")
        elif damage == "shortened":
            (path / "file").write_bytes(b"")
        elif damage == "removed":
            (path / "file").unlink()
        elif damage == "manifest":
            text = (path / "manifest.json").read_text()
            (path / "manifest.json").write_text(text.replace('"said": "a"', '"said": "b"'))
        else:
            (path / "manifest.json").unlink()
        with caplog.at_level(logging.WARNING, logger="farm"):
            assert store.get("kernel", "a") is None
        assert len(caplog.messages) == 1
        assert str(path) in caplog.text
        assert not path.exists()
        assert put(store, "a").file("file").read_bytes() == b"content"

    def test_what_another_process_has_built_again_meanwhile_stays(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = put(store, "a").path
        (path / "file").write_bytes(b"cOntent")

        def slow(*_: Any) -> None:
            monkeypatch.undo()
            put(store, "a")
            raise cache._Corrupt("file differs from its digest")

        monkeypatch.setattr(cache, "_verify", slow)
        store.get("kernel", "a")
        assert (path / "file").read_bytes() == b"content"

    def test_a_large_file_is_hashed_when_it_looks_different(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cache, "ALWAYS_HASHED", 3)
        file = put(store, "a").file("file")
        file.write_bytes(b"cOntent")
        assert store.get("kernel", "a") is None

    def test_a_large_file_is_not_hashed_when_it_looks_the_same(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cache, "ALWAYS_HASHED", 3)
        file = put(store, "a").file("file")
        monkeypatch.setattr(cache, "_describe", lambda path: pytest.fail(f"{path} was hashed"))
        assert store.get("kernel", "a") is not None
        assert file.exists()

    def test_a_touched_large_file_is_hashed_once(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cache, "ALWAYS_HASHED", 3)
        os.utime(put(store, "a").file("file"), ns=(1, 1))
        assert store.get("kernel", "a") is not None
        monkeypatch.setattr(cache, "_describe", lambda path: pytest.fail(f"{path} was hashed again"))
        assert store.get("kernel", "a") is not None


class TestPrune:
    def fill(self, store: Store) -> None:
        for age, key in enumerate(["newest", "middle", "oldest"]):
            entry = put(store, key, b"x" * 10)
            os.utime(entry.path / "used", (1e9 - age, 1e9 - age))

    def test_the_least_recently_used_go_first(self, store: Store) -> None:
        self.fill(store)
        assert [entry.key for entry in store.entries()] == ["oldest", "middle", "newest"]
        assert [entry.key for entry in store.prune(20)] == ["oldest"]
        assert [entry.key for entry in store.prune(0)] == ["middle", "newest"]
        assert store.entries() == []

    def test_use_makes_an_entry_young(self, store: Store) -> None:
        self.fill(store)
        store.get("kernel", "oldest")
        assert [entry.key for entry in store.prune(20)] == ["middle"]

    def test_an_entry_in_use_stays(self, store: Store) -> None:
        self.fill(store)
        held = store.get("kernel", "oldest")
        assert held is not None
        os.utime(held.path / "used", (1, 1))
        assert {entry.key for entry in store.prune(0)} == {"middle", "newest"}
        assert held.file("file").exists()
        del held
        assert [entry.key for entry in store.prune(0)] == ["oldest"]

    def test_locks_and_temporary_directories_are_no_entries(self, store: Store) -> None:
        put(store, "a")
        assert [entry.kind for entry in store.entries()] == ["kernel"]


def _build_slowly(root: Path, marks: Path) -> None:
    def make(directory: Path) -> dict[str, Any]:
        (marks / str(os.getpid())).touch()
        time.sleep(0.5)
        (directory / "file").write_bytes(b"x")
        return {"pid": os.getpid()}

    entry = Store(root).build("kernel", "a", make)
    (marks / f"{os.getpid()}.got").write_text(json.dumps(entry.meta))


class TestProcesses:
    def test_two_processes_build_once(self, store: Store, tmp_path: Path) -> None:
        marks = tmp_path / "marks"
        marks.mkdir()
        context = multiprocessing.get_context("spawn")
        children = [context.Process(target=_build_slowly, args=(store.root, marks)) for _ in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
        assert [child.exitcode for child in children] == [0, 0, 0]
        makers = [path.name for path in marks.iterdir() if not path.name.endswith(".got")]
        assert len(makers) == 1
        assert {json.loads(path.read_text())["pid"] for path in marks.glob("*.got")} == {int(makers[0])}

    def test_waiting_for_another_process_ends_at_the_deadline(self, store: Store) -> None:
        def inner(directory: Path) -> dict[str, Any]:
            return store.build("kernel", "a", refuse, Deadline(0.3)).meta

        with pytest.raises(InfrastructureError, match="still holds"):
            store.build("kernel", "a", inner)

    def test_a_killed_builder_leaves_nothing_that_looks_finished(self, store: Store, tmp_path: Path) -> None:
        code = (
            "import sys, time\nfrom pathlib import Path\nfrom farm.host.cache import Store\n"
            "def make(directory):\n    (directory / 'file').write_bytes(b'x')\n    print('in', flush=True)\n"
            "    time.sleep(60)\n"
            "Store(Path(sys.argv[1])).build('kernel', 'a', make)\n"
        )
        child = subprocess.Popen([sys.executable, "-c", code, str(store.root)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"in\n"
        assert len(list((store.root / "tmp").iterdir())) == 1
        store.sweep()
        assert len(list((store.root / "tmp").iterdir())) == 1  # its owner is alive
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert store.get("kernel", "a") is None
        assert put(store, "a").file("file").read_bytes() == b"content"
        assert list((store.root / "tmp").iterdir()) == []


def test_a_sweeper_between_a_directory_and_its_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made, mkdtemp = [], cache.tempfile.mkdtemp

    def swept(**options: Any) -> str:
        made.append(mkdtemp(**options))
        if len(made) == 1:
            Store(store.root).sweep()
        return made[-1]

    monkeypatch.setattr(cache.tempfile, "mkdtemp", swept)
    entry = put(store, "a")
    assert len(made) == 2
    assert entry.file("file").read_bytes() == b"content"
    assert entry.path.stat().st_mode & 0o777 == 0o755
