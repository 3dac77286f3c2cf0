"""Audits asked for again, with real pods: the owner's consent or silence, the draw by the asker's
nonce, evidence without the job's identity, and money that is paid once and comes back."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import pytest

from fitchain.pod.jobs import history
from fitchain.pod.jobs.finality import Finality
from fitchain.pod.jobs.journal import Decision
from fitchain.pod.jobs.removal import ask_removal
from fitchain.pod.jobs.turns import Turns
from fitchain.pod.jobs.waiting import awaits_consent, shown_concerns
from fitchain.pod.parties import asker
from fitchain.pod.parties.asker import Answer, Question, QuestionState
from fitchain.pod.parties.owner import consent, refuse, remove_later
from fitchain.pod.parties.owner.asked import LEAST_WINDOW_S, MOST_AT_ONCE, AskedAudits, concerns, records_of
from fitchain.pod.parties.owner.disclosed import DISCLOSED, EVIDENCE_MADE, Opened, cap_concern, opened_before
from fitchain.pod.parties.owner.examine import dataset_of
from fitchain.pod.ports.agreement import AuditKind, AuditTerms, Outcome, Phase, State
from fitchain.pod.ports.chain import Chain
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO
from fitchain.pod.values.errors import InputRefused, NotFound, Unusable
from fitchain.pod.values.ids import WHOLE_POOL, AgreementId, AuditRef, PanelId
from tests.audited_workshop import DAY_S, FEE, AuditedWorkshop, panel_of
from tests.chain_fixtures import take_back
from tests.limits import LIMIT_S
from tests.pods import HOUR_S, Party, owner_runs, scientist_runs, verifier_runs
from tests.policies import open_policy

PassTime = Callable[[int], None]
FEES = 3 * FEE


@dataclass(frozen=True)
class Again:
    """A settled job, and a stranger who wants it audited again."""

    audited: AuditedWorkshop
    id: AgreementId
    stranger: Party
    own_panel: PanelId

    @property
    def owner(self) -> Party:
        return self.audited.workshop.owner

    def question(self, panel: PanelId, drawn: int = 1) -> AuditRef:
        """Ask; which audit it is. The same question that is open is not asked again."""
        home = self.stranger.home
        asked = Question(panel, drawn_segments=drawn, fee_per_seat=FEE, window=HOUR_S)
        return asker.ask_again(home, self.id, asker.terms_of(home, self.id, asked), HOUR_S)

    def follow(self, ref: AuditRef, until: Callable[[Answer], bool]) -> Answer:
        """Follow a question as its command does."""
        deadline, turns = time.monotonic() + LIMIT_S, Turns(self.stranger.home, 0)
        while not until(answer := asker.follow(self.stranger.home, turns, ref, self.stranger.said.append)):
            assert time.monotonic() < deadline, "\n".join([*self.owner.said[-8:], *self.stranger.said[-8:]])
            time.sleep(0.1)
        return answer

    def opened(self, besides: int = 999) -> Opened:
        """What all audits of the dataset but one count against its cap."""
        home = self.owner.home
        return opened_before(home, home.agreements.read(self.id), AuditRef(self.id, besides))

    def counts(self, ref: AuditRef) -> int:
        """What an audit counts against the cap."""
        return self.opened().again - self.opened(ref.ordinal).again

    def told(self, ref: AuditRef, kind: str) -> bool:
        """Whether the owner's history of an audit has a line of a kind."""
        return self.owner.home.journal.happened(ref, history.KINDS[kind])

    def end_questions(self, pass_time: PassTime) -> None:
        """Bring every question of the job to its answer; who is away by that is there again."""
        home, verifiers = self.stranger.home, self.audited.verifiers
        asked = home.agreements.asked_audits(self.id)
        while going := [one.ref for one in asked if not asker.read_answer(home, one.ref).over]:
            pass_time(DAY_S + HOUR_S)
            for ref in going:
                self.follow(ref, lambda answer: True)
        for one in asked:
            self.follow(one.ref, lambda answer: answer.over)  # told: the same question is another from now on
        for party in verifiers:
            if party.home.verifiers.verifier(party.address).away:
                party.home.verifiers.present()


@pytest.fixture(scope="module")
def settled_again(audited: AuditedWorkshop, open_party: Callable[..., Party]) -> Again:
    stranger = open_party("stranger")
    own_panel = panel_of(stranger.home.chain, "the stranger's own", list(audited.verifiers))
    return Again(audited, settled_job(audited), stranger, own_panel)


