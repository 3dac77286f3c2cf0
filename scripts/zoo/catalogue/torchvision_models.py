"""torchvision: images and video."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from scripts.zoo.architecture import Architecture, image

CLASSES = 5
CNN = {
    "resnet18": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "shufflenet_v2_x0_5": 32,
    "squeezenet1_1": 32,
    "mnasnet0_5": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "efficientnet_v2_s": 32,
    "regnet_y_400mf": 32,
    "resnext50_32x4d": 32,
    "alexnet": 64,
    "convnext_tiny": 32,
}
SEGMENTATION = ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
VIDEO = ("r3d_18", "mc3_18", "r2plus1d_18")


def _all() -> Iterator[Architecture]:
    from torchvision import models

    for name, size in CNN.items():
        make = partial(getattr(models, name), num_classes=CLASSES)
        yield Architecture(f"torchvision/{name}", "vision CNN", make, image(size))
    make = partial(models.googlenet, num_classes=CLASSES, aux_logits=False, init_weights=False)
    yield Architecture("torchvision/googlenet", "vision CNN", make, image(64))
    small = partial(models.VisionTransformer, 32, 8, 2, 2, 32, 64, num_classes=CLASSES)
    yield Architecture("torchvision/vit", "vision transformer", small, image())
    for name, block in {"swin": None, "swin_v2": "SwinTransformerBlockV2"}.items():
        options = (
            {}
            if block is None
            else {
                "block": getattr(models.swin_transformer, block),
                "downsample_layer": models.swin_transformer.PatchMergingV2,
            }
        )
        swin = partial(
            models.SwinTransformer,
            [4, 4],
            16,
            [2, 2],
            [2, 4],
            [4, 4],
            stochastic_depth_prob=0.2,
            num_classes=CLASSES,
            **options,
        )
        yield Architecture(f"torchvision/{name}", "vision transformer", swin, image())
    maxvit = partial(
        models.MaxVit, (64, 64), 16, 2, [16, 32], [1, 1], 8, num_classes=CLASSES, stochastic_depth_prob=0.2
    )
    yield Architecture("torchvision/maxvit", "vision transformer", maxvit, image(64))
    for name in SEGMENTATION:
        make = partial(getattr(models.segmentation, name), weights=None, weights_backbone=None, num_classes=CLASSES)
        yield Architecture(f"torchvision/{name}", "segmentation", make, image(64), "out")
    for name in VIDEO:
        make = partial(getattr(models.video, name), num_classes=CLASSES)
        yield Architecture(f"torchvision/{name}", "video", make, (("F32", (3, 4, 32, 32)),))


ARCHITECTURES = tuple(_all())
