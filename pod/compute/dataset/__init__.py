"""Datasets: from an owner's file to records that are registered, described, ordered and assembled
into batches.

    columns    what a column may hold
    cells      what a text in a cell means, to the last digit
    source     where records come from
    csv_file   CSV files
    jsonl_file  JSON lines
    npz_file   NPZ files
    task       what a target is predicted as
    selection  which columns are read, and what their owner says of them
    schema     what the columns of a source are
    profile    what all cells of a column are
    decision   what columns are, said or guessed aloud
    tokenizer  free text as the numbers of its tokens
    tokenizer_process  where a tokenizer's file is read and used, apart
    readers    which kind of file is which source
    table      columns -> record bytes
    policy     what the owner asks of a job
    card       what is published: schema, transform constants, licence, price, policy
    units      where the records of a unit of privacy lie
    concerns   what a table is refused for unless its owner insists
    records    record leaves, root, openings, "is it still what was registered?"
    order      the keyed batch order
    references  records and order of the reference trainings of a risk report
    subgroups  columns by whose groups results are told
    assembly   indices -> a model's inputs and target
    mock       data of the same schema for rehearsals
"""

from __future__ import annotations

from fitchain.pod.compute.dataset.assembly import Assemble, assemble, class_numbers, group_numbers, input_width
from fitchain.pod.compute.dataset.card import (
    Card,
    CardPrivacy,
    CardSubgroup,
    CardTokenizer,
    CardUnit,
    Constants,
    fit_transform,
    refuse_beside_budget,
)
from fitchain.pod.compute.dataset.columns import DTYPES, Classes, Column, Kind, declared_classes, missing_name
from fitchain.pod.compute.dataset.concerns import Rule, require_no_concern
from fitchain.pod.compute.dataset.csv_file import CsvDialect
from fitchain.pod.compute.dataset.mock import mock_table
from fitchain.pod.compute.dataset.order import (
    batches,
    batches_per_epoch,
    drawn_batches,
    held_out_rows,
    training_rows,
)
from fitchain.pod.compute.dataset.policy import Disclosure, Policy, RiskTerms
from fitchain.pod.compute.dataset.readers import Reading
from fitchain.pod.compute.dataset.records import (
    Opening,
    Registration,
    check_unchanged,
    dataset_root,
    open_records,
    record_leaves,
    register,
    salt,
    salts,
    verify_record,
)
from fitchain.pod.compute.dataset.schema import Schema
from fitchain.pod.compute.dataset.selection import ReadingTerms
from fitchain.pod.compute.dataset.subgroups import find_groups
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.compute.dataset.task import Task
from fitchain.pod.compute.dataset.tokenizer import TokenizerTerms, Tokenizing
from fitchain.pod.compute.dataset.units import FILLED, NO_UNIT, UnitColumn

__all__ = [
    "DTYPES",
    "FILLED",
    "HOLD_TEXTS",
    "NO_UNIT",
    "Assemble",
    "Card",
    "CardPrivacy",
    "CardSubgroup",
    "CardTokenizer",
    "CardUnit",
    "Classes",
    "Column",
    "Constants",
    "CsvDialect",
    "Disclosure",
    "Kind",
    "Opening",
    "Policy",
    "Reading",
    "ReadingTerms",
    "Registration",
    "RiskTerms",
    "Rule",
    "Schema",
    "Table",
    "Task",
    "TokenizerTerms",
    "Tokenizing",
    "UnitColumn",
    "assemble",
    "batches",
    "batches_per_epoch",
    "check_unchanged",
    "class_numbers",
    "dataset_root",
    "declared_classes",
    "drawn_batches",
    "find_groups",
    "fit_transform",
    "group_numbers",
    "held_out_rows",
    "input_width",
    "missing_name",
    "mock_table",
    "open_records",
    "record_leaves",
    "refuse_beside_budget",
    "register",
    "require_no_concern",
    "salt",
    "salts",
    "training_rows",
    "verify_record",
]
