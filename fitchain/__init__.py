"""Fitchain: train where the data lives, prove what was trained."""