@pytest.fixture
def again(settled_again: Again, pass_time: PassTime) -> Iterator[Again]:
    """The module's settled job, of which no question is open before a test and after it."""
    yield settled_again
    settled_again.end_questions(pass_time)


@pytest.fixture
def once(settled_again: Again, pass_time: PassTime) -> Iterator[Again]:
    """A settled job that no other test needs afterwards."""
    own = replace(settled_again, id=settled_job(settled_again.audited))
    yield own
    own.end_questions(pass_time)


def settled_job(audited: AuditedWorkshop) -> AgreementId:
    """Ask for a training, and let it end and settle."""
    with owner_runs(audited.workshop.owner), scientist_runs(audited.workshop.scientist):
        id = audited.workshop.request()
        audited.until(audited.workshop.owner.has(id, "wiped"))
    return id


def test_settled_job_is_audited_again_by_a_panel_that_the_policy_names(again: Again) -> None:
    before, spent = again.audited.owed(), again.stranger.fit()
    stakes = again.audited.stakes()
    with owner_runs(again.owner), verifier_runs(*again.audited.verifiers):
        ref = again.question(again.audited.panel)
        assert again.question(again.audited.panel) == ref  # taken up again, and paid once
        assert spent - again.stranger.fit() == FEES
        answer = again.follow(ref, lambda answer: answer.over)
        seated = again.audited.seated(again.id, ref.ordinal)
        again.audited.until_wiped(again.id, *seated, ordinal=ref.ordinal)
        again.audited.until(lambda: again.told(ref, "wiped"))
    assert (answer.state, answer.verdict) == (QuestionState.CONCLUDED, Outcome.MATCH)
    audit = again.audited.audit(again.id, ref.ordinal)
    assert (audit.kind, audit.phase) == (AuditKind.AGAIN, Phase.CONCLUDED)
    home = again.stranger.home
    (drawn,) = [event for event in home.audits.events(ref) if event.name == "Drawn"]
    receipt = home.chain.receipt(drawn.transaction)
    assert receipt is not None and receipt.sender == again.stranger.address
    assert home.agreements.read(again.id).state is State.SETTLED
    assert (again.audited.owed(), again.audited.lost_since(stakes)) == (before, {})
    assert spent - again.stranger.fit() == FEES
    assert not list(again.owner.home.audit_folder(ref).path.iterdir())
    assert int(again.owner.home.journal.fact(ref, DISCLOSED) or 0) > 0
    assert again.opened().again >= int(
        again.owner.home.journal.fact(ref, DISCLOSED) or 0
    )  # evidence was made, for good
    second = again.question(again.audited.panel)  # there is a verdict: the same question is another now
    assert second.ordinal == ref.ordinal + 1


def test_phases_too_short_to_count_on_take_a_person(again: Again) -> None:
    home, ref = again.owner.home, again.question(again.audited.panel, drawn=4)
    agreement, asked = home.agreements.read(again.id), home.agreements.asked_audit(ref)
    assert concerns(home, agreement, asked) == []
    short = replace(asked, terms=replace(asked.terms, window=LEAST_WINDOW_S - 1))
    (concern,) = concerns(home, agreement, short)
    assert concern.endswith(f"less than {LEAST_WINDOW_S} s: evidence may come too late")


def test_questions_count_against_the_cap_what_their_audits_open(again: Again) -> None:
    journal, before = again.owner.home.journal, again.opened()
    idle, shown = AuditRef(again.id, 101), AuditRef(again.id, 102)
    for ref in (idle, shown):
        journal.keep_fact(ref, DISCLOSED, "7")
    journal.keep_fact(shown, EVIDENCE_MADE, "")
    assert again.opened() == replace(before, again=before.again + 14)  # as long as they may open so many
    for ref in (idle, shown):
        journal.record(ref, history.Wiped(), once="")
    assert again.opened() == replace(before, again=before.again + 7)  # nobody was shown anything in the first


def test_strangers_questions_leave_half_of_the_cap_to_agreed_audits() -> None:
    capped, terms = open_policy(disclosure_cap=100), AuditTerms(verifiers=3, mode=AuditMode.SAMPLED)
    assert cap_concern(capped, terms, 20, Opened(agreed=40, again=30)) == ""
    assert "open to 51, and 50 of the policy's cap" in cap_concern(capped, terms, 21, Opened(again=30))
    assert "opened records to 101" in cap_concern(capped, terms, 21, Opened(agreed=80))
    for policy, other in ((capped, replace(terms, mode=AuditMode.ON_SITE)), (open_policy(disclosure_cap=None), terms)):
        assert cap_concern(policy, other, 200, Opened(50, 50)) == ""


