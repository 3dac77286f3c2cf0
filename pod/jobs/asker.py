"""The nonce of whoever asks for an audit: one half of what its verifiers are drawn by.

Who asks commits to it before the block is known whose hash is the other half (protocol, section
10.1): a scientist when it requests, anybody else when it asks for another audit. It is derived from
the pod's secret, so that nothing has to be kept and a restart finds it.
"""

from __future__ import annotations

from fitchain.pod.ports.keys import Keys
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.ids import AgreementId

PURPOSE = "fitchain/asker-nonce/v2"


def asker_nonce(keys: Keys, agreement: AgreementId, *fresh: Digest) -> Digest:
    """The nonce of an agreement's own audit or dispute; with fresh words, that of another audit.

    Args:
        keys: the asker's.
        agreement: the id, which a scientist knows before its request: it follows from the salt.
        fresh: for another audit the SHA-256 of 32 bytes of its own, since one agreement may be
            audited again many times.
    """
    return Digest(keys.derive(PURPOSE, agreement, *fresh))
