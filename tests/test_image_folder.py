"""A folder of images is read pixel for pixel, or refused with what is wrong of which image; nothing
is scaled, turned into grey or left out in silence."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fitchain.cli.table_options import image_form, one_dialect
from fitchain.pod.compute.dataset import (
    CsvDialect,
    ImageForm,
    Reading,
    ReadingTerms,
    Table,
    Task,
    assemble,
    check_unchanged,
    fit_transform,
    mock_table,
    register,
)
from fitchain.pod.values.errors import DatasetChanged, HostUnusable, InputRefused

if TYPE_CHECKING:
    from PIL import Image

pytestmark = pytest.mark.sources
KEY = bytes(range(32))
LABELLED = ReadingTerms(target="label")


def pillow() -> Any:
    """The library that reads them writes them, too."""
    import PIL.Image

    return PIL.Image


def pixels(seed: int = 0, *shape: int, dtype: Any = np.uint8) -> Any:
    """Random pixels, `[height, width]` or `[height, width, channels]`."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape or (6, 8, 3), dtype, endpoint=True)


def image_of(array: Any) -> Image.Image:
    image: Image.Image = pillow().fromarray(array)
    return image


def saved(path: Path, image: Any, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if hasattr(image, "save") else image_of(image)).save(path, **how)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight images in colour, 8 x 6, of two classes."""
    for number in range(8):
        saved(tmp_path / "pictures" / ("cat", "dog")[number % 2] / f"{number}.png", pixels(number))
    return tmp_path / "pictures"


def test_pixels_and_classes_are_read_as_they_are_in_the_order_of_their_paths(folder: Path) -> None:
    table = Table.read(folder, LABELLED)
    (image, label) = table.columns
    assert (image.dtype, image.shape, label.name) == ("uint8", (3, 6, 8), "label")
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    assert np.array_equal(table.arrays["image"], np.stack([pixels(n).transpose(2, 0, 1) for n in order]))
    assert table.categories["label"] == ("cat", "dog") and table.arrays["label"].tolist() == [0] * 4 + [1] * 4
    listed = subprocess.run(["sh", "-c", "find . -type f | LC_ALL=C sort"], cwd=folder, capture_output=True, text=True)
    assert listed.stdout.split() == [f"./{'cat' if n % 2 == 0 else 'dog'}/{n}.png" for n in order]


def test_pixels_enter_the_model_as_numbers_scaled_by_the_cards_constants(folder: Path) -> None:
    table = Table.read(folder, LABELLED)
    recipe = recipe_like(fit_transform(table, ranges={"image": (0, 255)}))
    (entering,), target = assemble(recipe, table)(np.arange(8, dtype=np.uint64))
    assert entering.dtype == np.float32 and entering.shape == (8, 3, 6, 8)
    assert np.array_equal(entering, (table.arrays["image"] / 255.0).astype(np.float32)) and target.tolist()[-1] == 1
    card = register(table, KEY, "pictures", ranges={"image": (0, 255)}).card
    mock = mock_table(card, table, 4, KEY)
    assert mock.columns == table.columns and set(mock.arrays["label"]) == {0, 1}


def recipe_like(transform: Any) -> Any:
    """What assembling reads of a recipe."""
    from types import SimpleNamespace

    loss = SimpleNamespace(name="cross_entropy")
    return SimpleNamespace(inputs=(("image",),), target="label", loss=loss, transform=transform, privacy=None)


def test_registered_folder_is_read_again_and_a_change_of_a_pixel_is_told(folder: Path) -> None:
    table = Table.read(folder, LABELLED, ImageForm((4, 4), "grey"))
    registered = register(table, KEY, "pictures")
    assert table.reading is not None
    (folder / "Thumbs.db").write_bytes(b"")  # what a tool leaves there is no record
    again = Table.read_as(folder, type(table.reading).from_json(table.reading.json()))
    check_unchanged(again, KEY, registered.root, registered.leaves)
    saved(folder / "cat" / "4.png", pixels(44))
    with pytest.raises(DatasetChanged, match="record 2 is the first that differs"):
        check_unchanged(Table.read_as(folder, table.reading), KEY, registered.root, registered.leaves)
    (folder / "dog" / "7.png").unlink()
    with pytest.raises(DatasetChanged):
        check_unchanged(Table.read_as(folder, table.reading), KEY, registered.root)


# Forms


def test_images_of_several_forms_are_refused_with_all_of_them_and_made_one_where_that_is_asked(folder: Path) -> None:
    saved(folder / "dog" / "x.png", pixels(9, 6, 9))
    saved(folder / "dog" / "y.png", pixels(9, 6, 8))
    forms = "8 of 8 x 6 in colour, 1 of 9 x 6 in grey, 1 of 8 x 6 in grey"
    with pytest.raises(InputRefused, match=forms) as no:
        Table.read(folder, LABELLED)
    assert "--image-size 8x6" in no.value.hint and "--grey or --colour" in no.value.hint
    with pytest.raises(InputRefused, match="9 of 8 x 6 in colour, 1 of 9 x 6 in colour"):
        Table.read(folder, LABELLED, ImageForm(colour="colour"))
    table = Table.read(folder, LABELLED, ImageForm((5, 4), "grey"))
    assert table.columns[0].shape == (1, 4, 5)
    whole = Table.read(folder, LABELLED, ImageForm((8, 6), "colour")).arrays["image"]
    assert np.array_equal(whole[0], pixels(0).transpose(2, 0, 1))  # what has that size is not touched
    grey = whole[9]
    assert np.array_equal(grey[0], pixels(9, 6, 8)) and np.array_equal(grey[0], grey[2])


def palette(transparent: bool = False) -> Any:
    image = image_of(pixels(1, 6, 8) % 4).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    if transparent:
        image.info["transparency"] = 1
    return image


def with_alpha(opaque: bool) -> Any:
    alpha = np.full((6, 8, 1), 255, np.uint8)
    alpha[2, 2] = 255 if opaque else 0
    return np.concatenate([pixels(2), alpha], axis=2)


def turned() -> bytes:
    """A picture of two rows that a camera took on its side."""
    exif = pillow().Exif()
    exif[0x0112] = 6
    return as_bytes(pixels(3, 2, 3, 3), "PNG", exif=exif)


def as_bytes(image: Any, format: str, **how: Any) -> bytes:
    data = io.BytesIO()
    (image if hasattr(image, "save") else image_of(image)).save(data, format, **how)
    return data.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


READ: dict[str, tuple[Callable[[], bytes], Callable[[], Any]]] = {
    "grey": (lambda: as_bytes(pixels(4, 6, 8), "PNG"), lambda: pixels(4, 6, 8)[None]),
    "one bit": (
        lambda: as_bytes(image_of(pixels(4, 6, 8)).point(lambda each: each > 99, "1"), "PNG"),
        lambda: (pixels(4, 6, 8) > 99)[None] * np.uint8(255),
    ),
    "16 bits of grey": (
        lambda: as_bytes(pixels(5, 6, 8, dtype=np.uint16), "PNG"),
        lambda: pixels(5, 6, 8, dtype=np.uint16)[None],
    ),
    "16 bits of grey in TIFF": (
        lambda: as_bytes(pixels(5, 6, 8, dtype=np.uint16), "TIFF"),
        lambda: pixels(5, 6, 8, dtype=np.uint16)[None],
    ),
    "palette": (lambda: as_bytes(palette(), "PNG"), lambda: np.asarray(palette().convert("RGB")).transpose(2, 0, 1)),
    "alpha without a use": (lambda: as_bytes(with_alpha(True), "PNG"), lambda: pixels(2).transpose(2, 0, 1)),
    "orientation": (turned, lambda: np.rot90(pixels(3, 2, 3, 3), -1).transpose(2, 0, 1)),
    "BMP": (lambda: as_bytes(pixels(6), "BMP"), lambda: pixels(6).transpose(2, 0, 1)),
    "TIFF": (lambda: as_bytes(pixels(6), "TIFF", compression="tiff_lzw"), lambda: pixels(6).transpose(2, 0, 1)),
    "JPEG under another name": (
        lambda: as_bytes(pixels(6), "JPEG"),
        lambda: np.asarray(pillow().open(io.BytesIO(as_bytes(pixels(6), "JPEG")))).transpose(2, 0, 1),
    ),
}


@pytest.mark.parametrize("what", READ)
def test_images_of_each_kind_are_read(tmp_path: Path, what: str) -> None:
    data, expected = READ[what]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(data())
    array = Table.read(tmp_path, ReadingTerms(only=("image",))).arrays["image"][0]
    assert array.dtype == expected().dtype and np.array_equal(array, expected())


def half(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "transparent pixels": (lambda: as_bytes(with_alpha(False), "PNG"), "it has transparent pixels"),
    "a transparent colour": (lambda: as_bytes(palette(True), "PNG", transparency=1), "it has transparent pixels"),
    "a transparent grey": (lambda: as_bytes(pixels(4, 6, 8) % 4, "PNG", transparency=1), "it has transparent pixels"),
    "CMYK": (lambda: as_bytes(image_of(pixels()).convert("CMYK"), "JPEG"), "of the mode CMYK"),
    "floats": (lambda: as_bytes(np.zeros((6, 8), np.float32), "TIFF"), "of the mode F"),
    "16 bits of colour": (lambda: png(1, 1, 16, 2, b"\0" + bytes(6)), "sixteen bits a colour"),
    "animated": (
        lambda: as_bytes(pixels(1), "PNG", save_all=True, append_images=[image_of(pixels(2))]),
        "several frames",
    ),
    "pages": (
        lambda: as_bytes(pixels(1), "TIFF", save_all=True, append_images=[image_of(pixels(2))]),
        "several frames",
    ),
    "truncated PNG": (lambda: half(as_bytes(pixels(), "PNG")), "no intact PNG, JPEG, BMP or TIFF image"),
    "truncated JPEG": (lambda: half(as_bytes(pixels(1, 64, 64, 3), "JPEG")), "no intact PNG"),
    "truncated TIFF": (lambda: half(as_bytes(pixels(), "TIFF")), "no intact PNG"),
    "a damaged checksum": (lambda: as_bytes(pixels(), "PNG").replace(b"IDAT", b"IDAX"), "no intact PNG"),
    "a bomb": (lambda: png(60_000, 60_000, 1, 0, bytes(100)), "more than 67108864 pixels"),
    "a smaller bomb": (lambda: png(9_000, 9_000, 1, 0, bytes(100)), "more than 67108864 pixels"),
    "a GIF": (lambda: as_bytes(pixels(4, 6, 8), "GIF"), "no intact PNG"),
    "a script": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n", "no intact PNG"),
    "nothing": (lambda: b"", "no intact PNG"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_other_images_are_refused_by_their_number_and_never_by_name(tmp_path: Path, what: str) -> None:
    data, message = REFUSED[what]
    for name in ("Ada Lovelace.png", "Thumbs.db", "Zuse.png"):
        (tmp_path / "cat").mkdir(exist_ok=True)
        (tmp_path / "cat" / name).write_bytes(data())
    with pytest.raises(InputRefused, match=f"images 1 and 3, column 'image': .*{message}") as no:
        Table.read(tmp_path, LABELLED)
    assert "Ada" not in str(no.value) + no.value.hint and "LC_ALL=C sort" in no.value.hint


def test_bytes_that_were_changed_anywhere_are_refused_or_decode(tmp_path: Path) -> None:
    random, refused = np.random.default_rng(1), 0
    for format in ("PNG", "JPEG", "BMP", "TIFF"):
        whole = as_bytes(pixels(), format)
        for _ in range(40):
            damaged = bytearray(whole)
            for position in random.integers(0, min(len(whole), 400), 3):
                damaged[position] = random.integers(0, 256)
            (tmp_path / "a").mkdir(exist_ok=True)
            (tmp_path / "a" / "x.png").write_bytes(damaged)
            try:
                Table.read(tmp_path)
            except InputRefused:
                refused += 1
    assert refused > 40


# What else lies in a folder


def test_links_and_other_kinds_of_images_are_refused_and_what_is_no_image_is_counted(folder: Path) -> None:
    for name in ("Thumbs.db", "cat/.DS_Store", ".git/x.png", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    table = Table.read(folder, LABELLED)
    assert table.count == 8 and table.reading is not None and table.reading.dialect == ImageForm(left_out=4)
    (folder / "dog" / "z.webp").write_bytes(b"")
    with pytest.raises(InputRefused, match=r"kinds that are not read: 1 \.webp"):
        Table.read(folder)
    (folder / "dog" / "z.webp").unlink()
    for target in (folder.parent, folder / "cat" / "0.png"):
        link = folder / "dog" / "link.png"
        link.symlink_to(target)
        with pytest.raises(InputRefused, match="1 that are links"):
            Table.read(folder)
        link.unlink()
    os.mkfifo(folder / "dog" / "pipe.png")
    with pytest.raises(InputRefused, match="1 that are neither files nor folders"):
        Table.read(folder)


def test_folders_without_images_or_classes_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputRefused, match="the folder has no image"):
        Table.read(tmp_path / "empty")
    saved(folder / "x.png", pixels())
    saved(folder / "dog" / "deeper" / "x.png", pixels())
    with pytest.raises(InputRefused, match="images 9 and 10 lie in no folder of a class") as no:
        Table.read(folder)
    assert "labels.csv" in no.value.hint
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputRefused, match="it is no folder of images"):
        Table.read(tmp_path / "t.csv", None, ImageForm((8, 8)))
    with pytest.raises(InputRefused, match="it is a folder"):
        Table.read(folder, None, CsvDialect(delimiter="tab"))


def test_more_pixels_than_the_limit_are_refused_before_one_is_decoded(folder: Path) -> None:
    with pytest.raises(InputRefused, match="the images have 1152 bytes decoded, and the limit is 1000"):
        Table.read(folder, LABELLED, limit_bytes=1_000)


# Labels beside


def test_folders_are_classes_though_they_be_numbers(tmp_path: Path) -> None:
    for number in range(9):
        saved(tmp_path / "pictures" / ("3", "10", "200")[number % 3] / f"{number}.png", pixels(number))
    table = Table.read(tmp_path / "pictures", LABELLED)
    assert (table.task, table.categories["label"]) == (Task.CLASSIFICATION, ("10", "200", "3"))


def test_folders_that_are_called_alike_are_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("caf\u00e9", "cafe\u0301")):
        saved(tmp_path / "pictures" / name / f"{number}.png", pixels(number))
    with pytest.raises(InputRefused, match="two folders of classes are called alike"):
        Table.read(tmp_path / "pictures", LABELLED)


def test_labels_beside_say_what_the_images_are(folder: Path) -> None:
    rows = [f"{'cat' if n % 2 == 0 else 'dog'}/{n}.png;{n},5;{'ill' if n < 4 else 'well'}" for n in (7, *range(7))]
    (folder / "labels.csv").write_text("\n".join(["file_name;age;finding", *rows]))
    table = Table.read(folder, ReadingTerms(target="finding"))
    assert [column.name for column in table.columns] == ["image", "age", "finding"]
    assert table.arrays["age"].tolist() == [0.5, 2.5, 4.5, 6.5, 1.5, 3.5, 5.5, 7.5]
    assert table.arrays["finding"].tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    without_pictures = Table.read(folder, ReadingTerms(target="finding", drop=("image",)))
    assert without_pictures.count == 8


def test_images_that_a_labels_file_cannot_tell_apart_are_refused(folder: Path) -> None:
    for number, name in enumerate(("caf\u00e9.png", "cafe\u0301.png")):
        saved(folder / "cat" / name, pixels(number))
    (folder / "labels.csv").write_text("file_name,y\ncat/caf\u00e9.png,1\n")
    with pytest.raises(InputRefused, match=r"images 5 and 6 have one name, but for blanks or composed letters"):
        Table.read(folder)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file_name,y", "cat/0.png,1"], "images 2, 3, 4, 5 and 3 more: labels.csv does not name it"),
        (["file_name,y", "cat/0.png,1", "Ada.png,1"], "line 3: there is no such image"),
        (["file_name,y", "cat/0.png,1", "./cat/0.png,2"], "line 3: the image stands twice"),
        (["file_name,y", "../pictures/cat/0.png,1"], "line 2: there is no such image"),
        (["picture,y", "cat/0.png,1"], "no column of the images' paths"),
        (["file_name,image", "cat/0.png,1"], "a column is called 'image' beside 'file_name'"),
    ],
)
def test_labels_that_do_not_fit_the_images_are_refused(folder: Path, lines: list[str], message: str) -> None:
    (folder / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(InputRefused, match=message) as no:
        Table.read(folder)
    assert "Ada" not in str(no.value)


# From the command line


def test_form_is_asked_for_in_words(folder: Path) -> None:
    assert image_form("64x48", True) == ImageForm((64, 48), "grey") and image_form(None, None) is None
    assert image_form(None, False) == ImageForm(None, "colour")
    for wrong in ("64", "64x", "ax8", "0x8", "1000000x1000000"):
        with pytest.raises(InputRefused):
            image_form(wrong, None)
    with pytest.raises(InputRefused, match="a text or a folder of images"):
        one_dialect(CsvDialect(), ImageForm())


def test_library_that_is_missing_is_named_with_the_next_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "PIL"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(HostUnusable, match="Pillow, which is not installed") as no:
        Table.read(folder)
    assert "images" in no.value.hint


def test_table_of_another_shape_is_refused_where_it_is_read_like_a_registered_one(folder: Path, tmp_path: Path) -> None:
    table = Table.read(folder, LABELLED)
    assert table.reading is not None
    for shape in ((6, 8), (3, 8, 6), (3, 6, 9)):
        np.savez(tmp_path / "t.npz", image=np.zeros((2, *shape), np.uint8), label=np.zeros(2, np.int64))
        with pytest.raises(InputRefused, match=r"the cell is of shape .* and the column of"):
            Table.read_as(tmp_path / "t.npz", Reading(None, table.reading.schema))
    assert Table.read_as(folder, Reading(None, table.reading.schema)).count == 8
