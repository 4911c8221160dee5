# OpenWrt's packages and feeds, from the programs of make dist. The Makefile
# includes this.

# OpenWrt sorts versions by numbers alone: 1.2.3 for a release, 1.2.3.4~hash for
# the fourth commit after it.
OPENWRT_VERSION ?= $(shell packaging/openwrt/version)
OPENWRT_EPOCH ?= $(or $(COMMIT),0)

.PHONY: openwrt
openwrt: ## OpenWrt's packages and feeds from what make dist has built, into dist/openwrt/
	GO=$(GO) packaging/openwrt/pack dist $(OPENWRT_VERSION) $(OPENWRT_EPOCH)