def test_questions_of_strangers_are_looked_at_a_few_at_a_time_and_in_turn() -> None:
    asked, served = [AuditRef(AgreementId(ZERO), ordinal) for ordinal in range(1, 3 * MOST_AT_ONCE)], set[AuditRef]()
    head, new = iter(range(100)), [asked, *([[]] * 100)]
    home: Any = SimpleNamespace(
        chain=SimpleNamespace(head=lambda: next(head)),
        journal=SimpleNamespace(happened=lambda ref, kind: kind is history.Consented and ref in served),
        agreements=SimpleNamespace(asking=lambda start, upto: new.pop(0)),
    )
    audits = AskedAudits(home, Turns(home), lambda id, text: None, Finality(home, 0), counting=Lock())
    own = {AgreementId(ZERO)}
    looks = [audits.look(own) for _ in range(3)]
    assert max(map(len, looks)) == MOST_AT_ONCE
    assert {ref for look in looks for ref in look} == set(asked)
    served.add(asked[5])
    assert audits.look(own)[0] == asked[5]  # who waits for evidence goes before who only asks


def test_two_yeses_given_below_the_cap_do_not_pass_it_together(again: Again, monkeypatch: pytest.MonkeyPatch) -> None:
    home = again.owner.home
    row, card = dataset_of(home, agreement := home.agreements.read(again.id))
    asked = [home.agreements.asked_audit(again.question(again.audited.panel, drawn)) for drawn in (5, 6)]
    counts = [records_of(home, question) or 0 for question in asked]
    before, most = again.opened(), max(counts)  # room for each of them, and not for both
    cap = max(2 * (before.again + most), before.total + most)
    capped = replace(card, policy=replace(card.policy, disclosure_cap=cap))
    monkeypatch.setattr("fitchain.pod.parties.owner.asked.dataset_of", lambda *_: (row, capped))
    assert min(counts) > 0 and [concerns(home, agreement, question) for question in asked] == [[], []]
    lane = AskedAudits(home, Turns(home), lambda id, text: None, Finality(home, 0), counting=Lock())
    for question in asked:  # while no pod runs
        consent(home, question.ref, shown=())
        assert not awaits_consent(home, question.ref)
    lane.act(asked[0].ref)
    lane.act(asked[1].ref)
    assert [home.agreements.asked_audit(question.ref).consented for question in asked] == [True, False]
    assert awaits_consent(home, asked[1].ref)
    (why,) = shown_concerns(home, asked[1].ref, history.ConsentNeeded)
    assert "it would bring the" in why
    shown = (why, "what no longer speaks against it")
    home.journal.record(asked[1].ref, history.ConsentNeeded(shown, asked[1].asker, "the whole pool"))
    lane.act(asked[1].ref)  # the first concern alone again: it is put before the person again
    assert shown_concerns(home, asked[1].ref, history.ConsentNeeded) == (why,)
    journal = home.journal
    journal.decide(asked[1].ref, Decision("consent", concerns=(why,), about="another question of this number"))
    lane.act(asked[1].ref)
    assert not home.agreements.asked_audit(asked[1].ref).consented
    refuse(home, asked[1].ref)
    lane.act(asked[1].ref)
    assert not home.agreements.asked_audit(asked[1].ref).consented
    consent(home, asked[1].ref)  # to what was shown last
    lane.act(asked[1].ref)
    assert home.agreements.asked_audit(asked[1].ref).consented


@pytest.mark.long
def test_panel_that_the_policy_does_not_name_needs_a_person(again: Again) -> None:
    with owner_runs(again.owner):
        ref = again.question(again.own_panel)
        again.audited.until(lambda: again.told(ref, "consent_needed"))
        why = again.owner.home.journal.last(ref, history.ConsentNeeded)
        assert why.why == ("its verifiers are drawn from whom the policy does not name",)
        assert "the stranger's own" in why.panel and why.asker == again.stranger.address
        consent(again.owner.home, ref)
        answer = again.follow(ref, lambda answer: answer.phase is Phase.JOINING)
    assert answer.asked.consented
    with pytest.raises(Unusable, match="consented to already"):
        refuse(again.owner.home, ref)


