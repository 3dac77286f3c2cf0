"""A program's beginning after which neither torch nor scikit-learn can be imported, as on a machine
that lacks them."""

from __future__ import annotations

WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "sklearn"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, NoTorch())
"""
