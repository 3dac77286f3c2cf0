"""What stores of either kind are filled with: streams that hold only their pattern, and the CIDs
that Kubo gives them."""

from __future__ import annotations

from typing import BinaryIO, cast

MIB = 1 << 20
BYTES = bytes(range(251))


class Cycle:
    """The bytes 0..250 over and over, as a stream that holds only its pattern."""

    def __init__(self, length: int) -> None:
        self.length, self.at, self.pattern = length, 0, BYTES * (MIB // 251 + 2)

    def read(self, count: int = -1) -> bytes:
        start, count = self.at % 251, min(count, self.length - self.at)
        self.at += count
        return self.pattern[start : start + count]


def cycle(length: int) -> BinaryIO:
    return cast(BinaryIO, Cycle(length))


KUBO = {
    0: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    1: "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu",
    1_048_575: "bafkreielkxdkfu2eicjkgfuykayoada6n6dar2xzclejnxxhyn2niqhnce",
    1_048_576: "bafkreidddocae7lltzjlkooe5a3tmiwsgazn7logjvqk7bzttsidpzhxne",
    1_048_577: "bafybeidjogjfwuhbzwopgd4bn3skcf5m6oz72xshywcndzxgqb623nfclu",
    3_145_735: "bafybeidf5ibbwfq6vjf5gbu2zzqt2xzzq5kanx6iygbjb6nb5xjutqe6vm",
    183_500_800: "bafybeie5k4z5ci44ylwq4653klqpp7wne4uaho5ukslch2nvd4oi676rxi",
    1_074_790_400: "bafybeicevx54zowztjg75fexgkv5kprbdygw4tyxqjb37e7jkzgdceopcy",
}
KUBO_FOLDER = "bafybeiam74y42oowhiyqzc4snh3ly7spidlqjypkhryqq36osznfbbin4i"