@pytest.mark.long
def test_silence_gives_the_fees_back(again: Again, pass_time: PassTime) -> None:
    spent = again.stranger.fit()
    with owner_runs(again.owner):
        ref = again.question(again.own_panel, drawn=2)
        again.audited.until(lambda: again.told(ref, "consent_needed"))
        refuse(again.owner.home, ref)
        pass_time(HOUR_S + 2)
        answer = again.follow(ref, lambda answer: answer.asked.taken_back)
        again.audited.until(lambda: again.told(ref, "unanswered"))
    assert answer.state is QuestionState.UNANSWERED
    assert again.stranger.fit() == spent


def test_asker_that_was_killed_right_after_it_sent_finds_its_history_whole(again: Again, pass_time: PassTime) -> None:
    home, asked = again.stranger.home, Question(again.own_panel, drawn_segments=7, fee_per_seat=FEE, window=HOUR_S)
    terms, fresh = asker.terms_of(home, again.id, asked), asker.fresh_bytes(home.keys, again.id, 1)
    commitment = asker.question_commitment(home.keys, again.id, fresh)
    asker.keep_question(home, again.id, terms, commitment, fresh)
    ref = home.agreements.ask_again(again.id, terms, commitment, HOUR_S)  # and here it is killed
    assert again.question(again.own_panel, drawn=7) == ref
    pass_time(HOUR_S + 2)
    receipt = home.agreements.take_back(ref)  # and here
    for _ in range(2):
        again.follow(ref, lambda answer: answer.over)
    lines = [line for line in home.journal.history(again.id) if line.ordinal == ref.ordinal]
    assert [line.entry.kind for line in lines] == ["asked_again", "taken_back", "fees_collected", "answered"]
    assert lines[1].entry == history.TakenBack(**history.paid(receipt))


def test_question_whose_answer_the_chain_took_back_is_taken_up_and_not_paid_again(
    again: Again, reader: Chain, pass_time: PassTime
) -> None:
    ref, fit = again.question(again.own_panel, drawn=6), again.stranger.fit()
    before = reader.node.request("evm_snapshot")
    pass_time(HOUR_S + 2)
    again.follow(ref, lambda answer: answer.asked.taken_back)
    reader.node.request("evm_revert", before)
    assert not again.stranger.home.agreements.asked_audit(ref).taken_back
    assert again.question(again.own_panel, drawn=6) == ref and again.stranger.fit() == fit
    pass_time(HOUR_S + 2)
    again.follow(ref, lambda answer: answer.asked.taken_back)
    assert again.question(again.own_panel, drawn=6) != ref  # it was answered, which still holds


def test_question_and_consent_that_the_chain_took_back_stand_again_and_are_paid_once(
    again: Again, reader: Chain
) -> None:
    home, spent = again.stranger.home, again.stranger.fit()
    with owner_runs(again.owner, retry_s=0.2):
        ref = again.question(again.audited.panel, drawn=3)
        again.audited.until(lambda: again.told(ref, "consented"))
        take_back(reader, home.agreements.asked_audit(ref).requested_block)
        assert again.question(again.audited.panel, drawn=3) == ref
        again.audited.until(lambda: home.agreements.asked_audit(ref).consented)
    assert spent - again.stranger.fit() == FEES
    assert home.agreements.asked_audits(again.id)[-1].ref == ref


@pytest.mark.long
def test_interrupted_question_is_sent_with_the_nonce_that_was_written_down(again: Again) -> None:
    home = again.stranger.home
    asked = Question(again.own_panel, drawn_segments=3, fee_per_seat=FEE, window=HOUR_S)
    terms = asker.terms_of(home, again.id, asked)
    send, home.agreements.ask_again = home.agreements.ask_again, interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        asker.ask_again(home, again.id, terms)
    written = home.journal.fact(again.id, asker._last(terms))
    home.agreements.ask_again = send  # type: ignore[method-assign]
    ref = asker.ask_again(home, again.id, terms)
    assert str(home.agreements.asked_audit(ref).nonce_commitment) == written
    with pytest.raises(NotFound, match="the journal does not know the question"):
        asker.nonce_of(again.owner.home, home.agreements.asked_audit(ref))


def interrupted(*args: object) -> AuditRef:
    raise KeyboardInterrupt


