"""A pod's home: one folder with everything that a pod owns, opened.

<home>/settings.toml     which node, store and key, where they differ from the defaults
<home>/keys/             the account and the age identity, encrypted
<home>/journal.db        what must survive a power cut
<home>/journal.id        whose journal it is: a lost or another home's is not taken for it
<home>/known-chain.json  which chain and deployment all of it is about
<home>/transactions.db   signed transactions, written before they are sent
<home>/jobs/<id>/        one folder a job
<home>/models/<id>/      published models
<home>/bases/            models that others are deltas over, by their roots
<home>/datasets/<id>/    what was computed of registered datasets, never their records
<home>/pod.lock          held by the home's running pod
<home>/damaged-<time>/   files that a recovery put aside
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType

from fitchain.pod.jobs.bases import Bases
from fitchain.pod.jobs.journal import JOURNAL_FILE, Journal, require_own
from fitchain.pod.jobs.launch import Launcher, launcher_of
from fitchain.pod.ports.agreement import Agreements, Audits
from fitchain.pod.ports.chain import Chain, connect
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.ports.keys import KeyInfo, Keys, create, unlock
from fitchain.pod.ports.passphrase import Passphrase, passphrase_of
from fitchain.pod.ports.registry import Registry, Role
from fitchain.pod.ports.sealed import new_identity, open_sealed, seal
from fitchain.pod.ports.settings import Settings, load
from fitchain.pod.ports.store import Store, open_store
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import AccessRefused, HostUnusable, NotFound, Unusable, host_errors
from fitchain.pod.values.ids import NO_AGREEMENT, AgreementId, AuditRef, DatasetId, ModelId
from fitchain.pod.values.job_folder import BASES, JobFolder, sweep_left

LOCK_TRIES, LOCK_S = 4, 0.05
"""How often a pod tries to be the home's only one, and seconds between."""
MEET_AGAIN_S = 30.0
"""How long what the registry said of a pod's store is taken for true."""


