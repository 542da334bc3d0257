"""The preregistered analysis: from answers to numbers to sentences. Its code is fixed when the study is locked."""
