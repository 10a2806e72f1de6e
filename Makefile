# Event queues in C, step by step: the one place where everything can be started.
#
# `make` says what is next, `make help` lists every target. This file only calls others: each
# chapter, tests/ and tools/ have a Makefile of their own, and the rest is scripts in tools/.
# GNU make 3.81 or newer. The BSDs have another one: there BSDmakefile hands over to gmake.
# All paths are relative, so the checkout may stand in a folder with a space in its name.
#
# Variants. SAN=address,undefined or NDEBUG=1 build the same sources into folders of their own:
# $(OUT) is "build", "build/san-address-undefined", "build/ndebug" ..., here and in each chapter.

# GNU make skips these lines. bmake, if it has not found BSDmakefile by itself (NetBSD), stops here.
ifdef BMAKE_READS_A_RULE_HERE:
.error This Makefile is for GNU make. Type gmake instead of make, or: make -f BSDmakefile
endif

# What a person may set on the command line. (TEST_SLOWDOWN, GUESS, JSON, PLAIN and NO_COLOR are
# read by the programs themselves; make hands them on.)
CH      =#     chapter: 01
STEP    =#     step in the chapter: 2
ROW     =#     row of the contract: survives_rst
SAN     =#     sanitizers: address,undefined or thread
NDEBUG  =#     1: without assertions
L       =#     lab: 01/name
EX      =#     exercise: 01.1
HINT    =#     1 or 2: a hint for the exercise
SOLUTION =#    1: the solution of the exercise
KIND    =#     temper of a peer: silent
PORT    =#     port of the server; without it: the server started last
N       =#     how many peers at once, or guests of the soak
DIR     =#     folder of submissions
NAME    =#     for a clinic: whose server
COPIES  =#     for a rehearsal of grading: how many
SERVER  =#     any program that keeps the command line of our servers: './mine -x'
ARGS    =#     more words for the program
Z       =#     patch of the bug zoo: 04_one_turn_per_edge
FILE    =#     source whose mutants are wanted: conn.c
MAX     =#     how many mutants at most; 0: all
SEED    =#     which of them are drawn: 1; or a student, for exercises that differ: ann
SEEDS   =#     1: each folder of a student is named for the seed
MINUTES =#     how long each server is soaked: 10
BACKEND =#     of evq: io_uring, epoll, poll, kqueue or iocp
JOBS    =#     how many mutants are run at a time: 2
QUICK   =#     1: bench for two minutes, not for half an hour; of valgrind a sample
CFLAGS  = -O2 -g
export SERVER

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := next

# ---- variants ------------------------------------------------------------------------------------

comma   := ,
empty   :=
space   := $(empty) $(empty)
dashed   = $(subst $(space),-,$(strip $(1)))
is_on    = $(filter-out 0,$(strip $(1)))
sans    := $(sort $(subst $(comma),$(space),$(strip $(SAN))))
unknown := $(filter-out address undefined thread leak,$(sans))

ifneq ($(unknown),)
$(error SAN=$(strip $(SAN)): there is no '$(unknown)', only address, undefined, thread and leak)
endif
ifneq ($(and $(filter thread,$(sans)),$(filter address leak,$(sans))),)
$(error SAN=$(strip $(SAN)): thread cannot be combined with address or leak)
endif

VARIANT := $(call dashed,$(if $(sans),san $(sans)) $(if $(call is_on,$(NDEBUG)),ndebug))
OUT     := build$(VARIANT:%=/%)

san_cflags    = -fsanitize=$(subst $(space),$(comma),$(sans)) -fno-sanitize-recover=all \
                -fno-omit-frame-pointer
variant_flags = $(CFLAGS) $(if $(sans),$(san_cflags)) $(if $(call is_on,$(NDEBUG)),-DNDEBUG)

# A sanitizer that has found something ends the program at once, with a status of its own.
ifneq ($(sans),)
ASAN_OPTIONS  ?= halt_on_error=1:exitcode=99
LSAN_OPTIONS  ?= exitcode=99
TSAN_OPTIONS  ?= halt_on_error=1:exitcode=99
UBSAN_OPTIONS ?= halt_on_error=1:print_stacktrace=1:exitcode=99
export ASAN_OPTIONS LSAN_OPTIONS TSAN_OPTIONS UBSAN_OPTIONS
endif

# ---- calling the others --------------------------------------------------------------------------

