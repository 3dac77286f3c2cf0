"""Settings: the one place for endpoints, folders, the key's name and the chain.

A value comes from, in this order: the caller (a flag), the environment, `<home>/settings.toml`, the
running devnet's record, the default. It opens no connection and imports nothing heavy, so that
`fitchain --help` stays quick.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitchain.pod.values.errors import InputRefused, NodeUnreachable, NotFound, Unusable
from fitchain.pod.values.reading import read_text
from fitchain.pod.values.urls import http_url

DEVNET_CHAIN_ID = 31337
DEVNET_RECORD = "devnet.json"
SETTINGS_FILE = "settings.toml"
GWEI = 10**9
FIT_UNITS = 10**18


@dataclass(frozen=True)
class DevnetRecord:
    """What a devnet writes down about itself.

    Args:
        rpc: URL of its node.
        chain_id: always 31337.
        pid: process id of the node, which leads a process group of its own.
        started: when that process started, in the kernel's clock ticks since boot: a reused process
            id has another.
        port: TCP port of the node.
        store: the store that pods on this devnet share unless they choose: a folder, or a Kubo
            node's RPC address.
        version: version of the node.
    """

    rpc: str
    chain_id: int
    pid: int
    started: int
    port: int
    store: str
    version: str

    @classmethod
    def read(cls, folder: Path) -> DevnetRecord | None:
        """Read a devnet folder's record; None where there is none.

        Raises:
            InputRefused: the file is not such a record.
        """
        path = folder / DEVNET_RECORD
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, OSError) as error:
            hint = "remove the file, then run `fitchain devnet up`"
            raise InputRefused(f"{path} is not a devnet's record: {error}", hint) from None

    @property
    def alive(self) -> bool:
        """Whether the process that wrote the record still runs (and its id has not passed to
        another)."""
        return process_start(self.pid) == self.started


def process_start(pid: int) -> int | None:
    """When a living process started, in clock ticks since boot; None for a dead one and for a
    zombie.

    Source: proc(5), /proc/pid/stat, fields 3 and 22.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True)
class Settings:
    """Where everything is.

    Args:
        home: this pod's folder: keys, journal, transactions, deployments.
        rpc: URL of the chain's node; empty where none is chosen and no devnet runs.
        chain_id: the chain that the node must be on; None takes the node's.
        store: the content store: a folder; or, as text, the RPC address of a Kubo node
            (`ipfs:/ip4/127.0.0.1/tcp/5001` or an URL).
        devnet: folder of the devnet.
        key: name of the key in the home.
        confirmations: blocks that must follow a block before it is acted on.
        poll_s: seconds between two looks at the node.
        fee_cap_wei: the most that is ever offered for a unit of gas.
        store_authorization: what a Kubo node asks for, as its `--api-auth` takes it:
            `bearer:<token>` or `basic:<user>:<password>`.
        store_gateways: URLs of trustless gateways that are asked for blocks which no peer gives.
        store_patience_s: seconds without any progress after which a Kubo node, or an object, is
            given up.
        open_stake: FIT in base units that a pool must have staked before the certificate's level
            `open` is believed; None believes none. The file names it in FIT.
        least_repeat_cost: FIT in base units that an owner and a scientist who are one must lose on
            average before a third of a panel passes a fake, or a certificate's level is `vouched`;
            None asks for nothing. The file names it in FIT.
        also_rpc: URL of a second node, which must agree with the first where a certificate is
            verified; None asks one node alone.
        worker_prefix: words that stand before a worker's command and carry it elsewhere (`ssh
            node`, `srun --ntasks=1`); none runs it on this host.
        sandbox: the least level of the sandbox without which no worker does anything: limits,
            files, calls or view.
        defaulted: names of the settings that nobody chose and that may still follow the chain.
        devnet_rpc: `rpc` as it was taken from the devnet, which is followed then, also to another
            port; None where somebody chose a node.
        of_devnet: names of other settings that nobody chose, and that a devnet's record fills in.
    """

    home: Path
    rpc: str
    chain_id: int | None
    store: Path | str
    devnet: Path
    key: str
    confirmations: int
    poll_s: float
    fee_cap_wei: int = 200 * GWEI
    store_authorization: str = dataclasses.field(default="", repr=False)
    store_gateways: tuple[str, ...] = ()
    store_patience_s: float = 60.0
    open_stake: int | None = None
    least_repeat_cost: int | None = None
    also_rpc: str | None = None
    worker_prefix: tuple[str, ...] = ()
    sandbox: str = "limits"
    defaulted: frozenset[str] = frozenset()
    devnet_rpc: str | None = None
    of_devnet: frozenset[str] = frozenset()

    def running_devnet(self) -> DevnetRecord | None:
        """The record of the devnet whose node these settings follow; None where a node was chosen.

        Raises:
            NodeUnreachable: no devnet runs. Whatever else listens where it did is not asked.
            InputRefused: its record is none.
        """
        if self.rpc != self.devnet_rpc:
            return None
        record = DevnetRecord.read(self.devnet)
        if record is None or not record.alive:
            raise NodeUnreachable(
                f"no node is chosen, and no devnet runs from {self.devnet}",
                "start it with `fitchain devnet up`, or name a node with --rpc or FITCHAIN_RPC",
            )
        return record

    def located(self) -> Settings:
        """These settings with the devnet's node where it runs now, if nobody chose one; with its
        chain and its store, too, if it did not run when the settings were put together.

        Raises:
            NodeUnreachable, InputRefused: as `running_devnet`.
        """
        if (record := self.running_devnet()) is None:
            return self
        values: dict[str, Any] = {"chain_id": record.chain_id, "store": _checked("store", record.store)}
        filled = {} if self.rpc else {name: value for name, value in values.items() if name in self.of_devnet}
        return dataclasses.replace(self, rpc=record.rpc, devnet_rpc=record.rpc, **filled)

    def on_chain(self, chain_id: int) -> Settings:
        """These settings once the node has told its chain: what nobody chose takes that chain's
        default."""
        follow = {name: value for name, value in chain_defaults(chain_id).items() if name in self.defaulted}
        return dataclasses.replace(self, chain_id=chain_id, defaulted=frozenset(), **follow)

    def with_node(self, rpc: str, chain_id: int) -> Settings:
        """These settings with another node, which has to be on a chain."""
        return dataclasses.replace(self, rpc=rpc, chain_id=chain_id, devnet_rpc=None)

    def deployment_paths(self, chain_id: int) -> tuple[Path, Path]:
        """Where a deployment's record is looked for, first match first: in the home, in the
        devnet's folder."""
        name = Path("deployments") / f"{chain_id}.json"
        return self.home / name, self.devnet / name


