"""Folders of DICOM and NIfTI files: an array a file, in the unit of its scale, and no tag of it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitchain.pod.compute.dataset import ImageForm, ReadingTerms, Table
from fitchain.pod.values.errors import InputRefused

pytestmark = pytest.mark.sources
LABELLED = ReadingTerms(target="label")


def pixels(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, 2_000, shape or (4, 5)).astype(np.int16)


def dicom(path: Path, stored: Any, **tags: Any) -> Path:
    """Write one as a scanner does, with a name in its tags."""
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

    scan: Any = pydicom.Dataset()
    scan.PatientName, scan.PatientID = "Lovelace^Ada", "Ada-1815"
    scan.SOPClassUID, scan.SOPInstanceUID = CTImageStorage, "1.2.3"
    scan.Rows, scan.Columns = stored.shape[-2:]
    scan.SamplesPerPixel, scan.PhotometricInterpretation, scan.PixelRepresentation = 1, "MONOCHROME2", 1
    scan.BitsAllocated, scan.BitsStored, scan.HighBit = 16, 16, 15
    scan.RescaleSlope, scan.RescaleIntercept = 2, -1024
    syntax = UID(tags.pop("syntax", ExplicitVRLittleEndian))
    scan.PixelData = encapsulate([stored.tobytes()]) if syntax.is_encapsulated else stored.tobytes()
    block = scan.private_block(0x0011, "ADA", create=True)
    block.add_new(1, "LO", "Ada's secret")
    for name, value in tags.items():
        setattr(scan, name, value)
    scan.file_meta = pydicom.dataset.FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = syntax
    scan.file_meta.MediaStorageSOPClassUID, scan.file_meta.MediaStorageSOPInstanceUID = CTImageStorage, "1.2.3"
    path.parent.mkdir(parents=True, exist_ok=True)
    scan.save_as(path, enforce_file_format=True)
    return path


def nifti(path: Path, values: Any, flipped: bool = False) -> Path:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-1.0 if flipped else 1.0, 1, 1, 1])
    library: Any = nibabel  # its types leave much open
    library.Nifti1Image(values[::-1] if flipped else values, affine).to_filename(path)
    return path


def test_dicom_files_are_read_in_the_unit_of_their_scale(tmp_path: Path) -> None:
    for number in range(4):
        dicom(tmp_path / ("ill", "well")[number % 2] / f"Ada{number}.dcm", pixels(number))
    table = Table.read(tmp_path, LABELLED)
    assert [column.name for column in table.columns] == ["image", "label"] and table.columns[0].dtype == "float32"
    assert np.array_equal(table.arrays["image"][1, 0], pixels(2) * 2.0 - 1024)
    assert b"Ada" not in b"".join(map(bytes, table.records())) and "Ada" not in str(table.reading)


def test_volumes_are_read_along_the_same_axes_packed_or_not(tmp_path: Path) -> None:
    values = pixels(1, 3, 4, 5)
    nifti(tmp_path / "a" / "1.nii", values)
    nifti(tmp_path / "a" / "2.nii.gz", values, flipped=True)
    image = Table.read(tmp_path, LABELLED).arrays["image"]
    assert image.shape == (2, 1, 3, 4, 5) and np.array_equal(image[0, 0], values) and np.array_equal(*image)


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"syntax": "1.2.840.10008.1.2.4.80"}, r"packed as JPEG-LS .* which is not read"),
        ({"syntax": "1.2.840.10008.1.2.1.99"}, r"all of it is packed \(deflated\)"),
        ({"NumberOfFrames": 2}, "several frames"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "not grey from dark to bright"),
        ({"Rows": 60_000, "Columns": 60_000}, "3600000000 numbers, and 536870912 are the limit"),
        ({"RescaleSlope": None}, "no intact DICOM file"),
        ({"PixelData": b"12"}, "no intact DICOM file"),
    ],
)
def test_other_dicom_files_are_refused_and_no_tag_is_told(tmp_path: Path, tags: dict[str, Any], message: str) -> None:
    dicom(tmp_path / "a" / "x.dcm", pixels(1), **tags)
    with pytest.raises(InputRefused, match=f"image 1, column 'image': .*{message}") as no:
        Table.read(tmp_path, LABELLED)
    assert "Ada" not in str(no.value) + no.value.hint


def test_damaged_scans_are_refused(tmp_path: Path) -> None:
    damaged(dicom(tmp_path / "a" / "1.dcm", pixels(1)))
    damaged(nifti(tmp_path / "a" / "2.nii", pixels(1, 3, 4, 5)))
    damaged(nifti(tmp_path / "a" / "3.nii.gz", pixels(1, 3, 4, 5)))
    (tmp_path / "a" / "4.nii").write_bytes(b"")
    (tmp_path / "a" / "5.dcm").write_bytes(b"Ada" * 100)
    with pytest.raises(InputRefused) as no:
        Table.read(tmp_path, LABELLED)
    assert "no intact NIfTI" in str(no.value) and "Ada" not in str(no.value)


def test_volume_that_unpacks_to_more_than_the_limit_is_refused_by_its_header(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a" / "x.nii", pixels(1, 2, 2, 2))
    data = bytearray(path.read_bytes())
    data[40:48] = np.array([3, 2_000, 2_000, 2_000], "<i2").tobytes()  # its axes (NIfTI-1, dim)
    (tmp_path / "a" / "x.nii.gz").write_bytes(gzip.compress(bytes(data)))
    path.unlink()
    with pytest.raises(InputRefused, match="it has 8000000000 numbers"):
        Table.read(tmp_path, LABELLED)


def test_scans_of_several_sizes_are_refused_and_never_scaled(tmp_path: Path) -> None:
    dicom(tmp_path / "a" / "1.dcm", pixels(1))
    dicom(tmp_path / "a" / "2.dcm", pixels(1, 4, 6))
    with pytest.raises(InputRefused, match="1 of 4 x 5 of float32, 1 of 4 x 6 of float32") as no:
        Table.read(tmp_path, LABELLED)
    assert no.value.hint == "make them of one size and depth"
    with pytest.raises(InputRefused, match=r"images 1 and 2, .* is neither scaled nor coloured"):
        Table.read(tmp_path, LABELLED, ImageForm((4, 4)))
