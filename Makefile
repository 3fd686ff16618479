# The front door. Meson does the building; this installs what is missing
# (see deps/) and says in one word what to do.
#
#   make            build/et
#   make demo       the whole job, end to end, on this machine
#   make test       every test
#   make bench      speed against peers, as ratios
#   make lint       formatting and static checks
#   make install    PREFIX=/usr/local

PREFIX ?= /usr/local

.PHONY: all deps demo test bench lint install clean

all: build/build.ninja
	@ninja -C build

deps:
	@deps/install deps/build.txt

build/build.ninja: | deps
	@meson setup build -Dtests=false --prefix '$(PREFIX)' >build-setup.log 2>&1 || { cat build-setup.log; exit 1; }
	@rm -f build-setup.log

demo: all
	@deps/install deps/demo.txt
	@/usr/bin/python3 examples/alphabet/demo.py --et build/et

test: deps
	@deps/install deps/test.txt deps/demo.txt
	@deps/npm tests/e2e
	@/usr/bin/python3 tests/run.py

bench: all
	@deps/install deps/bench.txt
	@deps/npm bench
	@meson configure build -Dbench=true
	@ninja -C build
	@/usr/bin/python3 bench/run.py

lint:
	@deps/install deps/lint.txt
	@tests/lint

install: all
	@meson configure build --prefix '$(PREFIX)'
	@meson install -C build
	@ln -sf et '$(DESTDIR)$(PREFIX)/bin/caffe'

clean:
	rm -rf build build-*
