"""Several runs of one kernel at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from farm.bisect.values import Run


def together(count: int, once: Callable[[], Run], stop: Callable[[], None]) -> list[Run]:
    """What `once` returned, called that many times at once.

    All are waited for, also when one shows the bug: to end the others early would be to leave out more runs that miss
    it than runs that show it, and the reproduction rate would be wrong. When one raises, or is interrupted, `stop` has
    to end the others.
    """
    if count == 1:
        return [once()]
    with ThreadPoolExecutor(count) as pool:
        pending = [pool.submit(once) for _ in range(count)]
        try:
            return [one.result() for one in pending]
        except BaseException:
            stop()  # or the pool would wait for them to the end
            raise
