"""Datasets: from an owner's file to records that are registered, described, ordered and assembled
into batches.

    columns    what a column may hold
    cells      what a text in a cell means, to the last digit
    source     where records come from
    csv_file   CSV files
    jsonl_file  JSON lines
    npz_file   NPZ files
    arrow_cells  cells of Arrow's types
    parquet_file  Parquet files
    arrow_file  Arrow's own files
    image_file  images, each an array
    scan_file  scans, each an array
    image_folder  folders of images and scans
    task       what a target is predicted as
    selection  which columns are read, and what their owner says of them
    schema     what the columns of a source are
    profile    what all cells of a column are
    decision   what columns are, said or guessed aloud
    rows       records on disk, where they are more than memory should hold
    memory     rows that a program has
    tokenizer  free text as the numbers of its tokens
    tokenizer_process  where a tokenizer's file is read and used, apart
    readers    which kind of file is which source
    draft      the numbers of a source, kept while it is looked at
    table      columns -> record bytes
    policy     what the owner asks of a job
    card       what is published: schema, transform constants, licence, price, policy
    units      where the records of a unit of privacy lie
    concerns   what a table is refused for unless its owner insists
    leaves     digests of very many records, and the tree over them
    records    record leaves, root, openings, "is it still what was registered?"
    order      the keyed batch order
    own_table  a table of whoever has a model, read as the card says
    references  records and order of the reference trainings of a risk report
    subgroups  columns by whose groups results are told
    assembly   indices -> a model's inputs and target
    arguments  which columns enter a model, as which argument
    preprocessing  how raw cells enter a model, as a document
    mock       data of the same schema for rehearsals
"""

from __future__ import annotations

from fitchain.pod.compute.dataset.arguments import Argument, Parameters, chosen_arguments, usual_arguments
from fitchain.pod.compute.dataset.assembly import (
    Assemble,
    assemble,
    assemble_inputs,
    assemble_target,
    class_numbers,
    group_numbers,
    input_width,
)
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
from fitchain.pod.compute.dataset.image_file import ImageForm
from fitchain.pod.compute.dataset.leaves import Leaves
from fitchain.pod.compute.dataset.mock import mock_ranges, mock_table
from fitchain.pod.compute.dataset.order import (
    batches,
    batches_per_epoch,
    drawn_batches,
    held_out_rows,
    training_rows,
)
from fitchain.pod.compute.dataset.policy import Disclosure, Policy, RiskTerms
from fitchain.pod.compute.dataset.readers import Dialect, Reading
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
from fitchain.pod.compute.dataset.rows import Spill
from fitchain.pod.compute.dataset.schema import Schema
from fitchain.pod.compute.dataset.selection import ReadingTerms
from fitchain.pod.compute.dataset.source import Tick, no_tick
from fitchain.pod.compute.dataset.subgroups import find_groups
from fitchain.pod.compute.dataset.table import Table
from fitchain.pod.compute.dataset.task import Task
from fitchain.pod.compute.dataset.tokenizer import TokenizerTerms, Tokenizing
from fitchain.pod.compute.dataset.units import FILLED, NO_UNIT, UnitColumn

__all__ = [
    "DTYPES",
    "FILLED",
    "NO_UNIT",
    "Argument",
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
    "Dialect",
    "Disclosure",
    "ImageForm",
    "Kind",
    "Leaves",
    "Opening",
    "Parameters",
    "Policy",
    "Reading",
    "ReadingTerms",
    "Registration",
    "RiskTerms",
    "Rule",
    "Schema",
    "Spill",
    "Table",
    "Task",
    "Tick",
    "TokenizerTerms",
    "Tokenizing",
    "UnitColumn",
    "assemble",
    "assemble_inputs",
    "assemble_target",
    "batches",
    "batches_per_epoch",
    "check_unchanged",
    "chosen_arguments",
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
    "mock_ranges",
    "mock_table",
    "no_tick",
    "open_records",
    "record_leaves",
    "refuse_beside_budget",
    "register",
    "require_no_concern",
    "salt",
    "salts",
    "training_rows",
    "usual_arguments",
    "verify_record",
]