@dataclass
class Home(AbstractContextManager["Home"]):
    """An opened home.

    Args:
        settings: as put together for this home.
        chain: the connection, which signs as this pod where a key was opened.
        store: the content store.
        journal: what must survive a power cut.
        opened: the pod's keys; None where the home was opened for reading alone.
        log: is told what takes long.
    """

    settings: Settings
    chain: Chain
    store: Store
    journal: Journal
    opened: Keys | None
    log: Callable[[str], None] = field(default=lambda text: None, repr=False)
    _met_at: dict[str, float] = field(default_factory=dict, repr=False)

    @classmethod
    def open(
        cls,
        settings: Settings,
        passphrase: Callable[[], str] | None = None,
        log: Callable[[str], None] = lambda text: None,
    ) -> Home:
        """Open a home.

        Args:
            settings: which folder, node, store and key.
            passphrase: asked once for the key's passphrase; None opens the home for reading alone.
            log: is told when the store waits for its node, and why, and of a base that is fetched.

        Raises:
            AccessRefused: the passphrase is wrong.
            NotFound: the home has no such key, or no deployment is known.
            ChainUnusable: the node or its contracts are not there.
            InputRefused: another version of Fitchain made the home, or its deployment.
            HomeDamaged: the journal, or what was sent, is cut, overwritten, another home's or gone.
            HostUnusable: the home cannot be read or written now.
        """
        path = settings.home / JOURNAL_FILE
        journal = Journal(path) if path.exists() or require_own(path) else None
        try:
            keys = unlock(settings.home, settings.key, passphrase()) if passphrase else None
            chain = connect(settings, keys)
            store = open_store(chain.settings, log)
            # A new home's comes last: who mistypes the folder, or has no node, leaves nothing.
            return cls(chain.settings, chain, store, journal or Journal(path), keys, log)
        except BaseException:
            if journal is not None:
                journal.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open."""
        self.journal.close()
        self.store.close()

    def register_or_update(self, role: Role) -> None:
        """Register this pod, or bring its entry up to date: to whom things are sealed, and where
        its store is reached.

        Raises:
            ChainUnusable: the contract refuses, or the account cannot pay.
            InputRefused: the account is registered in another role.
            StoreUnusable: the store's node does not say where it is.
        """
        self.registry.register_pod(role, self.keys.recipient, self.store.endpoint())

    def add_peer(self, address: str) -> None:
        """Let the store know where another pod's is reached, before something is fetched that comes
        from there.

        Raises:
            ChainUnusable: the chain does not say.
        """
        met_at = self._met_at.get(address)
        if met_at is not None and time.monotonic() - met_at < MEET_AGAIN_S:
            return
        self._met_at[address] = time.monotonic()
        try:
            endpoint = self.registry.pod(address).endpoint
        except NotFound:
            return  # it never ran a pod, and whether its objects are somewhere all the same shows when they are fetched
        self.store.add_peer(endpoint)

    def add_peers(self, addresses: Collection[str]) -> None:
        """The same for several pods, in few round trips."""
        now = time.monotonic()
        new = sorted(each for each in addresses if now - self._met_at.get(each, -MEET_AGAIN_S) >= MEET_AGAIN_S)
        for address, endpoint in zip(new, self.registry.endpoints(new), strict=True):
            self._met_at[address] = now
            if endpoint:
                self.store.add_peer(endpoint)

    def release_objects(self, agreement: AgreementId) -> None:
        """Keep the sealed objects of an agreement no longer; `fitchain store gc` removes what
        nobody else keeps.

        Raises:
            ChainUnusable, StoreUnusable: chain or store do not answer.
        """
        for cid in self.agreements.objects(agreement):
            self.store.unpin(cid)

    def kept_identity(self, path: Path) -> str:
        """An age identity made for one purpose: made once, and kept in a file that is sealed to
        this pod.

        Args:
            path: the file; who removes it forgets the identity.
        """
        if not path.exists():
            self.keep_secret(path, new_identity()[0])
        return self.read_secret(path)

    def keep_secret(self, path: Path, secret: str) -> None:
        """Keep a text in a file that is sealed to this pod and appears whole or not at all."""
        write_file(path, seal(secret.encode(), [self.keys.recipient]), 0o600)

    def read_secret(self, path: Path) -> str:
        """Open such a file.

        Raises:
            NotFound: there is none.
        """
        try:
            return open_sealed(path.read_bytes(), self.keys.identity).decode()
        except FileNotFoundError:
            raise NotFound(f"there is no {path.name} in {path.parent}", "it is kept until the job is over") from None

    @property
    def keys(self) -> Keys:
        """The pod's keys.

        Raises:
            AccessRefused: the home was opened for reading alone.
        """
        if self.opened is None:
            raise AccessRefused("the home was opened without its key", "give the passphrase")
        return self.opened

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Be the home's only running pod as long as the block lasts; the kernel lets go when a
        process dies.

        Raises:
            Unusable: another one runs.
            HostUnusable: the lock's file cannot be opened.
        """
        with pod_lock(self.settings.home):
            yield

    def join_chain(self, role: Role, log: Callable[[AgreementId, str], None]) -> None:
        """Come to the chain as a pod: remove what a killed one left half-done, wait for what this
        home sent before, then register.

        Args:
            role: of the pod.
            log: told what is waited for, which may take as long as the chain takes no block.

        Raises:
            FitchainError: this pod cannot be registered.
        """
        self.sweep()
        if sent := self.chain.unseen():
            what = ", ".join(dict.fromkeys(pending.what for pending in sent))
            log(NO_AGREEMENT, f"looks for what was sent before and is not known to be mined: {what}")
        self.chain.catch_up()
        self.register_or_update(role)

    def pod_runs(self) -> bool:
        """Whether a pod runs from this home, on this machine.

        Raises:
            HostUnusable: the lock cannot be opened, which does not say.
        """
        try:
            with self.exclusive_lock():
                return False
        except HostUnusable:
            raise
        except Unusable:
            return True

    @cached_property
    def bases(self) -> Bases:
        """The models that others are deltas over."""
        return Bases(self.settings.home / BASES, self.store, self.log)

    @cached_property
    def launcher(self) -> Launcher:
        """Where this home's workers run."""
        return launcher_of(self.settings)

    @cached_property
    def registry(self) -> Registry:
        """The registry, as this pod calls it."""
        return Registry(self.chain)

    @cached_property
    def agreements(self) -> Agreements:
        """The agreements, as this pod calls them."""
        return Agreements(self.chain)

    @cached_property
    def audits(self) -> Audits:
        """The audits, as this pod calls them."""
        return Audits(self.chain)

    @cached_property
    def verifiers(self) -> Verifiers:
        """Stake and places of verifiers, as this pod calls them."""
        return Verifiers(self.chain)

    def job_folder(self, agreement: AgreementId) -> JobFolder:
        """The folder of one job; asking for it does not make it."""
        return JobFolder(self.settings.home / "jobs" / str(agreement))

    def job_ids(self) -> list[AgreementId]:
        """The jobs that have a folder."""
        named = f"jobs/0x{'[0-9a-f]' * 64}"
        return [AgreementId(Digest.parse(path.name)) for path in sorted(self.settings.home.glob(named))]

    def audit_folder(self, audit: AuditRef) -> JobFolder:
        """The folder of one audit, likewise."""
        return self.job_folder(audit.agreement).audit(audit.ordinal)

    def sweep(self) -> None:
        """Remove the scratch that killed pods and commands have left in this home."""
        home = self.settings.home
        for folder in (home, home / BASES, *home.glob("jobs/*"), *home.glob("jobs/*/audit-*")):
            sweep_left(folder)
        self.bases.release_unused()

    def model_folder(self, model: ModelId) -> Path:
        """The folder of one published model, made when absent."""
        return _private(self.settings.home / "models" / str(model))

    def dataset_folder(self, dataset: DatasetId) -> Path:
        """The folder of one registered dataset (never its records), made when absent."""
        return _private(self.settings.home / "datasets" / str(dataset))


