"""timm: CNNs, transformers and what lies between."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from scripts.zoo.architecture import Architecture, image

CNN = [
    "resnet10t",
    "resnet14t",
    "resnetv2_18",
    "seresnet18",
    "efficientnet_lite0",
    "mobilenetv4_conv_small",
    "mobilenetv3_small_050",
    "ghostnet_100",
    "lcnet_035",
    "tinynet_e",
    "regnetx_002",
    "regnety_002",
    "fbnetc_100",
    "mixnet_s",
    "repvgg_a0",
    "repghostnet_050",
    "mobileone_s0",
    "convnext_atto",
    "convnextv2_atto",
    "inception_next_atto",
    "starnet_s1",
    "hrnet_w18_small_v2",
    "dla34",
    "selecsls42",
    "resnest14d",
    "skresnet18",
    "ese_vovnet19b_dw",
    "rexnetr_100",
    "nf_resnet26",
    "eca_nfnet_l0",
    "gernet_s",
    "res2net50_14w_8s",
    "resnetblur18",
    "semnasnet_075",
    "spnasnet_100",
    "hgnetv2_b0",
    "mambaout_femto",
    "darknet17",
    "cspresnet50",
    "dpn48b",
    "resnet26d",
    "ecaresnet26t",
    "hardcorenas_a",
    "fasternet_t0",
    "rdnet_tiny",
    "lambda_resnet26t",
    "vovnet39a",
    "densenet121",
    "xception41",
    "mobilenet_edgetpu_v2_xs",
]
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": {"img_size": 32, "depth": 2},
    "deit_tiny_patch16_224": {"img_size": 32, "depth": 2},
    "deit3_small_patch16_224": {"img_size": 32, "depth": 2},
    "flexivit_small": {"img_size": 32, "depth": 2},
    "cait_xxs24_224": {"img_size": 32, "depth": 2},
    "xcit_nano_12_p16_224": {"img_size": 32, "depth": 2},
    "beit_base_patch16_224": {"img_size": 32, "depth": 2, "embed_dim": 48, "num_heads": 3},
    "beitv2_base_patch16_224": {"img_size": 32, "depth": 2, "embed_dim": 48, "num_heads": 3},
    "eva02_tiny_patch14_224": {"img_size": 28, "depth": 2},
    "swin_tiny_patch4_window7_224": {"img_size": 32, "window_size": 4, "depths": (1, 1, 1, 1)},
    "swinv2_tiny_window8_256": {"img_size": 64, "window_size": 4, "depths": (1, 1, 1, 1)},
    "swin_s3_tiny_224": {"img_size": 64, "depths": (1, 1, 1, 1), "window_size": (4, 4, 4, 2)},
    "hiera_tiny_224": {"img_size": 64},
    "mixer_s32_224": {"img_size": 64},
    "gmlp_ti16_224": {"img_size": 64},
    "resmlp_12_224": {"img_size": 64},
    "twins_svt_small": {"img_size": 64, "depths": (1, 1, 1, 1)},
    "twins_pcpvt_small": {"img_size": 64, "depths": (1, 1, 1, 1)},
    "convit_tiny": {"img_size": 32, "depth": 2, "local_up_to_layer": 1},
    "pit_ti_224": {"img_size": 64, "depth": (1, 1, 1)},
    "tnt_s_legacy_patch16_224": {"img_size": 32, "depth": 2},
    "nest_tiny_jx": {"img_size": 64},
    "volo_d1_224": {"img_size": 64},
    "sequencer2d_s": {"layers": (1, 1, 1, 1), "img_size": 64},
    "coat_tiny": {"img_size": 64, "serial_depths": (1, 1, 1, 1), "parallel_depth": 1},
    "coat_lite_tiny": {"img_size": 64},
    "pvt_v2_b0": {},
    "levit_128s": {"img_size": 64},
    "mobilevit_xxs": {},
    "mobilevitv2_050": {},
    "edgenext_xx_small": {},
    "efficientformer_l1": {"img_size": 224},
    "efficientformerv2_s0": {"img_size": 64},
    "efficientvit_b0": {},
    "efficientvit_m0": {"img_size": 64},
    "fastvit_t8": {},
    "gcvit_xxtiny": {"img_size": 224},
    "davit_tiny": {"depths": (1, 1, 1, 1)},
    "coatnet_pico_rw_224": {"img_size": 64},
    "maxvit_rmlp_pico_rw_256": {"img_size": 64},
    "mvitv2_tiny": {"img_size": 64},
    "crossvit_tiny_240": {"img_size": 240},
    "poolformer_s12": {},
    "poolformerv2_s12": {},
    "caformer_s18": {},
    "repvit_m0_9": {},
    "swiftformer_xs": {},
    "shvit_s1": {},
    "visformer_tiny": {"img_size": 64},
    "focalnet_tiny_srf": {},
    "botnet26t_256": {"img_size": 64},
    "vitamin_small_224": {"img_size": 64},
    "nextvit_small": {},
}
"""By what makes them small. What takes no size of its images has 64."""
DROPS = ("swin_tiny_patch4_window7_224", "vit_tiny_patch16_224", "convnext_atto", "mambaout_femto")
"""Those that are tried with stochastic depth, too."""


def _all() -> Iterator[Architecture]:
    import timm

    for name in CNN:
        yield _one(timm, name, "vision CNN", {}, 64)
    for name, options in TRANSFORMERS.items():
        yield _one(timm, name, "vision transformer", options, options.get("img_size", 64))
    for name in DROPS:
        options = {**TRANSFORMERS.get(name, {}), "drop_path_rate": 0.3}
        family = "vision transformer" if name in TRANSFORMERS else "vision CNN"
        yield _one(timm, name, family, options, options.get("img_size", 64), " with stochastic depth")


# Many parameters: a row of a table.
def _one(timm: Any, name: str, family: str, options: dict[str, Any], size: int, how: str = "") -> Architecture:
    make = partial(timm.create_model, name, pretrained=False, num_classes=5, **options)
    return Architecture(f"timm/{name}{how}", family, make, image(size))


ARCHITECTURES = tuple(_all())
