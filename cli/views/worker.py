"""What a worker tells, in words."""

from __future__ import annotations

from typing import assert_never

from fitchain.cli.views.amounts import counted, format_duration
from fitchain.pod.jobs.worker import events
from fitchain.pod.jobs.worker.events import Event


# One sentence a class: as many branches as a worker has things to tell.
def describe_event(event: Event) -> str:
    """One line for people."""
    match event:
        case events.Started(mode, pid, environment, threads):
            return f"{mode}: started in process {pid}, {environment} with {counted(threads, 'thread')}"
        case events.Skipped(step, reason):
            return f"the state of step {step} is not used: {reason}"
        case events.Resumed(step, leaves):
            return f"goes on from step {step}; {counted(leaves, 'checkpoint')} recorded before"
        case events.Progress(step, steps):
            return f"step {step} of {steps}"
        case events.LeafRecorded(index, step):
            return f"recorded checkpoint {index} at step {step}"
        case events.SegmentReplayed(index, step, difference) | events.SegmentAudited(index, step, difference):
            return f"segment {index}, up to step {step}: {f'differs: {difference}' if difference else 'equal'}"
        case events.StateRecomputed(index, step):
            return f"trained the state of checkpoint {index}, at step {step}, again"
        case events.Finished(step, _, _, _, seconds):
            return f"finished at step {step}, after {format_duration(seconds)}"
        case events.Diverged(step, _, _, _, at, reason):
            return f"ended in step {at + 1}, its last checkpoint at step {step}: {reason}"
        case events.ReplayEnded(segments, equal):
            return f"trained {counted(segments, 'segment')} again: {'all equal' if equal else 'not all equal'}"
        case events.StatesKept(states):
            return f"kept {counted(states, 'state')}"
        case events.Explained(segments):
            return f"wrote the state digests of {counted(segments, 'segment')}"
        case events.Evaluated(records):
            return f"evaluated on {counted(records, 'record')}"
        case events.Assessed(references, seconds):
            return f"attacked the model with {counted(references, 'reference model')} in {format_duration(seconds)}"
        case events.Reopened(leaves):
            return f"trained a reference model again, {counted(leaves, 'checkpoint')}"
        case events.Measured(work):
            return f"a step takes {work}"
        case events.Failed(kind, message):
            return f"{kind}: {message}"
    assert_never(event)
