"""Predicting with a state and measuring it, on data in memory and on folders."""
