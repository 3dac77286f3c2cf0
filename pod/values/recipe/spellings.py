"""Spellings: what the names of a recipe are called elsewhere, so that whoever writes another is
told the one that is meant.

Only messages are made of it: a recipe has one name for each thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.fields import choice, refuse_unknown
from fitchain.pod.values.suggestions import hint

_LONGEST = 80
_ENDINGS = ("lr", "loss", "schedule", "scheduler", "optimizer")

OTHER_NAMES: Mapping[str, Mapping[str, str]] = {
    "schedule": {
        "1cycle": "one_cycle",
        "onecycle": "one_cycle",
        "cosineannealing": "cosine",
        "cosinewithwarmup": "cosine",
        "warmupcosine": "cosine",
        "warmup": "linear_warmup",
        "linearwithwarmup": "linear",
        "polynomial": "linear",
        "constantwithwarmup": "linear_warmup",
        "multistep": "step",
        "exponential": "step",
    },
    "loss": {
        "ce": "cross_entropy",
        "softmax": "cross_entropy",
        "categoricalcrossentropy": "cross_entropy",
        "sparsecategoricalcrossentropy": "cross_entropy",
        "nll": "nll_loss",
        "bce": "binary_cross_entropy_with_logits",
        "bcewithlogits": "binary_cross_entropy_with_logits",
        "binarycrossentropy": "binary_cross_entropy_with_logits",
        "sigmoidfocal": "focal_loss",
        "mse": "mse_loss",
        "l2": "mse_loss",
        "mae": "l1_loss",
        "pinball": "quantile_loss",
        "softdice": "dice_loss",
        "generaliseddice": "dice_loss",
        "kl": "kl_div",
        "connectionisttemporalclassification": "ctc_loss",
        "kldivergence": "kl_div",
    },
    "figure": {
        "acc": "accuracy",
        "top1": "accuracy",
        "balancedaccuracy": "f1",
        "top5accuracy": "top5",
        "f1score": "f1",
        "macrof1": "f1",
        "auroc": "auc",
        "rocauc": "auc",
        "rmse": "mae",
        "meanabsoluteerror": "mae",
        "r2score": "r2",
        "rsquared": "r2",
        "valloss": "loss",
        "evalloss": "loss",
        "validationloss": "loss",
    },
    "optimizer": {"momentum": "SGD", "adamax": "Adam", "nadam": "Adam", "radam": "Adam"},
    "recipe": {
        "accumulate": "micro_batch",
        "accumulategradbatches": "micro_batch",
        "gradientaccumulationsteps": "micro_batch",
        "microbatchsize": "micro_batch",
        "clipnorm": "gradient_clip",
        "clipvalue": "gradient_clip",
        "clipgradnorm": "gradient_clip",
        "maxgradnorm": "gradient_clip",
        "gradientclipval": "gradient_clip",
        "maxnorm": "gradient_clip",
        "lr": "learning_rate",
        "maxlr": "learning_rate",
        "minlr": "minimum_learning_rate",
        "etamin": "minimum_learning_rate",
        "lrscheduler": "schedule",
        "scheduler": "schedule",
        "warmup": "warmup_steps",
        "numwarmupsteps": "warmup_steps",
        "classweight": "weight",
        "classweights": "weight",
        "ignoreclass": "ignore_index",
        "ignoreindex": "ignore_index",
        "paramgroups": "parameter_groups",
        "groups": "parameter_groups",
        "fedprox": "proximal",
        "mu": "proximal",
        "proximalmu": "proximal",
        "emadecay": "ema",
        "average": "ema",
        "swa": "ema",
        "maxsteps": "steps",
        "numepochs": "epochs",
        "numtrainepochs": "epochs",
        "validation": "held_out",
        "validationsplit": "held_out",
        "testsize": "held_out",
        "earlystopping": "best",
        "metricforbestmodel": "best",
        "tau": "quantile",
        "wd": "weight_decay",
        "opt": "optimizer",
        "criterion": "loss",
    },
}
"""By key, or `recipe` for the keys themselves: names as they are said elsewhere, without marks and
in small letters, and the recipe's own."""

