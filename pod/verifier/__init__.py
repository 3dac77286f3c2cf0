"""Verifiers: who is drawn to replay a part of a training, and votes on what it came to.

Last in the flow. `examine` takes evidence to an outcome; it needs the store and a worker, and neither keys nor transactions.
"""

from __future__ import annotations

from pod.verifier.examine import Examination, examine

__all__ = ["Examination", "examine"]