CHAPTERS := $(patsubst chapters/%/Makefile,%,$(wildcard chapters/*/Makefile))

# epoll is of Linux alone. Elsewhere chapter 04 is read here and run in a container.
ifneq ($(shell uname -s),Linux)
CHAPTERS := $(filter-out 04_epoll,$(CHAPTERS))
endif
has_epoll := $(filter 04_epoll,$(CHAPTERS))

# A part of the chapters may stand alone, without the library and the bench.
library   := $(filter chapter-07_crossplatform,$(CHAPTERS:%=chapter-%))
has_bench := $(and $(has_epoll),$(filter 07_crossplatform,$(CHAPTERS)),$(wildcard bench/Makefile))

# Quiet where there is nothing to do: `make all` a second time says nothing.
in_chapter = $(MAKE) -s -C chapters/$(1) BUILD='$(OUT)' CFLAGS='$(variant_flags)'
in_tests   = $(MAKE) -s -C tests BUILD='../$(OUT)/tests' CFLAGS='$(variant_flags)'
in_tools   = $(MAKE) -s -C tools BUILD='../$(OUT)/tools' CFLAGS='$(variant_flags)'

# What CH, STEP, ROW and L name. A name that does not exist ends the recipe with one clear line.
find         = sh tools/find.sh
into_folder  = folder=$$($(find) chapter $(1)) || exit 2; folder=$${folder\#chapters/}
check_step   = $(find) step '$(CH)' '$(STEP)' >/dev/null || exit 2
check_row    = $(find) row '$(ROW)' >/dev/null || exit 2
check_lab    = $(find) lab '$(L)' >/dev/null || exit 2
lab_chapter  = $(firstword $(subst /, ,$(L)))
build_folder = $(call in_chapter,"$$folder") all $(built_on)

in_bench = $(MAKE) -s -C bench BUILD='../$(OUT)/bench' TESTS='../$(OUT)/tests' CFLAGS='$(variant_flags)' \
           LIBEVQ='../chapters/07_crossplatform/$(OUT)/libevq.a'

peer    = exec $(OUT)/tools/peer
to_peer = $(PORT:%=-p %) $(N:%=-n %) $(ARGS)
need    = sh tools/need.sh

# A Windows program that is given as SERVER is run by the script of the chapter that has such.
WINE    = sh chapters/06_iocp/wine.sh
by_wine = $(if $(filter %.exe,$(firstword $(SERVER))),$(WINE) )

# Where the lines "CC file" go: before programs whose stdout may be wanted alone, to stderr.
talk peer run lab check timeline diff: built_on = >&2

next:
	@echo "Event queues in C, step by step. What is next:"
	@echo "  make demo    watch the servers serve, starve and burn CPU (45 s)"
	@echo "  make test    see it proven"
	@echo "  make help    everything else"
	@echo "To read: README.md, then chapters/01_blocking/README.md"

all: chapters tests tools $(if $(strip $(SAN)),,exercise-programs) $(if $(has_bench),bench-programs)

chapters: $(CHAPTERS:%=chapter-%)

# The servers alone, without the labs: that is all the demo needs.
steps: $(CHAPTERS:%=steps-%)

$(CHAPTERS:%=steps-%): steps-%: compiler
	@+$(call in_chapter,$*) steps $(built_on)

# For scripts: the chapters that can be built on this system.
chapter-makefiles:
	@echo $(CHAPTERS:%=chapters/%/Makefile)

$(CHAPTERS:%=chapter-%): chapter-%: compiler
	@+$(call in_chapter,$*) all $(built_on)

libraries: compiler
	@+$(in_tests) check $(built_on)

tests: libraries
	@+$(in_tests) all $(built_on)

tools: libraries
	@+$(in_tools) all $(built_on)

peer-and-launch: compiler
	@+$(in_tests) harness $(built_on)
	@+$(in_tools) peer launch $(built_on)

compiler:
	@$(need) '$(CC)'

.PHONY: next all chapters chapter-makefiles $(CHAPTERS:%=chapter-%) steps $(CHAPTERS:%=steps-%) libraries tests tools peer-and-launch compiler

# ---- learn ---------------------------------------------------------------------------------------
## learn

#: demo                                 watch them serve, starve and burn (45 s)
demo: steps tools
	@exec $(OUT)/tools/demo $(ARGS)

#: compare                              the same as one full table of numbers
compare: steps tools
	@exec $(OUT)/tools/demo --compare $(ARGS)

#: run CH=01 STEP=1 [ARGS='-p 7000']    start a step; Ctrl-C stops it
ifneq ($(strip $(SERVER)),)
run: peer-and-launch
	@mkdir -p build
	@exec $(OUT)/tools/launch build/last_port $(by_wine)$(SERVER) $(ARGS)
else
run: named-step peer-and-launch
	@exec sh tools/run.sh '$(OUT)' '$(CH)' '$(STEP)' $(ARGS)
endif

#: talk [PORT=]                         type to the last server, read its echo
talk: peer-and-launch
	@$(peer) talk $(to_peer)

#: peer KIND=rst [PORT=] [N=]           silent flood fast rst half drip or ping
peer: peer-and-launch
	@$(peer) '$(KIND)' $(to_peer)

#: lab L=01/name [GUESS=b]              one experiment: predict, then see
lab: named-lab
	@exec sh tools/lab.sh '$(OUT)' '$(L)'

#: labs                                 all experiments, one after the other
labs: chapters
	@exec sh tools/lab.sh '$(OUT)'

#: bench [QUICK=1]                      measure it all here: tables, pictures
bench: bench-programs
	@sh bench/run.sh '$(OUT)' $(if $(call is_on,$(QUICK)),quick,full)
	@awk -f bench/table.awk '$(OUT)/bench/figures.csv'
	@exec sh bench/draw.sh '$(OUT)'

# Its load generator is built on epoll; elsewhere there is less of it, and run.sh says so.
bench-programs: steps libraries chapter-07_crossplatform
	@+$(in_bench) $(built_on)

#: timeline CH=04 STEP=1 [PLAIN=1]      its threads and their waits, drawn
#: timeline [SERVER=./mine] [RECORD=1]  of mine; or of all, as the book has them
ifneq ($(strip $(SERVER)),)
timeline:
	@exec sh tools/timeline.sh '$(OUT)' --server "$$SERVER"
else ifneq ($(strip $(CH)$(STEP)),)
timeline: named-step
	@exec sh tools/timeline.sh '$(OUT)' '$(CH)' '$(STEP)'
else
timeline: steps chapter-07_crossplatform
	@exec sh tools/timeline.sh '$(OUT)'
endif

#: diff CH=02 STEP=2                    a step against the one before it
diff:
	@exec sh tools/diff.sh '$(CH)' '$(STEP)'

#: new CH=02 STEP=2                     copy a step into mine/, to change it
new:
	@exec sh tools/new.sh '$(CH)' '$(STEP)'

named-chapter: compiler
	@+$(call into_folder,'$(CH)'); $(build_folder)

named-step: compiler
	@+$(check_step); $(call into_folder,'$(CH)'); $(build_folder)

named-lab: compiler
	@+$(check_lab); $(call into_folder,'$(lab_chapter)'); $(build_folder)

.PHONY: demo compare run talk peer lab labs bench bench-programs timeline diff new named-chapter named-step named-lab

# ---- check mine ----------------------------------------------------------------------------------
## check mine

#: check SERVER=./mine [ROW=] [JSON=1]  the contract, on any program
check: chapters libraries
	@$(if $(strip $(SERVER)),,echo "SERVER is not given: make check SERVER=./mine" >&2; exit 2)
	@$(if $(strip $(ROW)),$(check_row))
	@$(if $(by_wine),$(WINE) --start || exit 1)
	@exec $(OUT)/tests/check $(ROW:%=--row %) $(if $(call is_on,$(JSON)),--json) --server "$(by_wine)$$SERVER"

#: exercise EX=01.1 [HINT=] [SOLUTION=]  begin one, or grade your answer
exercise: grader
	@CC='$(CC)' CFLAGS='$(CFLAGS)' HINT='$(HINT)' SOLUTION='$(SOLUTION)' SEED='$(SEED)' sh tools/exercise.sh do '$(OUT)' '$(EX)'

#: exercises                            all exercises, and how far you are
exercises:
	@exec sh tools/exercise.sh list

grader: compiler
	@+$(in_tests) grade $(built_on)

# For the tests: what each exercise begins with, what looks right, and what is. Some are linked with evq.
exercise-programs: $(library)
	@+CC='$(CC)' sh tools/exercise.sh programs '$(OUT)' '$(variant_flags)'

#: test [SAN=] [TEST_SLOWDOWN=]         all tests, and a table of what was run
#: test CH=01 [STEP=] [ROW=]            only these rows of the contract
run_tests = STEPS_BUILD='$(OUT)' exec sh tests/run.sh '$(OUT)/tests'

ifneq ($(strip $(CH)$(STEP)$(ROW)),)
test: choices setup-for-tests chosen-steps contract-test
	@$(run_tests) test_contract
else
test: setup-for-tests all ndebug-steps
	@$(run_tests)
endif

choices:
	@$(if $(strip $(ROW)),$(check_row))
	@$(if $(strip $(STEP)),$(check_step))

# Whatever it can or cannot install: the tests run, and skip in words what is missing.
setup-for-tests:
	@sh tools/setup.sh --for test --go-on || :

# Only what the chosen rows need; one of them wants the servers without assertions, too.
chosen = $(if $(strip $(CH)),named-chapter,chapters)
chosen-steps: $(chosen)
ifneq ($(filter ndebug_still_serves,$(or $(strip $(ROW)),ndebug_still_serves)),)
	@+$(without_assertions) $(chosen)
endif

without_assertions = $(MAKE) NDEBUG=1 SAN= CFLAGS='$(CFLAGS)'
ndebug-steps:
	@+$(without_assertions) steps

contract-test: libraries
	@+$(in_tests) '../$(OUT)/tests/test_contract' $(built_on)

.PHONY: check exercise exercises grader exercise-programs test choices setup-for-tests chosen-steps ndebug-steps contract-test

# ---- teach ---------------------------------------------------------------------------------------
## teach

#: matrix                               which step keeps which row, and why not
matrix:
	@exec sh tools/matrix.sh '$(CH)' '$(OUT)/tests/contract.tsv'

#: docs                                 the pages and the API as a site
docs:
	@$(need) doxygen
	@exec sh tools/docs.sh

#: docs-pdf                             the same as one PDF
docs-pdf: docs
	@exec sh tools/docs_pdf.sh

#: browser                              the site, in a real browser
browser:
	@sh tools/browser/check.sh || [ $$? -eq 77 ]

.PHONY: matrix docs docs-pdf browser

# ---- teach a course ------------------------------------------------------------------------------
# All of this part is left out of a handout for students (tools/handout.py).

#: handout [CHAPTERS=01-04] [SEED=ann]  pack it for students, without solutions
handout:
	@$(need) python3
	@exec python3 tools/handout.py '$(if $(filter command,$(origin CHAPTERS)),$(CHAPTERS))' '$(SEED)'

#: grade DIR=submissions [JSON=] [SEEDS=1]  grade what a class has handed in
grade: grader $(library)
	@$(need) python3
	@[ "$$(uname -s)" = Linux ] || { echo "The box for strangers' programs is for Linux alone: grade there" >&2; exit 1; }
	@+$(in_tools) confine $(built_on)
	@SEEDS='$(SEEDS)' exec python3 tools/grade.py '$(OUT)' '$(DIR)' '$(filter-out 1,$(JSON))'

#: grade-rehearsal [COPIES=60]          grade good and hostile copies, and check
grade-rehearsal: grader $(library)
	@$(need) python3
	@+$(in_tools) confine $(built_on)
	@exec python3 tools/grade_rehearsal.py '$(OUT)' '$(COPIES)'

#: slides                               a deck for each week: build/slides/
slides:
	@exec sh tools/slides.sh

#: clinic NAME=ann                      which bug has her server? (teaching)
clinic:
	@sh tools/clinic.sh --bug '$(NAME)'

#: rehearse                             the plan's commands, in a fresh handout
rehearse: all
	@$(need) python3
	@exec sh tools/rehearse.sh '$(OUT)'

.PHONY: handout grade grade-rehearsal slides clinic rehearse

# ---- house ---------------------------------------------------------------------------------------
## house

#: all [SAN=] [NDEBUG=1] [WERROR=1]     build everything
#: setup                                install what is missing, after asking
setup:
	@exec sh tools/setup.sh $(ARGS)

#: install [PREFIX=] [DESTDIR=]         evq: libraries, header, man pages
install: compiler
	@+$(call in_chapter,07_crossplatform) install

#: uninstall [PREFIX=] [DESTDIR=]       takes the same files away again
uninstall: compiler
	@+$(call in_chapter,07_crossplatform) uninstall

#: amalgamation                         evq as two files: build/amalgamation/
amalgamation:
	@sh chapters/07_crossplatform/evq/tools/amalgamate.sh '$(OUT)/amalgamation'

#: coverage                             what the tests reach of evq, and what not
coverage: compiler
	@+MAKE='$(MAKE)' exec sh tools/coverage.sh '$(OUT)/coverage'

#: mutants [FILE=] [MAX=] [SEED=]       do the tests notice small mistakes?
mutants: compiler
	@$(need) python3 clang
	@+MAKE='$(MAKE)' exec python3 tools/mutants.py '$(OUT)/mutants' '$(FILE)' '$(MAX)' '$(SEED)' '$(JOBS)'

#: valgrind [QUICK=1] [CH= STEP=]       steps, labs, tools, evq: memory errors?
ifneq ($(strip $(CH)$(STEP)),)
valgrind: named-step libraries
	@$(check_step); exec sh tools/valgrind.sh '$(OUT)' step '$(CH)' '$(STEP)'
else
valgrind: chapters libraries tools
	@+$(in_tests) $(addprefix '../$(OUT)/tests/,$(addsuffix ',test_conn test_lines $(if $(library),test_evq))) $(built_on)
	@exec sh tools/valgrind.sh '$(OUT)' $(if $(call is_on,$(QUICK)),quick)
endif

#: faults [ARGS='04/2 05/1']            each call of the steps fails once
faults: fault-test
	@FAULTS_SECONDS=0 exec $(OUT)/tests/test_chapter_faults $(ARGS)

#: fault-table                          the same, and its page is written anew
fault-table: fault-test
	@$(OUT)/tests/test_chapter_faults table 3>$(OUT)/tests/fault-table.md
	@cp $(OUT)/tests/fault-table.md tests/chapter_faults/README.md

fault-test: libraries
	@+$(in_tests) '../$(OUT)/tests/test_chapter_faults' $(built_on)

#: bench-check                          is the bench right? is evq fast?
bench-check: bench-programs
	@sh bench/run.sh '$(OUT)' check
	@exec awk -f bench/check.awk '$(OUT)/bench/check.csv'

#: zoo [Z=name] [ZOO_PART=1/6]          put known bugs back: do tests notice?
zoo: compiler
	@+MAKE='$(MAKE)' exec sh tools/zoo.sh $(Z)

#: soak MINUTES=10 [CH= STEP= BACKEND=]  5,000 guests for long, all counted
#: soak [MINUTES=] [N=] SERVER=./mine   the same, on any program
to_soak = $(MINUTES:%=-m %) $(N:%=-n %) $(CH:%=-c %) $(STEP:%=-s %) $(BACKEND:%=-b %)
soak: chapters examples-for-windows libraries
	@+$(in_tests) soak $(built_on)
	@$(if $(by_wine),$(WINE) --start || exit 1)
	@STEPS_BUILD='$(OUT)' exec $(OUT)/tests/soak $(to_soak) $(ARGS) $(by_wine)$(SERVER)

# IOCP is soaked by Wine. Without the cross compiler it is skipped, in words.
examples-for-windows: compiler
	@! command -v x86_64-w64-mingw32-gcc >/dev/null || [ -z '$(library)' ] || \
	    $(MAKE) -s -C chapters/07_crossplatform/examples BUILD='../$(OUT)' CFLAGS='$(CFLAGS)' windows $(built_on)

#: lint                                 style, links, drift of pages and copies
lint:
	@exec sh tools/lint.sh $(ARGS)

#: weave                                put the sources' code into the pages
weave:
	@exec sh tools/weave.sh $(ARGS)

#: carry                                copy born files into later chapters
carry:
	@exec sh tools/carry.sh

#: format                               clang-format on all sources
format:
	@$(need) git clang-format
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i

#: compdb                               compile_commands.json, for editors
compdb:
	@$(need) bear
	@rm -rf build/compdb chapters/*/build/compdb
	@bear --output compile_commands.json -- $(MAKE) VARIANT=compdb all

#: clean                                remove all that make has built
clean:
	@$(WINE) --end
	rm -rf build chapters/*/build

#: help                                 this list
help:
	@awk -f tools/help.awk Makefile

.PHONY: setup install uninstall amalgamation coverage mutants valgrind faults fault-table fault-test bench-check zoo \
    soak examples-for-windows lint weave \
    carry format compdb clean help
