"""A folder of images or scans as a source of records: a file a record, decoded whenever the folder
is read.

Its class is the folder in which an image lies, or what a `labels.csv` beside says of it. Files are
taken in the order of the bytes of their paths, as `find FOLDER -type f | LC_ALL=C sort` lists them,
and messages name them by their number there: names of files may be names of people.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.columns import SLAB_BYTES, SLAB_ROWS, Array, Kind
from fitchain.pod.compute.dataset.csv_file import CsvFile
from fitchain.pod.compute.dataset.image_file import ENDINGS, ImageForm, Shape, decode_image, image_shape
from fitchain.pod.compute.dataset.scan_file import (
    DICOM_ENDINGS,
    NIFTI_ENDINGS,
    decode_dicom,
    decode_nifti,
    dicom_shape,
    nifti_shape,
)
from fitchain.pod.compute.dataset.source import NO_KINDS, BadCells, Cells, Refusals, Slab, Typed, plain_name
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import TABLE_BYTES

IMAGE, LABEL = "image", "label"
LABEL_FILES = ("labels.csv", "metadata.csv")
FILE_COLUMNS = ("file_name", "filename", "file", "path", "image")
"""What a column of such a file may be called whose cells are the paths of images."""
SYSTEM_FILES = ("thumbs.db", "desktop.ini")
UNREAD = (".gif", ".webp", ".heic", ".heif", ".avif", ".svg", ".jp2", ".ppm", ".pgm", ".ico", ".psd")
WHICH = "`find FOLDER -type f | LC_ALL=C sort | sed -n 7p` names the seventh"
MOST_SHAPES = 6


@dataclass(frozen=True, slots=True)
class Decoder:
    """What reads the files of an ending.

    Args:
        shape: what one decodes to, by its header.
        decode: its array, in a form.
    """

    shape: Callable[[Path], Shape]
    decode: Callable[[Path, ImageForm], Array]


DECODERS: Mapping[str, Decoder] = (
    dict.fromkeys(ENDINGS, Decoder(image_shape, decode_image))
    | dict.fromkeys(DICOM_ENDINGS, Decoder(dicom_shape, decode_dicom))
    | dict.fromkeys(NIFTI_ENDINGS, Decoder(nifti_shape, decode_nifti))
)
"""By the endings of names in lower case."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One image: its number among all files of the folder, its path in it, and what reads it."""

    number: int
    path: PurePosixPath
    decoder: Decoder