CONFIRMATIONS = {DEVNET_CHAIN_ID: 0}
"""Blocks that must follow a block before it is acted on, by chain. The devnet never reorganises."""

OTHER_CONFIRMATIONS = 12
"""On Ethereum's mainnet and on every chain that is not in the table: two and a half minutes at 12 s
a block, what is commonly waited for, and less than finality, which comes after two epochs (64 to 96
blocks). Whoever wants finality, or is on a chain that reorganises deeper, sets `confirmations`."""

POLL_S = {DEVNET_CHAIN_ID: 0.02}
OTHER_POLL_S = 1.0


def chain_defaults(chain_id: int | None) -> dict[str, Any]:
    """Confirmations and poll interval of a chain, where nobody chose them."""
    chain = chain_id or 0
    return {
        "confirmations": CONFIRMATIONS.get(chain, OTHER_CONFIRMATIONS),
        "poll_s": POLL_S.get(chain, OTHER_POLL_S),
    }


# Each is a flag of the command line, and a caller names the few that it sets.
def load(
    home: Path | str | None = None,
    rpc: str | None = None,
    chain_id: int | None = None,
    store: Path | str | None = None,
    devnet: Path | str | None = None,
    key: str | None = None,
    confirmations: int | None = None,
    poll_s: float | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Put the settings together.

    Args:
        home, rpc, chain_id, store, devnet, key, confirmations, poll_s: what the caller chose; None
            leaves the choice to the environment (`FITCHAIN_HOME`, `FITCHAIN_RPC`,
            `FITCHAIN_CHAIN_ID`, `FITCHAIN_STORE`, `FITCHAIN_DEVNET`, `FITCHAIN_KEY`; also
            `FITCHAIN_ALSO_RPC`, `FITCHAIN_STORE_AUTHORIZATION`, `FITCHAIN_STORE_GATEWAYS` with
            commas, `FITCHAIN_STORE_PATIENCE_S`, `FITCHAIN_WORKER_PREFIX`), then
            `<home>/settings.toml`, then the running devnet, then the default.
        environ: the environment; the process's own when None.

    Raises:
        InputRefused: a value is malformed, or settings.toml has an unknown one.
    """
    environ = os.environ if environ is None else environ
    folder = Path(home or environ.get("FITCHAIN_HOME") or "~/.fitchain").expanduser().absolute()
    file = _read_file(folder / SETTINGS_FILE)
    flags = {
        "rpc": rpc,
        "chain_id": chain_id,
        "store": store,
        "devnet": devnet,
        "key": key,
        "confirmations": confirmations,
        "poll_s": poll_s,
    }
    chosen = file | _from_environment(environ) | {name: value for name, value in flags.items() if value is not None}
    return _complete(folder, {name: _checked(name, value) for name, value in chosen.items()})


_ENVIRONMENT = {
    "rpc": "FITCHAIN_RPC",
    "chain_id": "FITCHAIN_CHAIN_ID",
    "store": "FITCHAIN_STORE",
    "devnet": "FITCHAIN_DEVNET",
    "key": "FITCHAIN_KEY",
    "also_rpc": "FITCHAIN_ALSO_RPC",
    "store_authorization": "FITCHAIN_STORE_AUTHORIZATION",
    "store_gateways": "FITCHAIN_STORE_GATEWAYS",
    "store_patience_s": "FITCHAIN_STORE_PATIENCE_S",
    "worker_prefix": "FITCHAIN_WORKER_PREFIX",
    "sandbox": "FITCHAIN_SANDBOX",
}
_NUMBERS: dict[str, type[int] | type[float]] = {
    "chain_id": int,
    "confirmations": int,
    "poll_s": float,
    "fee_cap_gwei": float,
    "store_patience_s": float,
    "open_stake": int,
    "least_repeat_cost": int,
}
_NAMES = (*_ENVIRONMENT, "confirmations", "poll_s", "fee_cap_gwei", "open_stake", "least_repeat_cost")


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    return {name: environ[variable] for name, variable in _ENVIRONMENT.items() if environ.get(variable)}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(read_text(path))
    except NotFound:
        return {}
    except Unusable as error:
        raise InputRefused(f"the settings cannot be read: {error.message}", error.hint) from None
    except ValueError as error:
        raise InputRefused(f"{path} is not TOML: {error}") from None
    for name in values:
        if name not in _NAMES:
            raise InputRefused(f"{path} sets {name!r}, which is no setting", f"settings are {', '.join(_NAMES)}")
    return values


def _checked(name: str, value: Any) -> Any:
    """One chosen value in its type."""
    if name in _NUMBERS:
        return _number(name, value)
    if name == "store_gateways":
        return _gateways(value)
    if name == "worker_prefix":
        return _words(value)
    if not isinstance(value, str | Path) or not str(value):
        raise InputRefused(f"the setting {name} is a text, not {value!r}")
    if name in ("rpc", "also_rpc"):
        http_url(str(value), f"URL of a node ({name})")
    if name == "store" and names_node(value):
        return str(value)
    return Path(value).expanduser().absolute() if name in ("store", "devnet") else str(value)


def names_node(store: Path | str) -> bool:
    """Whether a store is a Kubo node's RPC address and not a folder."""
    return isinstance(store, str) and store.startswith(("ipfs:", "http://", "https://"))


def _gateways(value: Any) -> tuple[str, ...]:
    """URLs, from a TOML list or from a text with commas."""
    urls = [url.strip() for url in value.split(",")] if isinstance(value, str) else value
    if not isinstance(urls, list | tuple) or not all(isinstance(url, str) for url in urls):
        raise InputRefused("the setting store_gateways is a list of http URLs, or a text with commas between them")
    for url in urls:
        http_url(url, "URL of a gateway (store_gateways)")
    return tuple(url.rstrip("/") for url in urls)


def _words(value: Any) -> tuple[str, ...]:
    """The words of a command, from a TOML list or from a text as a shell reads it."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise InputRefused(f"the setting worker_prefix is no command: {str(error).lower()}") from None
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word for word in words):
        raise InputRefused(f"the setting worker_prefix is a list of words, not {value!r}", 'say ["ssh", "node"]')
    return tuple(words)


def _number(name: str, value: Any) -> int | float:
    try:
        number = _NUMBERS[name](value)
    except (ValueError, TypeError):
        number = -1
    if isinstance(value, bool) or not 0 <= number < 2**53:
        raise InputRefused(f"the setting {name} is a number from 0 to 2**53, not {value!r}")
    return number


def _complete(home: Path, chosen: dict[str, Any]) -> Settings:
    """Fill in what nobody chose.

    The devnet's record counts as one piece: its chain id and store go with its URL, never with
    another node's. Where nobody chose a node, all three follow the devnet as it runs, and there is
    no node while it does not: what listens at its port then is a stranger's.
    """
    devnet = chosen.get("devnet") or default_devnet()
    followed, of_devnet = "rpc" not in chosen, frozenset({"chain_id", "store"} - chosen.keys())
    record = DevnetRecord.read(devnet)
    if record and record.alive and chosen.get("rpc", record.rpc) == record.rpc:
        store = _checked("store", record.store)
        chosen = {"rpc": record.rpc, "chain_id": record.chain_id, "store": store} | chosen
    defaults = chain_defaults(chosen.get("chain_id"))
    values = {"rpc": "", "chain_id": None, "store": home / "store", "key": "default", **defaults} | chosen
    cap = int(values.pop("fee_cap_gwei", 200) * GWEI)
    for name in ("open_stake", "least_repeat_cost"):
        if (amount := values.pop(name, None)) is not None:
            values[name] = int(amount) * FIT_UNITS
    values["devnet"] = devnet
    values |= {"devnet_rpc": values["rpc"] if followed else None, "of_devnet": of_devnet}
    return Settings(home=home, fee_cap_wei=cap, defaulted=frozenset(defaults) - frozenset(chosen), **values)


def default_devnet() -> Path:
    """The devnet's folder where none is chosen."""
    from platformdirs import user_state_path

    return user_state_path("fitchain") / "devnet"
