# Sprechprobe. "make help" lists the targets; CI calls only make.

# Debian packages that tests use as real counterparts, each by the program it brings.
APT = \
  gcc:gcc \
  xz-utils:xz \
  coturn:turnserver \
  dnsmasq-base:dnsmasq \
  nginx-light:nginx \
  tinyproxy-bin:tinyproxy \
  iproute2:ip \
  nftables:nft \
  iptables:iptables \
  udhcpc:udhcpc \
  iperf3:iperf3 \
  ethtool:ethtool \
  tayga:tayga \
  qemu-user-static:qemu-arm-static \
  chromium:chromium \
  systemd:systemd-socket-activate \
  qemu-system-arm:qemu-system-aarch64 \
  device-tree-compiler:dtc \
  g++:g++ \
  arduino-core-avr:avr-g++ \
  postgresql:pg_lsclusters \
  busybox:busybox \
  apt-utils:apt-ftparchive \
  lintian:lintian \
  systemd-container:systemd-nspawn \
  shellcheck:shellcheck \
  mandoc:mandoc \
  gnupg:gpg
GUEST = $(or $(SPRECHPROBE_GUEST),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sprechprobe/guest)
TARGETS = amd64 arm64 armv7 armv6 mips mipsle
DIST = dist
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
export PATH := $(PATH):/usr/sbin:/sbin
export CGO_ENABLED ?= 0
GO ?= go
COMMIT ?= $(shell git log -1 --format=%ct 2>/dev/null)
INFO = github.com/sprechprobe/sprechprobe/cmd/internal/buildinfo
BUILD = $(GO) build -trimpath -buildvcs=false -ldflags="-s -w -X $(INFO).version=$(VERSION) -X $(INFO).commit=$(COMMIT)"

# No inlining outside the hot packages: 0.5 MB less flash on the routers.
SMALL = $(shell cat packaging/mips.flags)

# What is printed of the matrix: its table; of a row that is wrong, everything.
MATRIX = set -o pipefail; LAB=must
TABLE = | sed -E '/^=== /d; /^ *--- PASS/d; /^PASS$$/d'
SHELL = /bin/bash

# Packages tested side by side. The first run has whole networks and machines in it,
# and wants the cores; the tests of the second mostly wait.
SIDE ?= 2
RACE_SIDE ?= 4

.PHONY: help build test lab fuzz bench lint demo dist sizes programs clean counterparts guest

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

build: ## both programs into bin/
	$(BUILD) -o bin/ ./cmd/...

test: counterparts lint ## everything, against real counterparts where they can be had
	GO="$(GO)" .ci/gotest -p $(SIDE) -timeout 30m -- ./...
	GO="$(GO)" CGO_ENABLED=1 .ci/gotest -p $(RACE_SIDE) -timeout 30m -race -short -- ./agent/... ./hal/...
	@[ -n "$(SPRECHPROBE_CLUSTER)" ] || echo "LEFT OUT: two fleet programs on a cluster, which takes minutes; make lab has it"
	@[ -n "$(SPRECHPROBE_DEBIAN_GUEST)" ] || echo "LEFT OUT: Debian with lamps, button and ports, and packages of every architecture, which take minutes; make lab has them"
	@[ -n "$(SPRECHPROBE_LOAD)" ] || echo "LEFT OUT: a fleet of 100,000 boxes, which takes a quarter of an hour; make lab has it"