def open_home(
    folder: Path | str | None = None,
    passphrase: Passphrase | None = None,
    *,
    rpc: str | None = None,
    store: Path | str | None = None,
    devnet: Path | str | None = None,
) -> Home:
    """Open a home; whoever opens it closes it, or uses it as a context.

    Args:
        folder: the home; what is not chosen, here and below, is as the settings say.
        passphrase: a file, or what asks for it; None opens the home for reading alone.
        rpc: URL of the chain's node.
        store: a folder, or the address of a Kubo node's RPC.
        devnet: folder of the devnet.

    Raises:
        As `Home.open`; and NotFound: there is no such passphrase file.
    """
    settings = load(folder, rpc, store=store, devnet=devnet)
    return Home.open(settings, None if passphrase is None else lambda: passphrase_of(passphrase))


def create_keys(folder: Path | str | None, passphrase: Passphrase) -> KeyInfo:
    """Make a home's account and age identity.

    The account must have ETH and FIT before the home can do much.

    Args:
        folder: the home, made when absent; None takes the default one.
        passphrase: a file, or what asks for it; it encrypts them.

    Raises:
        InputRefused: the home has keys already, or what the callable gives is empty.
        AccessRefused: the passphrase file's first line is empty.
        NotFound: there is no such passphrase file.
    """
    settings = load(folder)
    made = create(settings.home, settings.key, passphrase_of(passphrase))
    return KeyInfo(made.name, made.address, made.recipient)


@contextmanager
def pod_lock(home: Path) -> Iterator[None]:
    """Keep every other pod of a home out, whether it can be opened or not; raises as
    `Home.exclusive_lock`."""
    path = home / "pod.lock"
    with host_errors(f"{path} cannot be opened"):
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    for left in reversed(range(LOCK_TRIES)):  # `pod_runs` holds it for an instant
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if not left:
                os.close(lock)
                raise Unusable(f"another pod runs from the home {home}", "stop it first") from None
            time.sleep(LOCK_S)
    try:
        yield
    finally:
        os.close(lock)


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
