# make demo   the main job end to end, on a real web application, in a minute
# make test   everything that can be tested without a network
#
# Every target works from a clean checkout. GOTOOLCHAIN=auto fetches the Go
# that go.mod names when the installed one is older; an installation may have
# set "local", which refuses.

export GOTOOLCHAIN := auto

GO    ?= go
BIN   := bin
TOOLS := $(BIN)/tools

# Without cgo the binary runs on any Linux; without paths and revision in it,
# the same source gives the same bytes.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false

.DELETE_ON_ERROR:
.PHONY: all build demo test bench accept lint fmt fix vet modernize staticcheck govulncheck repro clean

all: build

build:
	$(BUILD) -o $(BIN)/capstan ./cmd/capstan

# KEEP=1 leaves the server of the demo running.
demo: build
	$(GO) run ./test/demo

# The race detector needs cgo, and so a C compiler.
test: vet
	CGO_ENABLED=1 $(GO) test -race -count=1 ./...

bench:
	$(GO) run ./test/bench

# Each acceptance program ends in one line that says what was tried and whether
# it held. "make accept-NAME" runs one, "make accept" all.
accept: $(patsubst test/accept/%/,accept-%,$(sort $(wildcard test/accept/*/)))

accept-%:
	$(GO) run ./test/accept/$*

lint: fmt vet modernize staticcheck govulncheck repro
	@echo "lint: ok"

fmt:
	@files="$$(gofmt -l $$(git ls-files '*.go'))"; \
	if [ -n "$$files" ]; then echo "not formatted, run gofmt -w on:"; echo "$$files"; exit 1; fi

vet:
	$(GO) vet ./...

# Prints what `go fix ./...` would change, and fails when that is anything.
modernize:
	$(GO) fix -diff ./...

staticcheck: $(TOOLS)/staticcheck
	$(TOOLS)/staticcheck ./...

# The list of known vulnerabilities comes over the network. Not reaching it
# says nothing about this code, so it is told and does not fail.
govulncheck: $(TOOLS)/govulncheck
	@out="$$($(TOOLS)/govulncheck ./... 2>&1)" && status=0 || status=$$?; \
	case "$$out" in \
	*"fetching vulnerabilities"*) echo "$$out"; echo "govulncheck: NOT CHECKED, the list of known vulnerabilities could not be reached" ;; \
	*) echo "$$out"; exit $$status ;; \
	esac

# Two builds give the same bytes, also from another folder. The second one
# compiles everything anew, so that the build cache cannot make them equal.
repro: build
	@dir="$$(mktemp -d)"; trap 'rm -rf "$$dir"' EXIT; \
	mkdir "$$dir/src" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$$dir/src" && \
	(cd "$$dir/src" && $(BUILD) -a -o "$$dir/capstan" ./cmd/capstan) && \
	cmp $(BIN)/capstan "$$dir/capstan" && echo "repro: two builds, same bytes: $$(sha256sum < $(BIN)/capstan | cut -c1-64)"

$(TOOLS)/staticcheck: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../$@ honnef.co/go/tools/cmd/staticcheck

$(TOOLS)/govulncheck: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../$@ golang.org/x/vuln/cmd/govulncheck

clean:
	rm -rf $(BIN)
