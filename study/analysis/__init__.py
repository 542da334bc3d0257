"""Preregistered analysis: rows to numbers to sentences. Fixed when the study is locked."""
