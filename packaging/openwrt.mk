# OpenWrt's packages and feeds, from the programs of make dist, into dist/openwrt/.
# packaging/openwrt/pack says which keys sign them. The Makefile includes this.
PARTS += openwrt

.PHONY: openwrt
openwrt:
	GO=$(GO) packaging/openwrt/pack $(or $(DIST),dist) $$(packaging/openwrt/version) $(or $(COMMIT),0)