_ORDER = "the order of the records follows from a block of the chain, so that nobody chooses it"
_CLASS = 'the class of processors is `environment`, "cpu-x86-64-v3" say'
NO_KEYS: Mapping[str, str] = {
    **dict.fromkeys(("seed", "randomseed", "randomstate", "shuffle"), _ORDER),
    **dict.fromkeys(("device", "gpu", "cuda", "accelerator"), _CLASS),
    **dict.fromkeys(("dtype", "precision", "fp16", "bf16", "amp"), "a recipe computes in float32"),
    **dict.fromkeys(("dropout", "model", "weights", "pretrained"), "it is the model's: publish a module that has it"),
    **dict.fromkeys(("numworkers", "dataloader", "pinmemory"), "records lie in memory, and `threads` is of operators"),
    **dict.fromkeys(("price", "bond", "verifiers"), "it is an option of `fitchain job request`"),
    **dict.fromkeys(
        ("patience", "earlystoppingpatience"), "no training ends early; `best` delivers its best checkpoint"
    ),
}
"""Keys that stand in other programs' files and have no like here, and why; spelt as there."""


def meant(key: str, name: object, names: Iterable[str]) -> str:
    """A question that names what was meant; empty where nothing is near.

    Args:
        key: a key of `OTHER_NAMES`.
        name: what somebody wrote.
        names: the recipe's own.
    """
    names = tuple(names)
    if not isinstance(name, str) or len(name) > _LONGEST:
        return ""
    plain = _plain(name)
    own = {_plain(each): each for each in names}
    for spelt in (plain, *(plain.removesuffix(ending) for ending in _ENDINGS if plain.endswith(ending))):
        name_meant = own.get(spelt) or own.get(f"{spelt}loss") or OTHER_NAMES[key].get(spelt)
        if name_meant in names:
            return f"did you mean {name_meant}?"
    return hint(name, names)


def named(key: str, name: object, names: Iterable[str], kind: str = "") -> str:
    """Read one of some names, and tell what is meant by another.

    Args:
        key: what messages call it.
        name: what somebody wrote.
        names: the recipe's own.
        kind: a key of `OTHER_NAMES`, where it is not `key`.

    Raises:
        InputRefused: it is none of them.
    """
    names = tuple(names)
    try:
        return choice(key, name, names)
    except InputRefused as error:
        raise InputRefused(error.message, meant(kind or key, name, names)) from None


def require_known(what: str, keys: Iterable[str], names: Iterable[str]) -> None:
    """Refuse the first key that is none of a recipe file's.

    Raises:
        InputRefused: there is one.
    """
    keys, names = tuple(keys), tuple(names)
    try:
        refuse_unknown(what, keys, names)
    except InputRefused as error:
        unknown = next(key for key in keys if key not in names)
        raise InputRefused(error.message, _advice(unknown, names)) from None


def of_another(key: str, term: str, choices: Mapping[str, Iterable[str]]) -> str:
    """Which losses or optimizers have an argument that one of them lacks; empty where none has it.

    Args:
        key: `loss` or `optimizer`.
        term: the argument.
        choices: by name what each has.
    """
    having = [name for name, terms in choices.items() if term in terms]
    if not having:
        return ""
    return f'it is of {_or(having)}: write {key} = "{having[0]}", or leave it out'


def _advice(unknown: object, names: tuple[str, ...]) -> str:
    """What to write in place of a key that no recipe has."""
    if isinstance(unknown, str) and len(unknown) <= _LONGEST and (reason := NO_KEYS.get(_plain(unknown))):
        return reason
    return meant("recipe", unknown, names) or "`fitchain recipe show` tells every key"


def _or(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _plain(name: str) -> str:
    """Small letters and digits alone."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
