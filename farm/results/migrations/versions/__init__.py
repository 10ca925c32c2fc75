"""One file a step, `results_NUMBER.py`; `farm.results.schema.HEAD` names the last."""
