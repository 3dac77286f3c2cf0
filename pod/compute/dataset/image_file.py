"""Images, each decoded by Pillow (the extra `images`) to pixels `[channels, height, width]`.

Eight bits a pixel in grey or colour, or sixteen in grey; PNG, JPEG, BMP and TIFF by their content,
whatever their names end in. What would be lost on the way to such an array is refused: transparent
pixels, further frames, sixteen bits of a colour, other spaces of colour. Orientations that a camera
notes are applied; profiles of colour are not.
"""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fitchain.pod.compute.dataset.columns import Array
from fitchain.pod.values.errors import HostUnusable, InputRefused
from fitchain.pod.values.limits import IMAGE_FILE_BYTES, IMAGE_PIXELS
from fitchain.pod.values.recipe.fields import Fields, integer

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
GREY, COLOUR = "grey", "colour"
COLOURS = {GREY: ("L", 1), COLOUR: ("RGB", 3)}
"""How pixels may be asked for: Pillow's mode, and how many channels that has."""
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_DEEP = ("I;16", "I;16B", "I;16L")
_GREYS = ("1", "L", "LA")
_READABLE = (*_GREYS, "P", "PA", "RGB", "RGBA", *_DEEP)
_TRANSPARENT = ("LA", "PA", "RGBA")
_ORIENTATION = 0x0112
_OPAQUE = (255, 255)
_DAMAGE = (
    *(OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, AttributeError, OverflowError),
    *(MemoryError, ZeroDivisionError, RuntimeError, struct.error, zlib.error),
)
"""What Pillow's readers raise at bytes that are no intact image."""


