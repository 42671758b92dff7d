# Short names for what README and CONTRIBUTING tell; nothing here does more than they say.
.PHONY: demo test lint lock benchmarks pictures

demo:
	uv run fedlearn-edu demo

test:
	uv run pytest

lint:
	uv run ruff check --fix .
	uv run ruff format .

# After a change of dependencies: resolve, fix every version, export the committed lock.
lock:
	uv run --no-sync python tools/lock.py

benchmarks:
	for script in numpy_floor extraction naive_vs_cached population flower; do uv run python benchmarks/$$script.py; done
	for script in pretraining_matters unlike_clients robust_aggregation personalisation feature_shift; do uv run python benchmarks/$$script.py run; done
	for table in frontier attacks explorer; do uv run python benchmarks/privacy_utility.py $$table; done

pictures:
	uv run python docs/make_pictures.py