class ImageFolder:
    """A folder of images: a column `image`, and `label` or those of its `labels.csv`; neither where
    all images lie in the folder itself, as those do whose classes are asked for.

    Args:
        path: the folder.
        form: what the images are made of one form by.
        limit_bytes: the most bytes of arrays that are read.

    Raises:
        InputRefused: it has no image, or links, or kinds of images that are not read.
        OSError: it cannot be read.
    """

    place_word = "image"
    mock = False

    def __init__(self, path: Path, form: ImageForm | None = None, limit_bytes: int = TABLE_BYTES) -> None:
        self.path, self.limit_bytes = path, limit_bytes
        self._found, left_out = _walk(path)
        self._form = replace(form or ImageForm(), left_out=left_out)
        self._labels_beside = [name for name in LABEL_FILES if (path / name).is_file()]
        labels, self._comma = self._labels()
        self._columns = {IMAGE: list[str]()} | labels

    @property
    def dialect(self) -> Mapping[str, Any]:
        """As `ImageForm.json`."""
        return self._form.json()

    @property
    def names(self) -> Sequence[str]:
        """`image`, then the labels'."""
        return tuple(self._columns)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """A folder's name is a class, though it be a number."""
        return {LABEL: Kind.CATEGORY} if LABEL in self._columns and not self._labels_beside else NO_KINDS

    def require_classes(self) -> None:
        """Check that something says what the images are of, as whoever offers them does.

        Raises:
            InputRefused: nothing does.
        """
        if len(self._columns) == 1 and not self._labels_beside:
            raise self._unclassed()

    def _labels(self) -> tuple[dict[str, list[str]], bool]:
        """Texts by column, one for each image, and whether their numbers have a decimal comma."""
        beside = self._labels_beside
        if len(beside) > 1:
            raise InputRefused(f"there are both {' and '.join(beside)}", "leave one of them")
        if beside:
            return _labels_beside(self.path / beside[0], self._found, self.limit_bytes)
        if all(len(each.path.parts) == 1 for each in self._found):
            return {}, False
        if any(len(each.path.parts) != 2 for each in self._found):
            raise self._unclassed()
        classes = [plain_name(each.path.parts[0]) for each in self._found]
        if not all(name.isprintable() for name in set(classes)):  # a name that is not UTF-8 is not, either
            raise InputRefused("the name of a class's folder has characters that cannot be printed", "rename it")
        folders = {each.path.parts[0] for each in self._found}
        if len({plain_name(each) for each in folders}) < len(folders):
            raise InputRefused(
                "two folders of classes are called alike, but for blanks or composed letters", "rename one"
            )
        return {LABEL: classes}, False

    def _unclassed(self) -> InputRefused:
        outside = BadCells()
        outside.add([each.number for each in self._found if len(each.path.parts) != 2])
        return InputRefused(
            f"{outside.where('image')} {'lie' if outside.count > 1 else 'lies'} in no folder of a class",
            f"put images into a folder for each class, or their labels into labels.csv; {WHICH}",
        )

    def slabs(self, columns: Collection[int]) -> Iterator[Slab]:
        """The images, some megabytes at a time."""
        names, wanted = list(self._columns), sorted(columns)
        shape = self._shape if 0 in wanted else None
        rows = SLAB_ROWS if shape is None else max(1, min(SLAB_ROWS, SLAB_BYTES // shape.size_bytes))
        refusals = Refusals(self.place_word)
        for low in range(0, len(self._found), rows):
            part = self._found[low : low + rows]
            cells: dict[int, Cells] = {
                position: self._columns[names[position]][low : low + rows] for position in wanted if position
            }
            if shape is not None:
                cells[0] = Typed(self._decoded(part, shape, refusals))
            done = (low + len(part)) / len(self._found)
            yield Slab([each.number for each in part], cells, done, self._comma)
        refusals.raise_any()

    def _decoded(self, part: Sequence[_Found], shape: Shape, refusals: Refusals) -> Array:
        """Arrays `[n, *shape]`; of one that is refused zeros."""
        arrays = np.zeros((len(part), *shape.sizes), shape.dtype)
        for array, each in zip(arrays, part, strict=True):
            try:
                decoded = each.decoder.decode(self.path / each.path, self._form)
                if (decoded.shape, decoded.dtype.name) != (shape.sizes, shape.dtype):
                    raise InputRefused("it decodes to another size than its header says", "save such images anew")
                array[...] = decoded
            except InputRefused as error:
                refusals.add(IMAGE, error.message, f"{error.hint}; {WHICH}", [each.number])
        return arrays

    @cached_property
    def _shape(self) -> Shape:
        """The one shape that all have, by their headers and the form that is asked for."""
        refusals, shapes = Refusals(self.place_word), Counter[Shape]()
        for each in self._found:
            try:
                shapes[self._form.of(each.decoder.shape(self.path / each.path))] += 1
            except InputRefused as error:
                refusals.add(IMAGE, error.message, "; ".join(filter(None, (error.hint, WHICH))), [each.number])
        refusals.raise_any()
        if len(shapes) > 1:
            raise InputRefused(_differ(shapes), _advice(shapes))
        (shape,) = shapes
        if (total := shape.size_bytes * len(self._found)) > self.limit_bytes:
            raise InputRefused(f"the images have {total} bytes decoded, and the limit is {self.limit_bytes}")
        return shape


def _differ(shapes: Counter[Shape]) -> str:
    shown = [f"{count} of {shape}" for shape, count in shapes.most_common(MOST_SHAPES)]
    rest = len(shapes) - len(shown)
    return f"the images are not of one form: {', '.join(shown)}{f' and {rest} further forms' if rest else ''}"


def _advice(shapes: Counter[Shape]) -> str:
    """What makes them of one form."""
    if not all(shape.is_picture for shape in shapes):
        return "make them of one size and depth"
    ((usual, _),) = shapes.most_common(1)
    advice = []
    if len({shape.sizes[1:] for shape in shapes}) > 1:
        advice.append(f"--image-size {usual.sizes[2]}x{usual.sizes[1]} scales each to that size")
    if len({shape.sizes[0] for shape in shapes}) > 1:
        advice.append("--grey or --colour makes all of them so")
    return "; ".join(advice)


def _walk(folder: Path) -> tuple[list[_Found], int]:
    """The images of a folder by the bytes of their paths, and how many files are none."""
    images, unread, others = list[_Found](), Counter[str](), 0
    for number, raw in enumerate(_files(folder), 1):
        path = PurePosixPath(os.fsdecode(raw))
        hidden = any(part.startswith(".") for part in path.parts) or path.name.lower() in SYSTEM_FILES
        if not hidden and (decoder := _decoder_of(path.name.lower())) is not None:
            images.append(_Found(number, path, decoder))
        elif not hidden and path.suffix.lower() in UNREAD:
            unread[path.suffix.lower()] += 1
        else:
            others += str(path) not in LABEL_FILES
    if unread:
        which = ", ".join(f"{count} {ending}" for ending, count in sorted(unread.items()))
        raise InputRefused(f"the folder has images of kinds that are not read: {which}", "save them as PNG")
    if not images:
        raise InputRefused(
            f"the folder has no image ({', '.join(DECODERS)})", "name the folder of the classes' folders"
        )
    return images, others


def _decoder_of(name: str) -> Decoder | None:
    return next((decoder for ending, decoder in DECODERS.items() if name.endswith(ending)), None)


def _files(folder: Path) -> list[bytes]:
    """The paths of all files in a folder, rising; what is no file, a link say, is refused."""
    root = os.fsencode(folder)
    files, refused = list[bytes](), Counter[str]()
    for where, folders, names in os.walk(root, onerror=_raise):
        for name in [*folders, *names]:
            path = os.path.join(where, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                files.append(os.path.relpath(path, root))
            elif not stat.S_ISDIR(mode):
                refused["links" if stat.S_ISLNK(mode) else "neither files nor folders"] += 1
    if refused:
        which = ", ".join(f"{count} that are {what}" for what, count in sorted(refused.items()))
        raise InputRefused(f"the folder has entries that are not read: {which}", "put the files themselves there")
    return sorted(files)


def _raise(error: OSError) -> None:
    raise error


def _labels_beside(path: Path, images: Sequence[_Found], limit_bytes: int) -> tuple[dict[str, list[str]], bool]:
    """What a CSV file says of each image, by column, and whether its numbers have a decimal
    comma."""
    _require_told_apart(images)
    file = CsvFile(path, None, limit_bytes)
    names = list(file.names)
    lowered = [name.lower() for name in names]
    key = next((lowered.index(name) for name in FILE_COLUMNS if name in lowered), None)
    if key is None:
        raise InputRefused(
            f"{path.name} has no column of the images' paths",
            f"call it {FILE_COLUMNS[0]}: its cells are such as a/1.png",
        )
    others = [position for position in range(len(names)) if position != key]
    if bad := [names[position] for position in others if names.count(names[position]) > 1]:
        raise InputRefused(f"{path.name}: the column {bad[0]!r:.80} stands twice", "rename it")
    if any(names[position] == IMAGE for position in others):
        raise InputRefused(
            f"{path.name}: a column is called {IMAGE!r} beside {names[key]!r}, as the images themselves are",
            "rename it",
        )
    rows = dict[str, dict[str, str]]()
    twice, unknown, paths = BadCells(), BadCells(), {_plain_path(str(each.path)) for each in images}
    for slab in file.slabs(range(len(names))):
        cells = {position: each for position, each in slab.cells.items() if isinstance(each, list)}
        for row, line in enumerate(slab.places):
            name = _plain_path(cells[key][row])
            for problem, noted in ((name in rows, twice), (name not in paths, unknown)):
                noted.add([line] if problem else [])
            rows[name] = {names[position]: cells[position][row] for position in others}
    by_path = "each image has one line, by its path from the folder on, such as a/1.png"
    for noted, what in ((twice, "the image stands twice"), (unknown, "there is no such image in the folder")):
        if noted.count:
            raise InputRefused(f"{path.name}: {noted.where('line')}: {what}", by_path)
    without = BadCells()
    without.add([each.number for each in images if _plain_path(str(each.path)) not in rows])
    if without.count:
        raise InputRefused(f"{without.where('image')}: {path.name} does not name it", f"give each a line; {WHICH}")
    columns = {
        names[position]: [rows[_plain_path(str(each.path))][names[position]] for each in images] for position in others
    }
    return columns, file.dialect["decimal"] == "comma"


def _require_told_apart(images: Sequence[_Found]) -> None:
    """Refuse images whose names people would write alike: a line would be about several."""
    paths, alike = Counter(_plain_path(str(each.path)) for each in images), BadCells()
    alike.add([each.number for each in images if paths[_plain_path(str(each.path))] > 1])
    if alike.count:
        raise InputRefused(
            f"{alike.where('image')} have one name, but for blanks or composed letters", f"rename them; {WHICH}"
        )


def _plain_path(text: str) -> str:
    """A path as people write it: in Unicode's composed form, without `./` before it."""
    return unicodedata.normalize("NFC", text.strip()).removeprefix("./")
