"""What a worker is asked to do, as `task.json`."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from fitchain.pod.values.digest import Digest, canonical_json, parse_json
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.leaf import NO_SALT_KEYS, SaltKeys
from fitchain.pod.values.limits import TASK
from fitchain.pod.values.work import StepWork

VERSION = "fitchain/task/v2"
MEASURE = "measure"
MODES = ("train", "rehearse", "replay", "recompute", "audit", "explain", "evaluate", MEASURE)
REHEARSED_SEGMENTS = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process may use at most.

    Args:
        memory_bytes: address space beyond what torch takes when it is imported.
        file_bytes: size of any one file that it writes.
    """

    memory_bytes: int = 16 << 30
    file_bytes: int = 16 << 30


@dataclass(frozen=True)
class Task:
    """What to do with a job folder.

    Args:
        mode: one of `MODES`. `explain` works on a training's folder or, where it holds none, on
            evidence.
        ctx: the agreement's context.
        seed: the order seed.
        salt_keys: from which the salts of the leaves derive.
        keep_every: which states are kept: those of every a-th leaf, and the last.
        segments: segments to replay, audit or explain; segment j leads from leaf j to leaf j+1. To
            recompute, the leaves.
        model: the file that an evaluation takes.
        work: what a step takes by an agreement's terms: a graph that takes more or less is refused;
            None compares nothing.
        limits: what the process may use.
    """

    mode: str
    ctx: Digest
    seed: Digest
    salt_keys: SaltKeys = NO_SALT_KEYS
    keep_every: int = 1
    segments: tuple[int, ...] = ()
    model: str = "final.safetensors"
    work: StepWork | None = None
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputRefused(f"a worker's mode is one of {', '.join(MODES)}, not {self.mode!r}")
        if self.keep_every < 1 or any(segment < 0 for segment in self.segments):
            raise InputRefused(
                f"keep_every is at least 1 and segments at least 0, not {self.keep_every}, {self.segments}"
            )
        if Path(self.model).name != self.model:
            raise InputRefused(f"the model is a file in the job folder, not {self.model!r}")

    def encode(self) -> bytes:
        """The task as canonical JSON.

        Raises:
            InputRefused: its work is more than any graph's.
        """
        return canonical_json(
            {
                "version": VERSION,
                "mode": self.mode,
                "ctx": str(self.ctx),
                "seed": str(self.seed),
                "salt_keys": {"metrics": self.salt_keys.metrics.hex(), "states": self.salt_keys.states.hex()},
                "keep_every": self.keep_every,
                "segments": list(self.segments),
                "model": self.model,
                "work": None if self.work is None else self.work.json(),
                "limits": asdict(self.limits),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Task:
        """Read the JSON form.

        Raises:
            InputRefused: it is no task.
        """
        value = parse_json(data, TASK)
        names = {"version", *(item.name for item in fields(cls))}
        if not isinstance(value, dict) or value.keys() != names or value.pop("version") != VERSION:
            raise InputRefused(f"a task is a {VERSION} with the fields {sorted(names)}")
        try:
            value["limits"] = Limits(**value["limits"])
            value["salt_keys"] = SaltKeys(**{name: bytes.fromhex(key) for name, key in value["salt_keys"].items()})
            value["work"] = None if value["work"] is None else StepWork.parse(value["work"])
            value["segments"] = tuple(int(segment) for segment in value["segments"])
        except (AttributeError, TypeError, ValueError) as error:
            raise InputRefused(f"a task's field is not of its type: {error}") from None
        return cls(**{**value, "ctx": Digest.parse(value["ctx"]), "seed": Digest.parse(value["seed"])})

    def write(self, folder: Path) -> None:
        """Write `task.json` for the owner's eyes alone, whole or not at all."""
        part = folder / f".task.{os.getpid()}.part"
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(self.encode())
        part.replace(folder / "task.json")

    @classmethod
    def read(cls, folder: Path) -> Task:
        """Read a job folder's task.

        Raises:
            NotFound: there is none.
            InputRefused: it is no task.
        """
        try:
            return cls.parse((folder / "task.json").read_bytes())
        except FileNotFoundError:
            raise NotFound(f"there is no task.json in {folder}") from None
