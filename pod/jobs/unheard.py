"""What an earlier command of this home sent and could not tell of: the command that repeats it
takes it up, so that nothing moves twice.
"""

from __future__ import annotations

from collections.abc import Callable

from fitchain.pod.ports.chain import Chain
from fitchain.pod.values.errors import Unusable


def was_sent_before(
    chain: Chain, contract: str, function: str, is_meant: Callable[..., bool], describe: Callable[..., str]
) -> bool:
    """Whether an earlier command sent a call, and ended before it could tell so: by an error of the
    node's, or killed. It is waited for, and is on the chain then.

    Args:
        chain: the connection, which signs.
        contract, function: the call, one of those that move as much once more each time.
        is_meant: by a call's arguments, whether it does what is to be done now.
        describe: by the same, what it did, for a person.

    Raises:
        Unusable: what was sent is something else: it is told, and nothing is done beside it.
        NodeUnreachable, NotMinedYet: whether it went through cannot be said now.
    """
    earlier = chain.take_up(contract, function)
    if all(is_meant(*args) for args in earlier):
        return bool(earlier)
    raise Unusable(
        f"an earlier command {' and '.join(describe(*args) for args in earlier)}, and could not tell so: it went "
        "through, and nothing is sent now",
        "do this again if it is wanted beside that",
    )
