"""One pod's job, its memory and its manners; what every party shares.

exchange       what travels between pods, and to whom it is sealed
bases          models that others are deltas over, fetched once
worker         the process in which foreign recipes train
launch         where a worker runs
metering       what a step of a scientist's own recipe takes
rehearsal      the first segments of an offer on mock data
history        what can happen to a job, a class for each thing
life           what the chain tells of that, and a history may lack
journal        what a pod must remember across a power cut
home           a pod's folder, opened
lanes          what a pod does beside one another, and what goes first
retry          what a pod does about an error
finality       what no reorganisation of the chain undoes
removal        deleting what a home keeps of a job, and noting it
orphans        what is kept of jobs that the chain took back for good
turns          what anyone may do to bring an audit on
job_status     how a job stands
curves         how its training went, step by step
offered        recipe and graph of a request, to be looked at
privacy_cost   what a training costs of a privacy budget
audit_status   how an audit stands
asker          the nonce of whoever asks for an audit
panels         panels and the pool: made, filled, joined, left, looked at
links          a verifier's hash chain on one deployment
staking        a verifier's stake, its commitment to that chain, what it takes to be drawn
payments       FIT handed on
unheard        what an earlier command sent and could not tell of
panel_status   a panel beside a job's parties, and what speaks against it
tokenizers  the tokenizer of a dataset's free texts, fetched by its card
policy_panels  the panels that a dataset's policy names, as they stood when it was registered
trail          what happened to a job as a file for strangers
waiting        what waits for a person's yes
watch          how a job stands, read until it is over
serving        a pod in a thread beside its caller
"""
