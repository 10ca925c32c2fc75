"""Builds one kernel at a time: what is waited for first, and what will probably be asked next while tests run.

All revisions are built in one kept tree, so that each compiles only what changed; two at once would only wait for
each other.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from farm.bisect.values import Build, Seen


class Builder(Protocol):
    """Whoever can build a revision, and stop doing so."""

    def build(self, commit: str, *, ahead: bool) -> Build:
        """Build it; `ahead` when nobody waits for it yet. A build that was stopped says so."""

    def stop_build(self, commit: str) -> None:
        """End the build of that revision."""


class Builds:
    """The thread that builds."""

    def __init__(self, builder: Builder, meanwhile: Callable[[str], None] = lambda _: None) -> None:
        """`meanwhile` is told what is built ahead, from the thread that builds."""
        self._builder, self._meanwhile = builder, meanwhile
        self._changed = threading.Condition()
        self._wanted: list[str] = []
        self._ahead: list[str] = []
        self._current = ""
        self._done: dict[str, Build] = {}
        self._error: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="farm-builds", daemon=True)
        self._thread.start()

    def get(self, commit: str) -> Build:
        """The build of a revision, from what was built ahead or waited for now. Raises what building raised."""
        with self._changed:
            if commit not in self._done:
                self._wanted.append(commit)
                current = self._current
                speculative = current not in ("", commit) and current not in self._wanted
                self._changed.notify_all()
            else:
                speculative = False
        if speculative:
            self._builder.stop_build(current)
        with self._changed:
            self._changed.wait_for(lambda: commit in self._done or self._error or self._closed)
            if self._error:
                raise self._error
            if commit in self._wanted:
                self._wanted.remove(commit)
            # A host that failed may do better next time.
            build = self._done.get(commit, Build(seen=Seen.STOPPED))
            if build.seen in (Seen.HOST, Seen.STOPPED):
                self._done.pop(commit, None)
            return build

    def has(self, commit: str) -> bool:
        """Whether nobody would have to wait for it."""
        with self._changed:
            return commit in self._done

    def ahead(self, commits: Sequence[str]) -> None:
        """What to build when nothing is waited for, likeliest first; replaces what was said before."""
        with self._changed:
            self._ahead = [commit for commit in commits if commit]
            self._changed.notify_all()

    def drop(self, commit: str) -> None:
        """Nobody needs it any more: whoever waits for it is told that it was stopped."""
        with self._changed:
            self._ahead = [one for one in self._ahead if one != commit]
            current = self._current == commit
            if commit in self._wanted and commit not in self._done and not current:
                self._done[commit] = Build(seen=Seen.STOPPED)
                self._changed.notify_all()
        if current:
            self._builder.stop_build(commit)

    def close(self) -> None:
        """Stop building."""
        with self._changed:
            self._closed = True
            current = self._current
            self._changed.notify_all()
        if current:
            self._builder.stop_build(current)
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._pick())
                if self._closed:
                    return
                commit = self._current = self._pick()
                ahead = commit not in self._wanted
            try:
                if ahead:
                    self._meanwhile(commit)
                build = self._builder.build(commit, ahead=ahead)
            except BaseException as error:
                with self._changed:
                    self._error = error
                    self._current = ""
                    self._changed.notify_all()
                return
            with self._changed:
                self._current = ""
                if build.seen is Seen.STOPPED:
                    self._ahead = [one for one in self._ahead if one != commit]
                if build.seen is not Seen.STOPPED or commit in self._wanted:
                    self._done[commit] = build
                self._changed.notify_all()

    def _pick(self) -> str:
        return next((one for one in (*self._wanted, *self._ahead) if one not in self._done), "")
