"""Serving: a pod that runs beside its caller, in a thread: a notebook, say.

It knows of a pod that it runs until it is asked to stop. The command line gives a pod a process of
its own instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from fitchain.pod.values.errors import Unusable

STOP_S = 60.0


class Pod(Protocol):
    """Whatever follows the chain for a party: the pod of an owner, a scientist or a verifier."""

    def run(self, stop: threading.Event, ready: Callable[[], None]) -> None:
        """Follow the chain until `stop` is set; call `ready` once that is under way."""
        ...


class ServedPod(AbstractContextManager["ServedPod"]):
    """A pod that runs in a thread until it is stopped; as a context, until the block ends.

    Args:
        pod: what to run.

    Raises:
        FitchainError: the pod cannot start: another one runs from its home, say, or it cannot be
            registered.
    """

    def __init__(self, pod: Pod) -> None:
        self._pod, self._failure = pod, list[BaseException]()
        self._stop, self._settled = threading.Event(), threading.Event()
        self._started = False
        self._thread = threading.Thread(target=self._run, name=type(pod).__name__, daemon=True)
        self._thread.start()
        self._settled.wait()
        if not self._started:
            self.stop()

    def _run(self) -> None:
        try:
            self._pod.run(self._stop, self._ready)
        except BaseException as error:
            self._failure.append(error)
            if self._started:
                raise  # nobody may ask for a long time: the thread's own traceback says it now
        finally:
            self._settled.set()

    def _ready(self) -> None:
        self._started = True
        self._settled.set()

    def stop(self) -> None:
        """Ask the pod to stop, and wait until it has.

        A training ends at its last kept state, and goes on from there another time.

        Raises:
            Unusable: it does not stop.
            Exception: what ended it before.
        """
        self._stop.set()
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise Unusable(f"the pod did not stop within {STOP_S:g} s", "look at what its workers do")
        if self._failure:
            raise self._failure.pop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(pod: Pod) -> ServedPod:
    """Run a pod beside the caller; it is registered, and looks at the chain, when this returns.

    Args:
        pod: an owner's, a scientist's or a verifier's; its home may be used meanwhile.

    Returns:
        the running pod: stop it, or use it as a context.

    Raises:
        FitchainError: it cannot start.
    """
    return ServedPod(pod)
