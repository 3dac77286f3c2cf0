"""A home as Fitchain 0.2 left it, after a dataset was registered and a job was done on a devnet."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from fitchain.pod.ports import keys
from tests.chain_fixtures import PASSPHRASE, QUICK_WORK

AGREEMENT, DATASET, ROOT = "0x" + "a1" * 32, "0x" + "d5" * 32, "0x" + "70" * 32
CARD_CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"

JOURNAL = """
CREATE TABLE datasets(
  id TEXT PRIMARY KEY, source TEXT NOT NULL, reading TEXT NOT NULL, salt BLOB NOT NULL, root TEXT NOT NULL,
  card BLOB NOT NULL, card_cid TEXT NOT NULL);
CREATE TABLE models(
  id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL, graph TEXT NOT NULL, initial_model TEXT NOT NULL,
  cid TEXT NOT NULL);
CREATE TABLE requests(
  agreement TEXT PRIMARY KEY, salt TEXT NOT NULL, terms TEXT NOT NULL, offer TEXT NOT NULL, recipe BLOB NOT NULL);
CREATE TABLE decisions(agreement TEXT PRIMARY KEY, decision TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE facts(agreement TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (agreement, name));
CREATE TABLE history(
  id INTEGER PRIMARY KEY AUTOINCREMENT, agreement TEXT NOT NULL, time REAL NOT NULL, kind TEXT NOT NULL,
  body TEXT NOT NULL, once TEXT);
CREATE INDEX history_of ON history(agreement, id);
CREATE UNIQUE INDEX history_once ON history(agreement, kind, once);
"""

TRANSACTIONS = """
CREATE TABLE transactions(
  network TEXT NOT NULL, sender TEXT NOT NULL, nonce INTEGER NOT NULL, hash TEXT PRIMARY KEY, raw BLOB NOT NULL,
  fields TEXT NOT NULL, what TEXT NOT NULL, state TEXT NOT NULL, time REAL NOT NULL)
"""

DEPLOYMENT = {
    "version": "fitchain/deployment/v1",
    "chain_id": 31337,
    "block": 1,
    "contracts": {
        "FitCoin": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
        "Registry": "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512",
        "Agreements": "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0",
        "ProofOfTrain": "0xCafac3dD18aC6c6e92c921884f9E4176737C052c",
        "Audits": "0x9f1ac54BEF0DD2f6f3462EA0fa94fC62300d3a8e",
    },
    "transactions": dict.fromkeys(("FitCoin", "Registry", "Agreements"), "0x" + "17" * 32),
}


def leave_home(home: Path, deployed: bool = True) -> keys.Keys:
    """Fill a folder with what 0.2 wrote there; its key.

    Args:
        home: the folder.
        deployed: whether the home has a deployment of its own, beside a devnet's.
    """
    key = keys.create(home, "default", PASSPHRASE, work=QUICK_WORK)
    (home / "settings.toml").write_text("poll_s = 0.5\n")
    with closing(sqlite3.connect(home / "journal.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(JOURNAL)
        database.execute("PRAGMA user_version = 1")
        row = (DATASET, "/data/patients.csv", '{"target": "outcome"}', bytes(32), ROOT, b"{}", CARD_CID)
        database.execute("INSERT INTO datasets VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        line = (AGREEMENT, 1763800000.0, "settled", '{"state": "settled"}', None)
        database.execute("INSERT INTO history(agreement, time, kind, body, once) VALUES (?, ?, ?, ?, ?)", line)
    with closing(sqlite3.connect(home / "transactions.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(TRANSACTIONS)
        sent = ("0x" + "9e" * 32, key.address, 0, "0x" + "7a" * 32, b"\x02", "{}", "Agreements.accept", "mined", 1.0)
        database.execute("INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", sent)
    job = home / "jobs" / AGREEMENT
    job.mkdir(parents=True)
    (job / "recipe.json").write_text('{"version":"fitchain/recipe/v1"}')
    if deployed:
        leave_deployment(home)
    return key


def leave_deployment(folder: Path) -> None:
    """Write 0.2's deployment record, in a home or in a devnet's folder."""
    (folder / "deployments").mkdir(parents=True, exist_ok=True)
    (folder / "deployments" / "31337.json").write_text(json.dumps(DEPLOYMENT, indent=2) + "\n")
