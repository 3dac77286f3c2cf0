"""Attacks on a scientist's pod by the owner: no forged note or delivery is accepted, and what is
wrong is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fitchain.pod.jobs import history
from fitchain.pod.jobs.exchange import send_key, send_note
from fitchain.pod.parties.scientist import accept_result, complain_of, delivery, fetch_model, follow
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.ports.store import Cid
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import (
    AccessRefused,
    ClaimMismatch,
    DeliveryUnopened,
    DigestMismatch,
    FitchainError,
    NotFound,
    Refuted,
    Unusable,
)
from fitchain.pod.values.ids import AgreementId
from tests.dishonest_parties import Forger
from tests.pods import HOUR_S, Workshop


@pytest.fixture
def forger(workshop: Workshop) -> Forger:
    """A job whose delivery is still to be made."""
    return Forger.begun(workshop)


def refused(workshop: Workshop, id: AgreementId, error: type[FitchainError], words: str) -> None:
    """The scientist's pod refuses the delivery, accepts nothing, and so does whoever accepts by
    hand; of what does not open the pod complains on chain, which moves no money."""
    home = workshop.scientist.home
    for act in (lambda: follow(home, id, True, workshop.scientist.say), lambda: accept_result(home, id)):
        with pytest.raises(error, match=words):
            act()
    agreement = home.agreements.read(id)
    assert (agreement.state, agreement.complained) == (State.DIVERGED, error is DeliveryUnopened)
    assert not home.journal.happened(id, history.Received)
    with pytest.raises(NotFound):
        delivery(home, id)


def test_honest_delivery_of_the_forger_is_received(workshop: Workshop, forger: Forger) -> None:
    id = forger.deliver()
    assert follow(workshop.scientist.home, id, True, workshop.scientist.say) == State.SETTLED


def test_model_altered_by_one_byte_is_refuted(workshop: Workshop, forger: Forger) -> None:
    model = bytearray(forger.files["model.safetensors"])
    model[-1] ^= 1
    forger.files["model.safetensors"] = bytes(model)
    refused(workshop, forger.deliver(), DigestMismatch, "the model in model.safetensors has the root")


def test_certificate_altered_by_one_byte_is_refuted(workshop: Workshop, forger: Forger) -> None:
    certificate = bytearray(forger.files["certificate.json"])
    middle = len(certificate) // 2  # in the payload, which stays base64: else it were no certificate
    certificate[middle] = ord("A") if certificate[middle] != ord("A") else ord("B")
    forger.files["certificate.json"] = bytes(certificate)
    refused(workshop, forger.deliver(), Refuted, ".")


@pytest.mark.parametrize("name", ["graph.json", "preprocessing.json"])
def test_graph_or_preprocessing_altered_by_one_byte_is_refuted(workshop: Workshop, forger: Forger, name: str) -> None:
    data = forger.files[name]
    forger.files[name] = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    refused(workshop, forger.deliver(), ClaimMismatch, f"the file {name} beside the model is not what the certificate")


def test_replayed_certificate_of_an_earlier_job_is_refuted(workshop: Workshop, forger: Forger) -> None:
    earlier = Forger.begun(workshop)
    earlier.deliver()
    forger.files = earlier.files
    refused(workshop, forger.deliver(), ClaimMismatch, f"was delivered the certificate of {earlier.id}")


def test_key_of_another_job_is_refused(workshop: Workshop, forger: Forger) -> None:
    forger.key_of = AgreementId(sha256(b"another job"))
    refused(workshop, forger.deliver(), DeliveryUnopened, "is the key of")


def test_key_sealed_to_somebody_else_is_refused(workshop: Workshop, forger: Forger) -> None:
    forger.key_for = new_identity()[1]
    refused(workshop, forger.deliver(), DeliveryUnopened, "sealed")


def test_key_that_does_not_open_is_complained_of_once_on_chain(workshop: Workshop, forger: Forger) -> None:
    forger.key_for = new_identity()[1]
    id, scientist = forger.deliver(), workshop.scientist
    for _ in range(2):
        with pytest.raises(DeliveryUnopened):
            follow(scientist.home, id, True, scientist.say)
    assert scientist.home.agreements.read(id).complained
    assert [event.name for event in scientist.home.agreements.events(id)].count("Complained") == 1
    assert "its terms name nobody who could be asked in a dispute" in scientist.said[-1]
    with pytest.raises(Unusable, match="was said already"):
        complain_of(scientist.home, id)


def test_delivery_that_is_not_to_be_had_is_complained_of_when_half_of_the_time_is_over(
    workshop: Workshop, forger: Forger, pass_time: Callable[[int], None]
) -> None:
    store, scientist = workshop.owner.home.store, workshop.scientist
    weights = Cid.of(0x70, bytes(sha256(b"never stored")))
    id = forger.end(weights, send_key(store, forger.id, forger.secret, forger.key_for))
    with pytest.raises(NotFound):
        follow(scientist.home, id, True, scientist.say)
    assert not scientist.home.agreements.read(id).complained
    pass_time(HOUR_S // 2 + 60)
    with pytest.raises(NotFound):
        follow(scientist.home, id, True, scientist.say)
    assert scientist.home.agreements.read(id).complained


def test_delivery_that_opens_is_not_complained_of(workshop: Workshop, forger: Forger) -> None:
    id = forger.deliver()
    with pytest.raises(Unusable, match="opens, and its certificate holds"):
        complain_of(workshop.scientist.home, id)
    with pytest.raises(AccessRefused, match="the scientist of"):
        complain_of(workshop.owner.home, id)
    assert follow(workshop.scientist.home, id, True, workshop.scientist.say) == State.SETTLED
    with pytest.raises(Unusable, match="nothing to complain of now"):
        complain_of(workshop.scientist.home, id)


def test_delivery_sealed_to_somebody_else_is_refused(workshop: Workshop, forger: Forger) -> None:
    forger.delivery_for = new_identity()[1]
    refused(workshop, forger.deliver(), DeliveryUnopened, "does not open")


def test_delivery_with_more_in_it_is_refused(workshop: Workshop, forger: Forger) -> None:
    forger.files["setup.py"] = b"print('run me')"
    refused(workshop, forger.deliver(), DeliveryUnopened, "should hold")


def test_delivery_without_its_certificate_is_refused(workshop: Workshop, forger: Forger) -> None:
    del forger.files["certificate.json"]
    refused(workshop, forger.deliver(), DeliveryUnopened, "should hold")


def test_delivery_that_is_a_plain_file_is_refused(workshop: Workshop, forger: Forger) -> None:
    store = workshop.owner.home.store
    key = send_key(store, forger.id, forger.secret, forger.key_for)
    refused(workshop, forger.end(store.add(b"a file"), key), DeliveryUnopened, "is a file and not a folder")


def test_note_of_another_job_is_refuted_and_keeps_the_result_from_being_accepted_unasked(
    workshop: Workshop, forger: Forger
) -> None:
    forger.anchor(replace(forger.note(), agreement=AgreementId(sha256(b"another job"))))
    id, scientist = forger.deliver(), workshop.scientist
    with pytest.raises(ClaimMismatch, match="the note of anchor 0"):
        follow(scientist.home, id, True, scientist.say)
    assert scientist.state(id) == State.DIVERGED
    assert fetch_model(scientist.home, id).model.exists()


def test_note_of_other_leaves_is_refuted(workshop: Workshop, forger: Forger) -> None:
    forger.anchor(replace(forger.note(), leaves=(sha256(b"another leaf"),)))
    with pytest.raises(ClaimMismatch, match="the chain has"):
        follow(workshop.scientist.home, forger.deliver(), True, workshop.scientist.say)


def test_note_for_somebody_else_is_told_and_stands_in_nobodys_way(workshop: Workshop, forger: Forger) -> None:
    owner, scientist = workshop.owner.home, workshop.scientist
    cid = send_note(owner.store, forger.note(), new_identity()[1])
    transcript = forger.transcript
    root = transcript.groups(1)[0].root
    owner.chain.wait(owner.agreements.submit_anchor(forger.id, transcript.seed, (), root, cid))
    with pytest.raises(AccessRefused):
        follow(scientist.home, forger.id, True, scientist.say)
    assert follow(scientist.home, forger.deliver(), True, scientist.say) == State.SETTLED


def test_job_of_another_deployment_is_not_found(workshop: Workshop) -> None:
    with pytest.raises(FitchainError, match="has no job"):
        fetch_model(workshop.scientist.home, AgreementId(sha256(b"elsewhere")))


def test_received_model_altered_on_disk_is_refuted_when_it_is_accepted(workshop: Workshop, forger: Forger) -> None:
    id = forger.deliver()
    model = fetch_model(workshop.scientist.home, id).model
    model.write_bytes(model.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(DigestMismatch):
        accept_result(workshop.scientist.home, id)
    assert workshop.scientist.state(id) == State.DIVERGED
