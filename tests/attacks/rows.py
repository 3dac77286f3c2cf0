"""The attacks, one a row: how each is tried, what catches it, where. `scripts/attacks.py` prints
them, test_rows.py plays them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from fitchain.pod.ports.sealed import new_identity
from tests.attacks import by_owners as owners
from tests.attacks import certificates, cheats, deployments, pod_rules
from tests.attacks import on_chain as chain
from tests.attacks.attack import Attack
from tests.attacks.attack_lab import Caught
from tests.attacks.by_default import DEFAULT_ATTACKS
from tests.attacks.by_models import MODEL_ATTACKS
from tests.attacks.by_owners import (
    CHECKS,
    DELIVERY,
    OPENING,
    REPLAY,
    WHOLE,
    named,
    of_the_evidence,
    of_the_job,
    retrained,
)
from tests.attacks.by_private_owners import PRIVATE_ATTACKS, PRIVATE_POD_ATTACKS
from tests.attacks.certificates import VERIFIER
from tests.attacks.deployments import CONNECTION
from tests.attacks.on_chain import CONTRACT, DEADLINE, DRAW, RELEASE, TALLY
from tests.attacks.on_forge import FORGE_ATTACKS
from tests.attacks.with_pods import POD_ATTACKS
from tests.attacks.with_terms import TERMS_ATTACKS

EVERY = (0, 1, 2, 3, 4, 5)
LOST = "price back to the scientist, bond forfeited"
KEPT = "price due and bond to the owner"


def segments(by: str, faked: tuple[int, ...], says: str) -> Caught:
    """Caught in segments, where all are audited."""
    return Caught(by, named(faked), says, faked)


WITH_PODS = (*POD_ATTACKS, *DEFAULT_ATTACKS, *TERMS_ATTACKS, *PRIVATE_POD_ATTACKS)

TRAININGS = (
    Attack(
        "no training",
        "the agreed initial model at every leaf, with invented metrics",
        segments(REPLAY, EVERY, "Mismatch: "),
        of_the_job(cheats.untrained),
    ),
    Attack(
        "random weights returned",
        "an honest training, and random weights as its last state and delivery",
        segments(REPLAY, (5,), "Mismatch: model root"),
        of_the_job(cheats.random_weights),
    ),
    Attack(
        "fewer steps",
        "half of the steps, then the same state at every leaf",
        segments(REPLAY, (3, 4, 5), "Mismatch: "),
        of_the_job(partial(cheats.fewer_steps, index=3)),
    ),
    Attack(
        "an end that was none",
        "half of the steps, then the claim that the training diverged",
        Caught(REPLAY, "the last segment", "Mismatch: the training goes on to step 16"),
        owners.false_end,
    ),
    Attack(
        "repeated segments",
        "a state shown again at the next leaf, and one segment late from there on",
        segments(REPLAY, (2, 3, 4, 5), "Mismatch: "),
        of_the_job(partial(cheats.repeated_segment, index=2)),
    ),
    Attack(
        "other data",
        "one cell of one record changed before training",
        segments(REPLAY, (0, 1, 2, 4, 5), "Mismatch: "),
        owners.other_data,
    ),
    Attack(
        "other order",
        "batches in an order of the owner's liking, told in the leaves",
        segments(CHECKS, EVERY, "Mismatch: leaf 1 is of records with the digest"),
        retrained(cheats.another_order),
    ),
    Attack(
        "precomputed trajectory",
        "a training made before the order seed was known, its leaves brought up to date",
        segments(REPLAY, EVERY, "Mismatch: "),
        retrained(cheats.another_order_denied),
    ),
    Attack(
        "other learning rate",
        "the agreed training with another rate",
        segments(REPLAY, EVERY, "Mismatch: "),
        retrained(cheats.other_learning_rate, rate=0.02),
    ),
    Attack(
        "interpolated checkpoints",
        "honest first and last states, and a straight line between them",
        segments(REPLAY, EVERY, "Mismatch: "),
        of_the_job(cheats.interpolated),
    ),
    Attack(
        "top-q honest segments only",
        "as many honest inner segments as are drawn, in the hope that just these are",
        segments(REPLAY, (2, 3), "Mismatch: model root"),
        owners.top_segments,
    ),
    Attack(
        "tampered checkpoint",
        "a millionth added to the weights of one state",
        segments(REPLAY, (2, 3), "Mismatch: model root"),
        of_the_job(partial(cheats.tampered_state, index=3)),
    ),
    Attack(
        "changed optimizer state",
        "the momentum doubled between two segments",
        segments(REPLAY, (2, 3), "Mismatch: optimizer root"),
        of_the_job(partial(cheats.other_optimizer, index=3)),
    ),
    Attack(
        "changed buffers",
        "a batch norm's running mean changed between two segments",
        segments(REPLAY, (2, 3), "Mismatch: model root"),
        of_the_job(partial(cheats.other_buffer, index=3)),
    ),
    Attack(
        "a state that breaks the replay",
        "a count of steps below zero kept between two segments, so that an optimizer's root of it is no number",
        segments(REPLAY, (2, 3), "Mismatch: optimizer root"),
        of_the_job(partial(cheats.miscounted_optimizer, index=3)),
    ),
    Attack(
        "a state beyond a worker's words",
        "200 tensors of long names kept between two segments, so that what a worker says of them is no event any more",
        segments(REPLAY, (2, 3), "Mismatch: optimizer root"),
        of_the_job(partial(cheats.many_named_optimizer, index=3)),
    ),
    Attack(
        "a state beyond a host's memory",
        "a state kept that is larger than any of the job, so that who reads it has no memory left",
        segments(CHECKS, (2, 3), "Mismatch: 3.safetensors: the tensors have"),
        of_the_job(partial(cheats.oversized_state, index=3)),
    ),
    Attack(
        "forged metrics",
        "half of the loss told for one segment",
        segments(REPLAY, (3,), "Mismatch: metrics"),
        of_the_job(partial(cheats.forged_metrics, index=4)),
    ),
    Attack(
        "invented held-out result",
        "every held-out record said to be classified right",
        segments(REPLAY, (5,), "Mismatch: held-out results"),
        owners.of_held_out(cheats.invented_result),
    ),
    Attack(
        "invented result of the delivered leaf",
        "every held-out record said to be classified right by an inner leaf's model, so that it is delivered as the"
        " best",
        Caught(REPLAY, "segment 2", "Mismatch: held-out results"),
        owners.best_leaf_invented,
    ),
    Attack(
        "trained on held-out records",
        "every batch taken of the records that are held out, to shine on them",
        segments(REPLAY, EVERY, "Mismatch: metrics"),
        owners.of_held_out(cheats.trained_on_held_out),
    ),
    Attack(
        "a risk report on another model",
        "the initial model attacked, which gives nobody away, and that report bound in the last leaf",
        Caught(CHECKS, WHOLE, "Mismatch: the risk report is of the model"),
        owners.of_a_report(owners.report_of_another_model),
    ),
    Attack(
        "reference models that were not trained",
        "every second reference training of a risk report left at the initial model; caught only where one is drawn",
        Caught(REPLAY, owners.REFERENCE, "Mismatch: reference training "),
        owners.untrained_and_drawn,
        found="50%",
    ),
    Attack(
        "replay of another job",
        "an earlier job's groups and last leaf for a new agreement",
        Caught(CONTRACT, "finish: LastLeafDiffers", "the run does not end"),
        chain.another_jobs_leaves,
    ),
    Attack(
        "replay of another job's inner leaves",
        "leaves that were made for another context, shown as evidence",
        Caught(CHECKS, WHOLE, "Mismatch: leaf 0 leads to the transcript root"),
        owners.another_job,
    ),
)

EVIDENCE = (
    Attack(
        "forged record opening",
        "a cell changed in the evidence",
        segments(CHECKS, (0, 1, 2, 4), "Mismatch: record 6 leads to the dataset root"),
        of_the_evidence(partial(cheats.forged_opening, index=6)),
    ),
    Attack(
        "another state in the evidence",
        "a state that is not the one its leaf names",
        segments(CHECKS, (4,), "Mismatch: 4.safetensors: the state's model has the root"),
        of_the_evidence(partial(cheats.other_state_file, segment=4)),
    ),
    Attack(
        "a recipe of another class in the evidence",
        "an environment that no verifier here has, so that all would vote Inconclusive",
        Caught(OPENING, WHOLE, "Withheld: recipe.json has the digest"),
        of_the_evidence(cheats.other_class),
    ),
    Attack(
        "an initial model over a base of one's own",
        "the agreed weights as a delta over a base that the recipe lacks, so that no worker reads them",
        Caught(OPENING, WHOLE, "Withheld: initial.safetensors is a delta over"),
        of_the_evidence(cheats.initial_over_nothing),
    ),
    Attack(
        "another model in the place of the base",
        "evidence over the agreed base that names a place where another model lies",
        Caught(OPENING, WHOLE, "Withheld: the model says that its base lies at"),
        owners.another_base,
    ),
    Attack(
        "a base that is nowhere",
        "evidence over the agreed base that names no place of it",
        Caught(OPENING, WHOLE, "Withheld: the model is a delta over"),
        owners.base_nowhere,
    ),
    Attack(
        "another challenge answered",
        "evidence that leaves a drawn segment out",
        Caught(CHECKS, WHOLE, "Mismatch: the evidence is about the segments"),
        of_the_evidence(cheats.other_segments),
    ),
    Attack(
        "withheld evidence",
        "no evidence in either of two windows",
        Caught(DEADLINE, "Evidence", f"Withheld; {LOST}"),
        chain.no_evidence,
    ),
    Attack(
        "evidence with a file missing",
        "the state before a drawn segment left out",
        Caught(OPENING, WHOLE, "Withheld: "),
        of_the_evidence(owners.left_out("2.safetensors")),
    ),
    Attack(
        "evidence for somebody else",
        "evidence that no drawn verifier can open",
        Caught(OPENING, WHOLE, "Withheld: "),
        owners.sealed_to_others,
    ),
    Attack(
        "garbage delivered after honest training",
        "a delivery that nothing opens",
        Caught(OPENING, WHOLE, "Withheld: "),
        owners.garbage,
    ),
    Attack(
        "another model delivered after honest training",
        "random weights sealed as the result",
        Caught(DELIVERY, WHOLE, "Mismatch: the delivered model has the root"),
        owners.other_model,
    ),
    Attack(
        "an identity that does not open the delivery",
        "another age identity in the evidence",
        Caught(OPENING, WHOLE, "Withheld: "),
        of_the_evidence(partial(cheats.other_identity, secret=new_identity()[0])),
    ),
    Attack(
        "withheld key",
        "an audit won, and its key kept back",
        Caught(DEADLINE, "Matched", f"Withheld; {LOST}"),
        chain.no_key,
    ),
    Attack(
        "worthless key released",
        "an audit won, and garbage released as its key",
        Caught(RELEASE, "Released", f"Match; {KEPT}; the scientist can try 2 keys"),
        chain.worthless_key,
    ),
    Attack(
        "a cheat voted down",
        "whatever the replay caught, before the contract",
        Caught(TALLY, "Revealing", f"Mismatch; {LOST}"),
        chain.caught_cheat,
    ),
)

GRINDING = (
    Attack(
        "seed grinding by re-acceptance",
        "another acceptance, another nonce, a forgotten block, for an order seed of the owner's liking",
        Caught(CONTRACT, "accept: StateForbids; begin: TermsDiffer; fix: SeedBlockMissed; expire", LOST),
        chain.other_nonce,
    ),
    Attack(
        "audit grinding",
        "a second draw and a second end of the run, for a challenge of the owner's liking",
        Caught(CONTRACT, "draw: PhaseForbids; finish: RunHasEnded", "the challenge stays"),
        chain.other_challenge,
    ),
    Attack(
        "pool stuffing after the challenge is visible",
        "four verifiers staked once the block that draws is known",
        Caught(DRAW, "Awaiting", "0 of 4 newcomers are drawn"),
        chain.pool_stuffing,
    ),
)

VOTES = (
    Attack(
        "lazy verifier",
        "Match, with a trace made of the states that the evidence shows",
        Caught(TALLY, "Revealing", "Match; loses 20 FIT and earns 0"),
        chain.lazy,
    ),
    Attack(
        "lazy verifier that votes Withheld",
        "Withheld without looking, which asks for no trace",
        Caught(TALLY, "Revealing", "Match; loses 0 FIT and earns 0"),
        chain.lazy_and_careful,
    ),
    Attack(
        "copying verifier",
        "another's commitment, sent as one's own and revealed after it",
        Caught(CONTRACT, "reveal: VoteDiffers", "Match; loses 2 FIT and earns 0"),
        chain.copied_commitment,
    ),
    Attack(
        "copying verifier that waits",
        "a commitment made once the others have revealed",
        Caught(CONTRACT, "commit: PhaseForbids", "Match; loses 2 FIT and earns 0"),
        chain.late_commitment,
    ),
    Attack(
        "copying verifier of an earlier round",
        "the trace that was revealed before a redraw",
        Caught(TALLY, "Revealing", "Match; loses 20 FIT and earns 0"),
        chain.trace_of_a_round,
    ),
    Attack(
        "absent verifier",
        "a seat that is not taken",
        Caught(DEADLINE, "Joining", "another is drawn; it is away and loses 0 FIT"),
        chain.no_join,
    ),
    Attack(
        "absent verifier that joined",
        "a seat that does not vote",
        Caught(DEADLINE, "Committing", "Match; loses 2 FIT and earns 0"),
        chain.no_commitment,
    ),
    Attack(
        "liar that falls silent",
        "a false vote that is not revealed once the others show theirs",
        Caught(DEADLINE, "Revealing", f"Mismatch; {LOST}; loses 2 FIT and earns 0"),
        chain.silent_liar,
    ),
    Attack(
        "liar that leaves",
        "the stake taken back before the false vote counts",
        Caught(CONTRACT, "unstake: StakeTooSmall", "Match; loses 20 FIT and earns 0"),
        chain.leaving_liar,
    ),
    Attack(
        "colluding minority of verifiers",
        "Match for a cheating owner, by one of three",
        Caught(TALLY, "Revealing", f"Mismatch; {LOST}; loses 20 FIT and earns 0"),
        chain.colluding_minority,
    ),
    Attack(
        "split vote",
        "a cheating owner with one colluder of three, and evidence that one honest verifier cannot open twice",
        Caught(TALLY, "Revealing", f"Withheld; {LOST}; loses 0 FIT and earns 0"),
        chain.split_vote,
    ),
)

REQUESTS = (
    Attack(
        "a recipe that explodes to take the bond",
        "a training under an audit that leaves the finite numbers before its end",
        Caught(CONTRACT, "diverge", f"Match; {KEPT}; 20 of 30 steps and the bond are 10.67 FIT"),
        chain.exploding_recipe,
    ),
    Attack(
        "a recipe that explodes, in the replay",
        "the same training, examined by a verifier",
        Caught(REPLAY, "the last segment", "Match: it diverges"),
        owners.explosion,
    ),
    Attack(
        "unfounded dispute",
        "an honest training disputed, to keep its price",
        Caught(TALLY, "Revealing", f"Match; {KEPT}; the owner gets 15 FIT"),
        chain.unfounded_dispute,
    ),
    Attack(
        "look-alike contracts",
        "a certificate of a job on one's own deployment of the same contracts",
        Caught(VERIFIER, "deployment: exit 3", "the certificate is of a deployment whose"),
        certificates.lookalike,
    ),
    Attack(
        "a false address in a deployment's file",
        "the file of a deployment handed on with another contract in the place of Audits",
        Caught(CONNECTION, "wiring: exit 3", "Verifiers at "),
        deployments.false_address,
        pod_rules.WIRING,
        "it is believed",
    ),
    Attack(
        "contracts with made-up storage",
        "the very same code elsewhere, wired to itself, its storage written by something else than its constructors",
        Caught(CONNECTION, "creation code: exit 3", "Directory at "),
        deployments.invented_storage,
        pod_rules.CREATION,
        "it is believed",
    ),
)

ON_FORGE = tuple(Attack(each.name, each.tried, each.caught, each.play) for each in FORGE_ATTACKS)

HIDING = (
    Attack(
        "an order hidden behind an outline",
        "a segment trained on chosen records, and a certificate that does not list its leaf",
        Caught(VERIFIER, "outline: exit 1", "the certificate hides 11 leaves behind an outline"),
        certificates.hidden_order,
        pod_rules.OUTLINE,
        "it holds",
    ),
    Attack(
        "a beginning hidden behind an outline",
        "other initial weights, and so many leaves that the first need not be listed",
        Caught(VERIFIER, "leaves: exit 1", "the certificate does not show leaf 0 of 100001"),
        certificates.hidden_beginning,
        pod_rules.FIRST_LEAF,
        "it holds",
    ),
    Attack(
        "a risk report swapped",
        "a milder report in a certificate that its owner signs again",
        Caught(VERIFIER, "results: exit 1", "the results that leaf 10 names"),
        certificates.swapped_report,
        pod_rules.REPORT,
        "it holds",
    ),
)

OVERCLAIMING = (
    Attack(
        "another leaf delivered than the best",
        "a leaf delivered as the best of results that the certificate itself opens, one of them better",
        Caught(VERIFIER, "delivered leaf: exit 1", "the delivered leaf: the certificate says 7, and of all results"),
        certificates.worse_leaf,
        pod_rules.BEST_LEAF,
        "it holds",
    ),
    Attack(
        "a jury of one's own",
        "one account as owner and scientist, a panel of its own accounts, a Match for what nobody trained",
        Caught(VERIFIER, "level: exit 3", "the assurance is vouched, and at least sampled is required"),
        certificates.own_jury,
        pod_rules.TRUST,
        "it holds",
    ),
    Attack(
        "a trusted panel stuffed later",
        "accounts of one's own appended to a panel that the checker trusts, and drawn from it",
        Caught(VERIFIER, "level: exit 3", "the assurance is vouched, and at least sampled is required"),
        certificates.stuffed_panel,
        pod_rules.TRUSTED_THEN,
        "it holds",
    ),
    Attack(
        "bought members in a panel of one's own",
        "five of a panel of ten that the checker trusts, named in another panel and drawn from that",
        Caught(VERIFIER, "level: exit 3", "the assurance is vouched, and at least sampled is required"),
        certificates.borrowed_names,
        pod_rules.TRUSTED_THERE,
        "it holds",
    ),
    Attack(
        "a training in one block",
        "begin, all anchors and finish sent at once, of leaves that nobody trained",
        Caught(VERIFIER, "duration: said", "begin, all anchors and finish stand in one block"),
        certificates.at_once,
        pod_rules.ONE_BLOCK,
        "nothing is said",
    ),
)

SECTIONS: Mapping[str, tuple[Attack, ...]] = {
    "A training that is none, or another": TRAININGS,
    "Evidence and delivery": EVIDENCE,
    "Grinding": GRINDING,
    "Seats and votes": VOTES,
    "Recipes, disputes, deployments": REQUESTS,
    "Private trainings": PRIVATE_ATTACKS,
    "Models that would carry records home": MODEL_ATTACKS,
    "Played by pods": WITH_PODS,
    "Played by forge": ON_FORGE,
    "Certificates that hide what is not so": HIDING,
    "Certificates that would say more than is so": OVERCLAIMING,
}
"""All of them, in the order in which they are played."""

ATTACKS = tuple(attack for attacks in SECTIONS.values() for attack in attacks)

UNCAUGHT = (
    Attack(
        "a majority that votes Withheld",
        "two of three vote Withheld without looking, twice, against an honest owner",
        Caught("nobody", "Revealing", f"Withheld; {LOST}; loses 0 FIT and earns 0"),
        chain.withheld_by_a_majority,
    ),
)
"""What is not caught, played so that docs/trust.md says of it what happens."""
