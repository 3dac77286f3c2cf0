"""segmentation_models_pytorch: an image in, an image out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from scripts.zoo.architecture import Architecture, image

DECODERS = [
    "Unet",
    "UnetPlusPlus",
    "MAnet",
    "Linknet",
    "FPN",
    "PSPNet",
    "PAN",
    "DeepLabV3",
    "DeepLabV3Plus",
    "UPerNet",
    "Segformer",
]
ENCODERS = ["mobilenet_v2", "efficientnet-b0", "tu-regnetx_002", "mit_b0", "densenet121"]


def _all() -> Iterator[Architecture]:
    import segmentation_models_pytorch as smp

    for name in DECODERS:
        make = partial(getattr(smp, name), "resnet18", encoder_weights=None, classes=2)
        yield Architecture(f"smp/{name}", "segmentation", make, image(128 if name == "PAN" else 64))
    for name in ENCODERS:
        make = partial(smp.Unet, name, encoder_weights=None, classes=2)
        yield Architecture(f"smp/Unet of {name}", "segmentation", make, image(64))


ARCHITECTURES = tuple(_all())