@dataclass(frozen=True, slots=True)
class ImageForm:
    """What images of a folder are made of one form by; None leaves them as they are.

    Args:
        size: width and height in pixels, to which each is scaled, whatever its own proportions.
        colour: a key of `COLOURS`.
        left_out: how many files of the folder are none of its images.
    """

    size: tuple[int, int] | None = None
    colour: str | None = None
    left_out: int = 0

    def __post_init__(self) -> None:
        if self.size is not None and (min(self.size) < 1 or self.size[0] * self.size[1] > IMAGE_PIXELS):
            raise InputRefused(f"an image has 1 to {IMAGE_PIXELS} pixels, not {self.size[0]} x {self.size[1]}")

    def json(self) -> dict[str, Any]:
        """The form that a registration keeps."""
        size = None if self.size is None else list(self.size)
        return {"size": size, "colour": self.colour, "left_out": self.left_out}

    @classmethod
    def from_json(cls, value: Any) -> ImageForm:
        """Read the form that a registration keeps.

        Raises:
            InputRefused: it is another.
        """
        fields = Fields("how images are read", value, ("size", "colour", "left_out"))
        size = None
        if value["size"] is not None:
            width, height = (integer("a size", each, 1, IMAGE_PIXELS) for each in fields.items("size", 2, 2))
            size = (width, height)
        colour = None if value["colour"] is None else fields.choice("colour", list(COLOURS))
        return cls(size, colour, fields.integer("left_out", 0, 1 << 40))

    def of(self, shape: Shape) -> Shape:
        """The shape that pixels of a shape get.

        Raises:
            InputRefused: they cannot.
        """
        if not shape.is_picture and (self.size or self.colour):
            raise InputRefused("it is no image of eight bits a pixel, and is neither scaled nor coloured")
        channels, *rest = shape.sizes
        sizes = rest if self.size is None else self.size[::-1]
        return Shape((COLOURS[self.colour][1] if self.colour else channels, *sizes), shape.dtype)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a file decodes to: `[channels, ...]` and a dtype."""

    sizes: tuple[int, ...]
    dtype: str

    @property
    def size_bytes(self) -> int:
        """Of one array."""
        return math.prod(self.sizes) * np.dtype(self.dtype).itemsize

    @property
    def is_picture(self) -> bool:
        """Whether it is an image of eight bits a pixel."""
        return len(self.sizes) == 3 and self.dtype == "uint8"

    def __str__(self) -> str:
        if len(self.sizes) == 3 and self.dtype != "float32":
            channels, height, width = self.sizes
            depth = "" if self.is_picture else " of 16 bits"
            return f"{width} x {height} in {GREY if channels == 1 else COLOUR}{depth}"
        return f"{' x '.join(map(str, self.sizes[1:]))} of {self.dtype}"


def _pillow() -> Any:
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError:
        raise HostUnusable(
            "images are read by Pillow, which is not installed",
            "install the extra `images` (in a checkout: pip install -e '.[images]')",
        ) from None
    return PIL


def image_shape(path: Path) -> Shape:
    """What an image decodes to, as its header has it.

    Raises:
        HostUnusable: Pillow is not installed.
        InputRefused: it is no such image; the message does not name it.
        OSError: it cannot be read.
    """
    with _opened(path) as image:
        deep = image.mode in _DEEP
        height, width = image.height, image.width
        # Pillow turns a TIFF's size as its orientation says by itself.
        if image.format != "TIFF" and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8):
            height, width = width, height
        return Shape((1 if deep or image.mode in _GREYS else 3, height, width), "uint16" if deep else "uint8")


def decode_image(path: Path, form: ImageForm) -> Array:
    """An image's pixels `[channels, height, width]`, uint8 or uint16, in a form.

    Raises:
        HostUnusable, InputRefused, OSError: as `image_shape`.
    """
    with _opened(path) as image:
        turned = _pillow().ImageOps.exif_transpose(image)
        if turned.mode in _DEEP:
            return np.ascontiguousarray(np.asarray(turned).astype(np.uint16)[None])
        plain = _without_alpha(turned)
        if form.colour is not None:
            plain = plain.convert(COLOURS[form.colour][0])
        if form.size is not None and plain.size != form.size:
            plain = plain.resize(form.size, _pillow().Image.Resampling.BILINEAR)
        pixels = np.asarray(plain)
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def _without_alpha(image: Image.Image) -> Image.Image:
    """Pixels in grey or colour."""
    mode = COLOURS[GREY if image.mode in _GREYS else COLOUR][0]
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        whole = image.convert("RGBA")
        if whole.getchannel("A").getextrema() != _OPAQUE:
            raise InputRefused("it has transparent pixels", "save such images on a background, without transparency")
        return whole.convert("RGB").convert(mode)
    return image.convert(mode)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    pillow = _pillow()
    if (size := path.stat().st_size) > IMAGE_FILE_BYTES:
        raise InputRefused(f"it has {size} bytes, and {IMAGE_FILE_BYTES} are the limit")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that say nothing of the pixels
            warnings.filterwarnings("error", "Corrupt EXIF")  # which says how a picture is turned
            warnings.simplefilter("error", pillow.Image.DecompressionBombWarning)
            with pillow.Image.open(path, formats=_FORMATS) as image:
                _require_plain(image)
                yield image
    except (pillow.Image.DecompressionBombWarning, pillow.Image.DecompressionBombError):
        raise InputRefused(f"it has more than {IMAGE_PIXELS} pixels", "scale such images down") from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise InputRefused("it is no intact PNG, JPEG, BMP or TIFF image", "save such images anew") from None
    except Warning:
        raise InputRefused("what it says of its orientation is damaged", "save such images anew") from None


def _require_plain(image: Image.Image) -> None:
    """Refuse what an array of pixels would not tell."""
    if image.width * image.height > IMAGE_PIXELS:
        raise InputRefused(f"it has more than {IMAGE_PIXELS} pixels", "scale such images down")
    if getattr(image, "n_frames", 1) > 1:
        raise InputRefused("it has several frames", "save each of them as an image of its own")
    if image.mode not in _READABLE or (image.mode in _DEEP and "transparency" in image.info):
        raise InputRefused(f"it is of the mode {image.mode}", "save such images in colour (RGB) or grey")
    raws = [str(tile[3]) for tile in getattr(image, "tile", ())]
    if image.format in ("PNG", "TIFF") and image.mode not in _DEEP and any(";16" in raw for raw in raws):
        raise InputRefused("it has sixteen bits a colour, of which eight would be lost", "save such images with eight")