@pytest.mark.long
def test_owner_consents_once_its_records_can_be_read_again(again: Again, table_path: Path) -> None:
    aside = table_path.with_suffix(".aside")
    shutil.move(table_path, aside)
    with owner_runs(again.owner, retry_s=0.2):
        try:
            ref = again.question(again.audited.panel, drawn=2)
            again.audited.until(lambda: again.told(ref, "error"))
            told = again.owner.home.journal.last(ref, history.Error).message
            assert told.startswith("it cannot be consented to now: ") and str(table_path) in told
        finally:
            shutil.move(aside, table_path)
        again.audited.until(lambda: again.told(ref, "consented"))


@pytest.mark.long
def test_owner_whose_job_s_files_are_gone_cannot_consent(again: Again) -> None:
    recipe = again.owner.home.job_folder(again.id).path / "recipe.json"
    aside = recipe.rename(recipe.with_suffix(".aside"))
    try:
        with owner_runs(again.owner):
            ref = again.question(again.audited.panel, drawn=5)
            again.audited.until(lambda: again.told(ref, "cannot_consent"))
            assert str(recipe) in again.owner.home.journal.last(ref, history.CannotConsent).reason
            assert not again.told(ref, "error")
    finally:
        aside.rename(recipe)


def test_question_that_makes_no_sense_is_never_asked(again: Again, open_party: Callable[..., Party]) -> None:
    home = again.stranger.home
    for question, error, match in (
        (Question(WHOLE_POOL), InputRefused, "shows records to a panel, and none is named"),
        (Question(again.own_panel, verifiers=4), InputRefused, "an odd number of seats, not 4"),
        (Question(again.own_panel, fee_per_seat=1), InputRefused, "a seat earns at least"),
    ):
        with pytest.raises(error, match=match):
            asker.terms_of(home, again.id, question)
    nobody = asker.terms_of(home, again.id, Question(WHOLE_POOL, mode=AuditMode.OPEN))
    with pytest.raises(Unusable, match="0 of those who stand there could be drawn, and 3 seats need 5"):
        asker.ask_again(home, again.id, nobody)


@pytest.mark.long
def test_question_in_whose_seats_nobody_sits_uses_up_no_cap(again: Again, pass_time: PassTime) -> None:
    with owner_runs(again.owner):
        ref = again.question(again.audited.panel, drawn=3)
        again.audited.until(lambda: again.told(ref, "consented"))
        assert again.counts(ref) > 0
        again.follow(ref, lambda answer: answer.phase is Phase.JOINING)
        for _ in range(60):  # seats are drawn anew, and waited for, until nobody is left
            pass_time(HOUR_S + 1)
            if again.follow(ref, lambda answer: True).over:
                break
        answer = again.follow(ref, lambda answer: answer.over)
        again.audited.until(lambda: again.told(ref, "wiped"))
    assert answer.verdict is Outcome.INCONCLUSIVE
    assert again.counts(ref) == 0


@pytest.mark.long
def test_removal_waits_for_an_audit_and_ends_all_others(once: Again, reader: Chain) -> None:
    again, owner, verifiers = once, once.owner, once.audited.verifiers
    folder = owner.home.job_folder(again.id)
    with owner_runs(owner):
        ref = again.question(again.audited.panel, drawn=2)
        again.audited.until(lambda: again.told(ref, "consented"))
        with pytest.raises(Unusable, match=r"audit (\d+ )?of .* needs what would be deleted"):
            remove_later(owner.home, again.id)
        ask_removal(owner.home, again.id, "")  # as one that came just before the consent
        reader.node.request("anvil_mine", hex(3))
        time.sleep(2)
        assert folder.leaves.exists()
        with verifier_runs(*verifiers):
            assert again.follow(ref, lambda answer: answer.over).verdict is Outcome.MATCH
        deadline = time.monotonic() + LIMIT_S
        while folder.leaves.exists():
            assert time.monotonic() < deadline, "\n".join(owner.said[-8:])
            reader.node.request("anvil_mine", hex(1))
            time.sleep(0.2)
        late = again.question(again.audited.panel, drawn=3)
        again.audited.until(lambda: again.told(late, "cannot_consent"))
    reason = owner.home.journal.last(late, history.CannotConsent).reason
    assert re.fullmatch(r"what evidence of 0x\w+ needs was deleted on [-\d]+ [:\d]+ UTC", reason)
    assert not again.told(late, "consent_needed")
    with pytest.raises(Unusable, match="was deleted on"):
        consent(owner.home, late)
