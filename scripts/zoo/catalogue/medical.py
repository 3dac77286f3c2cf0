"""MONAI: slices and volumes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from scripts.zoo.architecture import Architecture, image, volume

FAMILY = "medical, 3-D"


def _all() -> Iterator[Architecture]:
    from monai.networks import nets

    def one(name: str, make: partial[object], size: int, output: str = "", flat: bool = False) -> Architecture:
        shape = image(size, 1) if flat else volume(size)
        return Architecture(f"monai/{name}", FAMILY, make, shape, output)  # type: ignore[arg-type]

    layers = {"channels": (4, 8, 16), "strides": (2, 2)}
    one_in = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
    yield one("UNet", partial(nets.UNet, **one_in, **layers, num_res_units=1), 16)
    yield one("UNet of 2 dimensions", partial(nets.UNet, 2, 1, 2, **layers), 32, flat=True)
    yield one("AttentionUnet", partial(nets.AttentionUnet, **one_in, **layers), 16)
    yield one("BasicUNet", partial(nets.BasicUNet, **one_in, features=(4, 4, 8, 8, 16, 4)), 32)
    yield one(
        "BasicUNet by interpolation",
        partial(nets.BasicUNet, **one_in, features=(4, 4, 8, 8, 16, 4), upsample="nontrainable"),
        32,
    )
    yield one("BasicUNetPlusPlus", partial(nets.BasicUNetPlusPlus, **one_in, features=(4, 4, 8, 8, 16, 4)), 32)
    kernels = {"kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [4, 8, 16]}
    yield one("DynUNet", partial(nets.DynUNet, **one_in, **kernels), 16)
    yield one("DynUNet with residuals", partial(nets.DynUNet, **one_in, **kernels, res_block=True), 16)
    yield one("UNETR", partial(nets.UNETR, 1, 2, (32, 32, 32), 4, 48, 64, 4), 32)
    yield one(
        "SwinUNETR", partial(nets.SwinUNETR, 1, 2, feature_size=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)), 64
    )
    yield one(
        "SwinUNETR v2, 2 dimensions",
        partial(
            nets.SwinUNETR,
            1,
            2,
            feature_size=12,
            depths=(1, 1, 1, 1),
            num_heads=(1, 1, 1, 1),
            spatial_dims=2,
            use_v2=True,
        ),
        64,
        flat=True,
    )
    yield one("VNet", partial(nets.VNet), 16)
    yield one("SegResNet", partial(nets.SegResNet, init_filters=8, blocks_down=(1, 1), blocks_up=(1,)), 16)
    yield one(
        "SegResNetVAE",
        partial(nets.SegResNetVAE, (16, 16, 16), init_filters=8, blocks_down=(1, 1), blocks_up=(1,)),
        16,
        "0",
    )
    yield one("HighResNet", partial(nets.HighResNet, **one_in), 16)
    yield one("DenseNet121", partial(nets.DenseNet121, **one_in), 32)
    yield one(
        "EfficientNetBN",
        partial(nets.EfficientNetBN, "efficientnet-b0", pretrained=False, spatial_dims=3, in_channels=1, num_classes=2),
        32,
    )
    yield one("ResNet10", partial(nets.resnet10, n_input_channels=1, num_classes=2), 16)
    yield one("SEResNet50", partial(nets.SEResNet50, spatial_dims=3, in_channels=1, num_classes=2), 32)
    yield one("ViT", partial(nets.ViT, 1, (16, 16, 16), (8, 8, 8), 48, 96, 2, 4, classification=True), 16, "0")
    yield one(
        "FlexibleUNet",
        partial(nets.FlexibleUNet, 1, 2, "efficientnet-b0", decoder_channels=(32, 16, 8, 8, 4), spatial_dims=2),
        64,
        flat=True,
    )
    yield one("RegUNet", partial(nets.RegUNet, 3, 1, 4, 2, out_channels=2), 16)
    yield one("AutoEncoder", partial(nets.AutoEncoder, **one_in, channels=(4, 8), strides=(2, 2)), 16)
    yield one("VarAutoEncoder", partial(nets.VarAutoEncoder, 3, (1, 16, 16, 16), 2, 8, (4, 8), (2, 2)), 16, "0")
    yield one("Classifier", partial(nets.Classifier, (1, 16, 16, 16), 2, (4, 8), (2, 2)), 16)
    yield one("Regressor", partial(nets.Regressor, (1, 16, 16, 16), (2,), (4, 8), (2, 2)), 16)
    yield one("SegResNetDS", partial(nets.SegResNetDS, 3, init_filters=8, blocks_down=(1, 1), out_channels=2), 16)
    yield one("Quicknat", partial(nets.Quicknat, 2, num_filters=4, num_channels=1), 32, flat=True)


ARCHITECTURES = tuple(_all())
