"""Scans, each an array `[1, ...]` of float32: DICOM files by pydicom, NIfTI by nibabel (the extra
`scans`).

Numbers are what the file's own scale makes of them: of CT, Hounsfield units. Nothing else of a file
is read into a record, a card or a message: no tag, whether private or not. What is burned into the
pixels of an image, a name say, is part of them and cannot be seen here.
"""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.columns import Array
from fitchain.pod.compute.dataset.image_file import ImageForm, Shape
from fitchain.pod.values.errors import HostUnusable, InputRefused
from fitchain.pod.values.limits import IMAGE_FILE_BYTES, SCAN_BYTES

DICOM_ENDINGS, NIFTI_ENDINGS = (".dcm", ".dicom"), (".nii", ".nii.gz")
_DAMAGE = (
    *(OSError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError),
    *(RuntimeError, struct.error, zlib.error, AssertionError),
)
_NO_LIBRARY = "install the extra `scans` (in a checkout: pip install -e '.[scans]')"


def dicom_shape(path: Path) -> Shape:
    """What a DICOM file decodes to, as its header has it.

    Raises:
        HostUnusable: pydicom is not installed.
        InputRefused: it is no such file; the message does not name it, and tells no tag.
        OSError: it cannot be read.
    """
    with _dicom(path, without_pixels=True) as scan:
        return _shape((int(scan.Rows), int(scan.Columns)))


def decode_dicom(path: Path, _: ImageForm) -> Array:
    """The pixels of a DICOM file, `[1, rows, columns]`, in the unit of its rescale slope.

    Source: DICOM PS3.3, C.11.1 (Modality LUT).

    Raises:
        HostUnusable, InputRefused, OSError: as `dicom_shape`.
    """
    with _dicom(path) as scan:
        slope, intercept = (
            float(scan.get(name, usual)) for name, usual in (("RescaleSlope", 1), ("RescaleIntercept", 0))
        )
        return _array(scan.pixel_array * slope + intercept)


@contextmanager
def _dicom(path: Path, without_pixels: bool = False) -> Iterator[Any]:
    try:
        import pydicom
        import pydicom.errors
        import pydicom.filereader
        import pydicom.pixels.decoders.base
    except ImportError:
        raise HostUnusable("DICOM files are read by pydicom, which is not installed", _NO_LIBRARY) from None
    with _intact(path, "DICOM", (*_DAMAGE, pydicom.errors.InvalidDicomError)):
        syntax = pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID
        if syntax.is_deflated:  # what it unpacks to, no header says
            raise InputRefused("all of it is packed (deflated)", "unpack such files (dcmconv --write-xfer-little)")
        scan = pydicom.dcmread(path, stop_before_pixels=without_pixels)
        if syntax.is_compressed and not pydicom.pixels.decoders.base.get_decoder(syntax).is_available:
            raise InputRefused(
                f"its pixels are packed as {syntax.name}, which is not read",
                "unpack such files (dcmdjpeg, gdcmconv --raw), or save their images as PNG",
            )
        if int(scan.get("NumberOfFrames", 1) or 1) != 1:
            raise InputRefused("it has several frames", "save each of them as a file of its own")
        if scan.PhotometricInterpretation != "MONOCHROME2" or "ModalityLUTSequence" in scan:
            raise InputRefused("its pixels are not grey from dark to bright (MONOCHROME2)", "convert such files")
        yield scan


def nifti_shape(path: Path) -> Shape:
    """What a NIfTI file decodes to, as its header has it.

    Raises:
        HostUnusable: nibabel is not installed.
        InputRefused: it is no such file; the message does not name it, and tells nothing of it.
        OSError: it cannot be read.
    """
    with _nifti(path) as volume:
        return _shape(tuple(map(int, volume.shape)))


def decode_nifti(path: Path, _: ImageForm) -> Array:
    """The volume of a NIfTI file, `[1, x, y, z]`, along the axes that are nearest to right, front
    and top.

    Raises:
        HostUnusable, InputRefused, OSError: as `nifti_shape`.
    """
    with _nifti(path) as volume:
        return _array(volume.get_fdata(caching="unchanged"))


@contextmanager
def _nifti(path: Path) -> Iterator[Any]:
    try:
        import nibabel
        import nibabel.filebasedimages
        import nibabel.spatialimages
        import nibabel.wrapstruct
    except ImportError:
        raise HostUnusable("NIfTI files are read by nibabel, which is not installed", _NO_LIBRARY) from None
    errors = (
        nibabel.filebasedimages.ImageFileError,
        nibabel.spatialimages.HeaderDataError,
        nibabel.wrapstruct.WrapStructError,
    )
    with _intact(path, "NIfTI", (*_DAMAGE, *errors)):
        library: Any = nibabel  # its types leave much open
        volume = library.Nifti1Image.from_filename(path)
        if len(volume.shape) != 3 or volume.get_data_dtype().kind not in "iuf":
            raise InputRefused("it is no volume of three axes of numbers", "save such files as single volumes")
        _shape(tuple(map(int, volume.shape)))  # before a byte of it is unpacked
        yield library.as_closest_canonical(volume)


@contextmanager
def _intact(path: Path, what: str, damage: tuple[type[Exception], ...]) -> Iterator[None]:
    if (size := path.stat().st_size) > IMAGE_FILE_BYTES:
        raise InputRefused(f"it has {size} bytes, and {IMAGE_FILE_BYTES} are the limit")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they repeat what stands in tags
            yield
    except damage as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise InputRefused(f"it is no intact {what} file", "leave it out, or export it anew") from None


def _shape(sizes: tuple[int, ...]) -> Shape:
    shape = Shape((1, *sizes), "float32")
    if min(sizes) < 1 or math.prod(sizes) * 8 > SCAN_BYTES:
        raise InputRefused(f"it has {math.prod(sizes)} numbers, and {SCAN_BYTES // 8} are the limit")
    return shape


def _array(values: Any) -> Array:
    with np.errstate(over="ignore"):
        array: Array = np.ascontiguousarray(np.asarray(values)[None].astype(np.float32))
    return array
