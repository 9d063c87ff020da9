.PHONY: check test

check:
	ruff check magid_graph tests benchmarks training
	ruff format --check magid_graph tests benchmarks training
	mypy

test:
	pytest