lab: counterparts ## the fault matrix, played (every fault, every oddity 20 times, then both cores busy), a vendor's cluster and large fleet, and Debian with lamps
	@$(MATRIX) SPRECHPROBE_MATRIX_REPEATS=$${REPEATS:-20} $(GO) test -count=1 -timeout 120m -v ./cmd/sprechprobe/matrix $(TABLE)
	@echo "the same beside $${LOAD:-2} busy cores:"
	@$(MATRIX) SPRECHPROBE_MATRIX_LOAD=$${LOAD:-2} $(GO) test -count=1 -timeout 60m -v ./cmd/sprechprobe/matrix $(TABLE)
	@echo "two fleet programs on a cluster:"
	SPRECHPROBE_CLUSTER=1 LAB=must $(GO) test -count=1 -timeout 20m -run TestTwoServe ./cmd/sprechprobe-fleet
	@echo "a fleet of 100,000 boxes:"
	SPRECHPROBE_LOAD=100000 $(GO) test -count=1 -timeout 40m -v -run 'TestLoad$$' ./cmd/sprechprobe-fleet
	@echo "Debian with lamps, button and ports:"
	@$(MAKE) -s guest SPRECHPROBE_DEBIAN_GUEST=1
	SPRECHPROBE_DEBIAN_GUEST=1 LAB=must $(GO) test -count=1 -timeout 30m -run 'TestDebianGuest|TestArchitectures' ./hal/guest ./packaging/debian

fuzz: ## each fuzz target for a minute (FUZZTIME=10m for a release)
	@for p in $$(grep -lr --include='*_test.go' '^func Fuzz' agent hal cmd | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$p/*_test.go | sed 's/func //'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-1m} -fuzzminimizetime 5x ./$$p || exit 1; \
	  done; done

bench: ## the benchmarks, ten runs each for benchstat
	$(GO) test -run '^$$' -bench . -benchmem -count 10 ./...

lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -s -l agent hal cmd openwrt packaging)" || { gofmt -s -l agent hal cmd openwrt packaging; echo "run gofmt -s -w on these"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

demo: build ## the product on this machine: far ends, box, dashboard (make demo ARGS=--once)
	bin/sprechprobe-fleet demo --box bin/sprechprobe $(ARGS)

# What else make dist makes; packaging/*.mk add their targets.
PARTS =
include packaging/debian/debian.mk
-include packaging/openwrt.mk

dist: programs ## programs, packages and repositories for every platform, into dist/
	@set -e; for p in $(PARTS); do $(MAKE) -s $$p; done
	@cd $(DIST) && rm -f SHA256SUMS* && find . -type f ! -name .sums -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum >.sums && mv .sums SHA256SUMS
	@[ -z "$(SIGN_KEY)" ] || gpg --batch --yes --local-user "$(SIGN_KEY)" --armor --detach-sign --output $(DIST)/SHA256SUMS.asc $(DIST)/SHA256SUMS

sizes: ## the tables of sizes in docs, from what make dist has made
	@packaging/sizes $(DIST)

# The box's program (or PROGRAMS), static and stripped.
PROGRAMS = sprechprobe
programs:
	@mkdir -p $(DIST)
	@set -e; for p in $(PROGRAMS); do for t in $(TARGETS); do \
	  small=; \
	  case $$t in armv*) v="GOARCH=arm GOARM=$${t#armv}" ;; mips*) v="GOARCH=$$t GOMIPS=softfloat"; small="$(SMALL)" ;; *) v="GOARCH=$$t" ;; esac; \
	  env GOOS=linux CGO_ENABLED=0 $$v $(BUILD) $$small -o $(DIST)/$$p-linux-$$t ./cmd/$$p; \
	  ls -l $(DIST)/$$p-linux-$$t | awk '{print $$5, $$9}'; \
	done; done

clean: ## what make made
	rm -rf bin dist

# counterparts installs what is missing where it may, and says what stays out.
counterparts:
	@missing=; for p in $(APT); do command -v $${p#*:} >/dev/null || missing="$$missing $${p%%:*}"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get -q update >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $$missing >/dev/null; \
	  elif [ "$$LAB" = must ]; then echo "missing:$$missing"; exit 1; \
	  else echo "LEFT OUT: tests against$$missing (not installed, and this is not root on Debian)"; fi; \
	fi
	@$(MAKE) -s guest || if [ "$$LAB" = must ]; then exit 1; else echo "LEFT OUT: tests on a real kernel (see above)"; fi

# guest fetches the kernel that the tests in hal/guest boot, and Debian to boot and
# to install packages into.
guest:
	@.ci/guest-kernel "$(GUEST)"
	@.ci/guest-root "$(GUEST)" $(if $(SPRECHPROBE_DEBIAN_GUEST),arm64) armhf $$(dpkg --print-architecture)
