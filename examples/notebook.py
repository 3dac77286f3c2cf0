# %% [markdown]
# # A training, from a notebook
#
# A data owner trains a scientist's model where the data live, and anybody can check what was
# trained. Here both sit in one notebook, each with a home of its own, on a test chain that ends
# with the notebook. After `make setup`: run the cells (jupytext opens this file as a notebook), or
# `python examples/notebook.py`.

# %%
import atexit
import secrets
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

import fitchain

folder = Path(tempfile.mkdtemp(prefix="fitchain-"))
opened = ExitStack()  # what the cells open; closed in the last one, or when the notebook ends before that
atexit.register(opened.close)

# %% [markdown]
# ## A chain and two homes
#
# A home holds a party's keys, under a passphrase. Where a person sits, `getpass.getpass` stands in
# place of the file.

# %%
fitchain.devnet.start(folder / "devnet", port=0)
opened.callback(fitchain.devnet.down, folder / "devnet")


def new_home(name: str) -> fitchain.Home:
    passphrase = folder / f"{name}.passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(secrets.token_hex(16))
    keys = fitchain.create_keys(folder / name, passphrase)
    home = opened.enter_context(fitchain.open_home(folder / name, passphrase, devnet=folder / "devnet"))
    fitchain.devnet.fund(home.settings, keys.address)
    return home


owner, scientist = new_home("owner"), new_home("scientist")

# %% [markdown]
# ## The owner offers a table
#
# Its root and its card become public; the records stay in the file. A model can carry records out:
# so the policy says who may ask. The owner's pod runs beside the notebook from here on.

# %%
data = load_breast_cancer()
rows = np.random.default_rng(0).permutation(len(data.target))
for name, chosen in {"private.npz": rows[:455], "test.npz": rows[455:]}.items():
    np.savez(folder / name, cells=data.data[chosen].astype(np.float32), diagnosis=data.target[chosen])

policy = fitchain.Policy(scientists=(scientist.keys.address.lower(),))
offer = fitchain.DatasetOffer(
    folder / "private.npz", "breast cancer", target="diagnosis", policy=policy, price=10 * fitchain.FIT
)
dataset = fitchain.register_dataset(owner, offer)
pod = opened.enter_context(fitchain.serve(fitchain.Owner(owner, print)))
print(f"{dataset.count} records offered as {dataset.id.short}")

# %% [markdown]
# ## The scientist brings a model and asks
#
# The module is exported to a graph and weights; its code stays here.


# %%
class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(cells)
        return scores


torch.manual_seed(0)
model = fitchain.publish_model(scientist, Classifier, dataset.id)
recipe = {"epochs": 20, "batch_size": 32, "learning_rate": 0.01}
job = fitchain.request_job(scientist, fitchain.JobRequest(dataset.id, model.id, recipe))

# %% [markdown]
# ## The owner says yes
#
# Its pod has checked the request by then, or does so before it accepts.

# %%
for request in fitchain.list_jobs(owner):
    if request.state is fitchain.State.REQUESTED:
        fitchain.approve(owner, request.id)

# %% [markdown]
# ## The scientist watches, fetches and checks
#
# `verify` needs neither key nor data nor torch: a stranger with the two files and a node runs the
# same line.

# %%
for status in fitchain.watch_job(scientist, job):
    print(status)

# %%
result = fitchain.fetch_model(scientist, job)
verdict = fitchain.verify(result.model, result.certificate, scientist.settings)
print(f"the certificate holds, {verdict.assurance}: {verdict.reason}")

trained = Classifier()
fitchain.restore(trained, result.model)
answers = fitchain.load(result).predict(folder / "test.npz")
tested = fitchain.evaluate(scientist, job, folder / "test.npz")
print(f"{tested.metrics['accuracy']:.1%} right on {tested.records} unseen records")

# %% [markdown]
# ## Money moves

# %%
fitchain.accept_result(scientist, job)
owner.agreements.withdraw()
print(f"the owner has {owner.chain.fit_balance(owner.keys.address) // fitchain.FIT} FIT")

# %%
opened.close()
print(f"everything of this run lies in {folder}")
