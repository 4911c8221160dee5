# Debian packages of both programs, and an apt repository of them in dist/apt.
# Included by the Makefile.

# Of each architecture what runs on all its machines: armhf on the first Raspberry
# Pi as well, armel without a floating point unit.
DEBS = amd64 arm64 armhf armel
DEBPROGRAMS = sprechprobe sprechprobe-fleet
GOTARGET = $(patsubst armel,armv5,$(patsubst armhf,armv6,$(1)))
PARTS += debs

# Debian's versions begin with a digit and sort candidates before releases. A
# commit without a release before it goes by its day.
DEBVERSION := $(shell echo "$(VERSION)" | sed -nE 's/^v?([0-9]+\.[0-9].*)$$/\1/p' | sed -E 's/-rc/~rc/; s/-/+/; s/-/./g')
ifeq ($(DEBVERSION),)
DEBVERSION := 0~$(shell date -u -d "@$(or $(COMMIT),0)" +%Y%m%d).$(subst -,.,$(VERSION))
endif

export SOURCE_DATE_EPOCH ?= $(or $(COMMIT),0)
NFPM = $(GO) tool -modfile=packaging/tools.mod nfpm

# How packages are compressed, and a directory with programs of this machine to make
# manuals from, if there is one already: tests spare what they do not show.
DEBZIP = xz
NATIVE =

.PHONY: debs
debs: ## Debian packages and their repository, into dist/apt (SIGN_KEY=... signs it)
	@$(MAKE) -s programs PROGRAMS="$(DEBPROGRAMS)" TARGETS="$(foreach d,$(DEBS),$(call GOTARGET,$d))"
	@set -e; stage=$(DIST)/.stage; rm -rf $$stage; mkdir -p $$stage $(DIST)/sbom; \
	native=$(or $(NATIVE),$$stage/bin); \
	[ -n "$(NATIVE)" ] || GOFLAGS= $(GO) build -o $$native/ $(DEBPROGRAMS:%=./cmd/%) ./packaging/release; \
	for p in $(DEBPROGRAMS); do \
	  packaging/debian/stage $$native/$$p $$stage "$(DEBVERSION)" "$$SOURCE_DATE_EPOCH"; \
	  sed 's/compression: xz/compression: $(DEBZIP)/' packaging/nfpm-$$p.yaml >$$stage/$$p.yaml; \
	  for d in $(foreach d,$(DEBS),$d:$(call GOTARGET,$d)); do \
	    program=$(DIST)/$$p-linux-$${d#*:}; \
	    $$native/release copyright $$program >$$stage/$$p.copyright; \
	    VERSION="$(VERSION)" $$native/release sbom $$program >$(DIST)/sbom/$$p-linux-$${d#*:}.cdx.json; \
	    DEB_ARCH=$${d%:*} DEB_VERSION="$(DEBVERSION)" PROGRAM=$$program STAGE=$$stage \
	      $(NFPM) package --packager deb -f $$stage/$$p.yaml -t $$stage/; \
	  done; \
	done; \
	packaging/debian/repository $(DIST)/apt "$$SOURCE_DATE_EPOCH" $$stage/*.deb; \
	rm -rf $$stage; ls -l $(DIST)/apt/pool/main/s/*/*.deb | awk '{print $$5, $$9}'
