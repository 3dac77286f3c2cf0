"""The zoo: how its results are counted, and a dozen of its models."""

from __future__ import annotations

import json

import pytest
from torch import Tensor, nn

from fitchain.pod.compute.environment import DEFAULT
from scripts.zoo.__main__ import failed, lines, table
from scripts.zoo.architecture import Architecture, series
from scripts.zoo.trial import attempt

DOZEN = (
    "torchvision/mobilenet_v3_small",
    "timm/mixer_s32",
    "timm/swin_tiny_patch4_window7_224 with",
    "transformers/Bert",
    "transformers/GPT2",
    "transformers/Llama",
    "smp/FPN",
    "monai/UNet of",
    "rtdl_revisiting_models/FTTransformer",
    "transformers/PatchTSTForClassification",
    "transformers/Wav2Vec2",
    "peft/Lora on",
)


def result(outcome: str, family: str = "a", wrapped: bool = False) -> dict[str, object]:
    return {"family": family, "name": "x", "wrapped": wrapped, "outcome": outcome, "reason": "", "seconds": 1}


def test_results_are_counted_by_family() -> None:
    results = [result("equal"), result("equal", wrapped=True), result("differs"), result("refused", "b")]
    failing = [result("not built"), result("fails itself", "b")]
    rows = [line.split() for line in table([*results, *failing]).splitlines()[1:]]
    assert rows[:2] == [["a", "3", "1", "3", "2", "1"], ["b", "1", "0", "0", "0", "1"]]
    assert rows[2:] == [["all", "4", "1", "3", "2", "2"], ["25%", "75%", "50%"]]


@pytest.mark.parametrize(
    ("outcome", "code"), [("equal", 0), ("refused", 1), ("differs", 1), ("not built", 1), ("fails itself", 1)]
)
def test_a_single_model_that_is_not_equal_fails_a_zoo_of_few(outcome: str, code: int) -> None:
    assert failed([result("equal"), result(outcome)]) == code


@pytest.mark.parametrize(("is_its_own", "outcome"), [(True, "fails itself"), (False, "refused")])
def test_a_module_that_fails_without_us_is_not_counted_as_refused(is_its_own: bool, outcome: str) -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if is_its_own:
                raise ValueError("no such numbers")
            return x * x.sum().item()

    assert attempt(Architecture("x", "a", Failing, series()), DEFAULT).outcome == outcome


@pytest.mark.long
@pytest.mark.architectures
def test_a_dozen_models_train_to_the_bit() -> None:
    results = [json.loads(line) for line in lines(DOZEN)]
    assert len(results) >= len(DOZEN)
    assert [(each["name"], each["reason"]) for each in results if each["outcome"] != "equal"] == []
