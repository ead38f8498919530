# make demo      install what is missing (a software Vulkan driver on a Linux machine without any),
#                build, run the demo
# make test      formatting, lints, tests, every shader validated for SPIR-V, MSL and HLSL: CI
# make test-all  that, `make soak`, and what the machine has more for (.ci/test-more.sh): other
#                adapters, a newer driver that .ci/newer-driver.sh unpacked, benches/gpu.sh in small,
#                PyTorch and ONNX Runtime on saliq's files, the fuzzer, cargo-deny, the page
# make soak      what takes minutes: 100,000 steps with flat memory, 200 kills of a run that comes
#                to the same end
# make bench     kernel and step timings on the default adapter; more in benches/README.md
# make fuzz      every parser fuzzed, 10 million executions or 15 minutes each
# make web       web/dist: the library in a browser, as static files
# make web-test  web/dist in the installed browsers, compared with the native program
# make deny      licences, advisories, duplicates
# make driver    only install the driver
# make clean     remove what was built

CARGO ?= cargo
SALIQ  = target/release/saliq
SPIRV  = target/spirv

# The software driver complains on standard error where this is unset, as it is in containers.
export XDG_RUNTIME_DIR ?= $(abspath target)

# Modules of tests/library and tests/program that run a second time, on a device with WebGPU's
# default limits and no optional feature: all kernels and networks. Whole runs of the program, which
# use no others, are part of `make test-all`.
DEVICE_TESTS = core_kernels core_networks sgt_kernels goldens alignment judgement_kernels \
               judgement_goldens attribution_kernels attributions quantizers integer_kernels
PROGRAM_TESTS = training commands batch_norm

# Long runs, one after the other; short forms of them are part of `make test`.
soak: cargo driver
	$(CARGO) test --locked --test faults --test soak -- --ignored --nocapture --test-threads=1

.PHONY: demo test test-all soak bench fuzz web web-test deny driver release cargo clean

demo: cargo driver release
	./$(SALIQ) demo

bench: cargo driver release
	./$(SALIQ) bench

# `saliq check` runs with the program that the tests built: no second build.
test: cargo
	.ci/install-driver.sh --spirv-val
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	for features in "" models gpu check gpu,check; do $(CARGO) check --locked --lib --no-default-features --features "$$features" || exit 1; done
	$(CARGO) test --locked --lib --bins --tests --benches
	$(CARGO) test --locked --doc
	if command -v node >/dev/null; then for file in web/page/*.js web/test/*.mjs; do node --check $$file || exit 1; done; node web/test/page.mjs; else echo "left out: the page in a browser: node was not found"; fi
	SALIQ_DEVICE_PROFILE=webgpu $(CARGO) test --locked --test library -- \
	  $(addsuffix ::,$(DEVICE_TESTS))
	rm -rf $(SPIRV)
	$(CARGO) run --locked --quiet --profile test -- check --spirv $(SPIRV) $(if $(GITHUB_ACTIONS),--format github)
	.ci/spirv-val.sh $(SPIRV)

test-all: test
	$(MAKE) soak
	SALIQ_DEVICE_PROFILE=webgpu $(CARGO) test --locked --test program -- \
	  $(addsuffix ::,$(PROGRAM_TESTS))
	DEVICE_TESTS="$(DEVICE_TESTS) $(PROGRAM_TESTS)" .ci/test-more.sh

fuzz: cargo
	fuzz/run.sh

web: cargo
	CARGO=$(CARGO) web/build.sh

web-test: web
	cd web && npm ci --no-audit --no-fund --silent && node test/run.mjs

deny: cargo
	@command -v cargo-deny >/dev/null || { echo "cargo-deny was not found: cargo install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny --locked check
	$(CARGO) deny --manifest-path fuzz/Cargo.toml --locked check
	$(CARGO) deny --manifest-path web/Cargo.toml --locked check

driver:
	@.ci/install-driver.sh

release: cargo
	$(CARGO) build --release --locked

cargo:
	@command -v $(CARGO) >/dev/null || { \
	  echo "cargo was not found. Install Rust from https://rustup.rs:" >&2; \
	  echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2; exit 1; }

clean:
	$(CARGO) clean
