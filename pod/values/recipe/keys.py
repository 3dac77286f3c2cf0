"""Keys: what each key of a recipe file means, and what stands in its place where it is left out.

`fitchain recipe show` prints them, and docs/recipe.md is made of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a recipe file.

    Args:
        name: as it stands in the file.
        example: a value, as TOML writes it.
        default: what a draft takes without it, in words.
        meaning: a sentence.
    """

    name: str
    example: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Part:
    """Keys about one thing."""

    title: str
    keys: tuple[Key, ...]


PARTS = (
    Part(
        "What is trained on",
        (
            Key(
                "inputs",
                '[["age", "dose"], ["image"]]',
                "all columns but the target",
                "The columns of each argument of the model; a flat list is one argument.",
            ),
            Key("target", '"outcome"', "the card's", "The column that is predicted."),
            Key("rows", "[0, 400]", "all", "The records used, from the first to before the last."),
            Key(
                "transform",
                "{age = {mean = 50.0, scale = 12.0}}",
                "the card's",
                "Constants by column; a column without any enters as it is.",
            ),
            Key(
                "held_out",
                "0.2",
                "the least that the dataset asks for",
                "The share of the records that is never trained on and evaluates the model.",
            ),
            Key(
                "evaluate",
                '"segment"',
                '"end", with best "segment"',
                "When it is evaluated: after the last step, or after each segment.",
            ),
            Key(
                "best",
                '"accuracy"',
                "the last checkpoint",
                "Deliver the checkpoint with the best loss, accuracy, top5, f1, auc, mae or r2 on held-out records.",
            ),
        ),
    ),
    Part(
        "How long",
        (
            Key("batch_size", "32", "32, or the least that the dataset asks for", "Records of a step."),
            Key(
                "micro_batch",
                "8",
                "the whole batch",
                "Records that are computed at once, where a batch does not fit into memory: gradients accumulate.",
            ),
            Key("epochs", "20", "20", "Passes over the records."),
            Key("steps", "1000", "of the epochs", "Steps, in place of epochs."),
            Key("segment_steps", "10", "about 50 segments", "Steps from one checkpoint to the next."),
            Key("group_leaves", "16", "about three anchors", "Checkpoints that an anchor covers, a power of two."),
        ),
    ),
    Part(
        "What is lowered",
        (
            Key(
                "loss",
                '"cross_entropy"',
                "cross_entropy for classes, mse_loss for amounts, binary_cross_entropy_with_logits for labels",
                "cross_entropy, nll_loss, focal_loss, binary_cross_entropy_with_logits, dice_loss, mse_loss, l1_loss,"
                " smooth_l1_loss, huber_loss, quantile_loss, poisson_nll_loss, kl_div or ctc_loss.",
            ),
            Key(
                "reduction",
                '"mean"',
                '"mean", of kl_div "batchmean"',
                "How a batch's losses become one: mean, sum, or of kl_div batchmean, the mean over records.",
            ),
            Key(
                "weight", "[1.0, 3.5]", "1 for each", "A weight for each class, in the order of the card's categories."
            ),
            Key("pos_weight", "[3.5]", "1 for each", "Of a binary loss the weight of what is true, for each output."),
            Key(
                "ignore_index",
                "0",
                "none",
                "Of losses of classes: a class number that counts in no loss, no gradient and no result. One that no"
                " record can have, such as -100, is refused where the card tells the classes.",
            ),
            Key("label_smoothing", "0.1", "0", "Of cross_entropy: the share of a target that all classes have."),
            Key("focusing", "2.0", "2", "Of focal_loss: the power by which sure predictions count less."),
            Key("quantile", "0.9", "0.5", "Of quantile_loss: which quantile is predicted."),
            Key("beta", "1.0", "1", "Of smooth_l1_loss: the error from which it is linear."),
            Key("delta", "1.0", "1", "Of huber_loss: the error from which it is linear."),
            Key(
                "smooth",
                "1.0",
                "1",
                "Of dice_loss, which is of masks: added above and below, so that empty masks have a loss.",
            ),
            Key("log_input", "true", "true", "Of poisson_nll_loss: whether the model puts out the rate's logarithm."),
            Key("full", "false", "false", "Of poisson_nll_loss: whether Stirling's term is added."),
            Key(
                "blank",
                "0",
                "0",
                "Of ctc_loss: the class that no label has, and that fills a target up behind its labels.",
            ),
            Key("zero_infinity", "true", "false", "Of ctc_loss: whether a target that does not fit counts as 0."),
            Key("log_target", "true", "false", "Of kl_div: whether the target holds logarithms of shares."),
        ),
    ),
    Part(
        "How parameters move",
        (
            Key("optimizer", '"AdamW"', '"AdamW"', "SGD, Adam, AdamW, RMSprop, Adafactor, Lion or LAMB."),
            Key("weight_decay", "0.01", "0.01 of AdamW and LAMB, else 0", "The decay of the parameters."),
            Key(
                "betas",
                "[0.9, 0.999]",
                "[0.9, 0.999], of Lion [0.9, 0.99]",
                "Of Adam, AdamW, Lion and LAMB: the decays of both averages.",
            ),
            Key(
                "eps",
                "1e-8",
                "1e-8, 1e-6 of LAMB",
                "Added to the denominator; of Adafactor two numbers, [1e-16, 1e-3], the first may be left to torch.",
            ),
            Key("amsgrad", "true", "false", "Of Adam and AdamW: keep the largest second average."),
            Key("momentum", "0.9", "0.9, 0 of RMSprop", "Of SGD and RMSprop."),
            Key("dampening", "0.0", "0", "Of SGD: of the momentum."),
            Key("nesterov", "true", "false", "Of SGD: look ahead."),
            Key("alpha", "0.99", "0.99", "Of RMSprop: the decay of the average."),
            Key("centered", "true", "false", "Of RMSprop: divide by the deviation from the mean."),
            Key("beta2_decay", "-0.8", "-0.8", "Of Adafactor: the power by which the average's decay grows."),
            Key("d", "1.0", "1", "Of Adafactor: the length beyond which an update is shortened."),
            Key(
                "learning_rate",
                "0.001",
                "0.01 of SGD, RMSprop and Adafactor, 0.0001 of Lion, else 0.001",
                "The highest rate of the schedule.",
            ),
            Key(
                "schedule",
                '"cosine"',
                '"constant"',
                "constant, linear_warmup, linear, cosine, one_cycle or step.",
            ),
            Key("warmup_steps", "100", "0; 5 % of linear_warmup, 30 % of one_cycle", "Steps in which the rate rises."),
            Key("step_size", "300", "a third of the steps", "Of the schedule step: steps of one rate."),
            Key("gamma", "0.1", "0.1", "Of the schedule step: the factor from one rate to the next."),
            Key("minimum_learning_rate", "1e-5", "0", "Towards which linear, cosine and one_cycle fall."),
            Key("learning_rates", "[[100, 0.01], [900, 0.001]]", "the schedule's", "The table itself: steps and rate."),
            Key(
                "gradient_clip",
                "{norm = 1.0}",
                "none",
                "How far gradients go: norm shortens all of them together, value cuts each number; a number alone is"
                " a norm.",
            ),
            Key(
                "parameter_groups",
                '[{match = "head.*", rate = 10.0, weight_decay = 0.0}]',
                "none",
                "Parameters whose name matches first move at so many times the rate, with a decay of their own; a"
                " pattern that matches none is refused.",
            ),
            Key(
                "proximal",
                "0.01",
                "none",
                "FedProx's term: so strongly each step pulls towards the initial model; the loss that is told is"
                " without it.",
            ),
            Key(
                "ema",
                "0.999",
                "none",
                "Keep a running average of the weights, of which so much stays in a step: it is what is evaluated and"
                " delivered.",
            ),
        ),
    ),
    Part(
        "What is agreed on beside",
        (
            Key(
                "metrics",
                '["loss", "accuracy"]',
                "loss, and accuracy of classes",
                "What each checkpoint reports: loss, accuracy, top5, f1 of classes; mae of amounts.",
            ),
            Key("privacy", "{epsilon = 3.0}", "none", "Terms of differential privacy: epsilon or sigma, clip, grid."),
            Key("environment", '"cpu-x86-64-v3"', '"cpu-x86-64-v3"', "The class of processors that reproduce it."),
            Key("threads", "1", "1", "Threads of an operator."),
            Key("audit", "{}", "by the options of `job request`", "Terms of an audit, as the options name them."),
        ),
    ),
)
"""Every key, as `draft.TERMS` has them."""
