# Everything a person or a machine does with this project. `make` alone lists the targets.

ifeq ($(shell command -v swift),)
export PATH := $(PATH):/opt/swift/usr/bin
endif
SWIFT ?= swift
export SWIFT
RELEASE_FLAGS := -c release --static-swift-stdlib

.DEFAULT_GOAL := help
.PHONY: help deps build proto lint format test test-fast soak demo simulators bench fuzz tsan clean

help: ## what can be made
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

deps: ## install the missing Debian packages (as root, or with sudo)
	@.ci/deps

build: deps ## build tidewaiterd, tidewaiter-worker and tidewaiter for release
	$(SWIFT) build $(RELEASE_FLAGS) --product tidewaiterd
	$(SWIFT) build $(RELEASE_FLAGS) --product tidewaiter-worker
	$(SWIFT) build $(RELEASE_FLAGS) --product tidewaiter
	@echo "built: $$($(SWIFT) build $(RELEASE_FLAGS) --show-bin-path)"

proto: deps ## turn proto/*.proto into C and Swift
	proto/generate

lint: ## check the form of hand-written Swift
	Tests/run lint

format: ## bring hand-written Swift into form
	git ls-files -z '*.swift' ':!*.generated.swift' | xargs -0 $(SWIFT) format format --in-place --parallel

test: deps ## install, build, lint, run every test
	Tests/run

test-fast: deps ## the part of the tests that takes less than eight minutes
	Tests/run --fast

soak: deps ## 1,000,000 commands against the queue's model (20 seeds), 5,000 deaths, 500 power cuts, all ceilings: about an hour
	$(SWIFT) build --build-tests
	TIDEWAITER_CEILINGS=all PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest -s Tests/Integration/test_ceilings.py
	TIDEWAITER_MODEL_COMMANDS=50000 $(SWIFT) test --skip-build --filter QueueModelTests
	TIDEWAITER_KILL_ROUNDS=5000 TIDEWAITER_POWER_CUTS=500 PYTHONDONTWRITEBYTECODE=1 \
	  /usr/bin/python3 -m pytest -s Tests/Integration/test_kill_rounds.py Tests/Integration/test_power_cut.py

demo: deps ## scan a real image in a real registry (KEEP=1 leaves all of it running)
	Tests/demo/run

simulators: deps ## a product to try the daemon against, VENDOR=harbor and so on (without: which there are)
	Tests/Simulators/run.py $(VENDOR)

bench: deps ## measure, beside peers: PART=analysis, throughput, idle, rpc, poll, selection, queue, secrets, jail, truth or all (Tests/Benchmarks/RESULTS.md)
	Tests/Benchmarks/run.py $(PART) $(if $(RECORD),--record)

fuzz: deps ## a minute of libFuzzer on each of frames, tar, package databases, jars, programs, manifests, JSON; a million random frames
	Tests/Fuzz/run 60
	RANDOM_FRAMES=1000000 $(SWIFT) test --filter RandomFrameTests

tsan: deps ## the tests of the RPC and of the client library under the thread sanitizer
	Tests/run tsan

clean: ## remove what was built
	rm -rf .build
