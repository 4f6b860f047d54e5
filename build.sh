#!/usr/bin/env bash
# Everything a person types to build, run and test Zazen. `./build.sh --help` lists the commands.
#
# This file reads the command line; what the commands do is in tools/sh/, one file each.
set -euo pipefail

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
BUILD=${ZAZEN_BUILD:-$ROOT/build}
[[ $BUILD == /* ]] || BUILD=$PWD/$BUILD
LOGS=$BUILD/log
readonly ROOT BUILD LOGS

# Names of the boards, the default one first, from their table.
mapfile -t BOARDS < <(sed -nE 's/^    name: "(.+)",$/\1/p' "$ROOT/crates/board/src/boards.rs")

for part in common count doctor sdk guest debian image el2 qemu check test bench figures fairness budgets inspect; do
    # shellcheck source=/dev/null
    source "$ROOT/tools/sh/$part.sh"
done

# What the options say; defaults as `--help` gives them.
HOST=           # microkit | el2; empty: microkit if an SDK is found, else el2
BOARD=${BOARDS[0]}
CONFIG=debug
CORES=1
DOMAINS=        # domains file; empty: the board's default
UNTIL=          # extended regular expression, or empty for an interactive run
TIMEOUT=        # seconds, or empty
ICOUNT=no
DRY_RUN=no
OUTPUT=         # image -o, inspect -o
DISK=           # run: file of the board's disk, or its size; empty: the Debian's where the domains file wants that, else none
NIC=            # run: QEMU's backend of the board's network device; empty: user where the domains file wants an uplink, else none
SYSTEM=         # system description instead of the generated one
FORMAT=         # inspect: table | json | dot | svg; empty: the table and the others as files
HOST_ONLY=no
MULTICORE=no
REAL_TIME=no    # time is the host's even where --icount would be the default
CHECK=no        # test: what `check` does, too; bench: compare with the committed figures
UPDATE=no       # bench: commit the figures
INSTALL=no
FILTER=         # test, check: only what has this in its name; bench --fairness: only such attacks
FAIRNESS=no
BUDGETS=no

usage() {
    cat <<'END'
Usage: ./build.sh COMMAND [OPTIONS]

  doctor    say which tools are there and which are missing
  check     formatting, lints, documentation, dependency direction
  test      everything a contributor should run: host tests, then boot tests
  image     build a bootable image
  run       build an image and boot it in QEMU
  bench     instruction counts of one operation each, and of a boot
  inspect   who holds which capability
  clean     remove build/ (--all: the cargo target directories too)

./build.sh COMMAND --help, or ./build.sh help COMMAND, tells a command's options; ./build.sh --version the version.
END
}

# The options that image, run and inspect share.
usage_image_options() {
    cat <<END
  --host microkit|el2    what carries the hypervisor (default: microkit if an SDK is found, else el2)
  --board BOARD          one of: ${BOARDS[*]} (default: the first; docs/BOARD.md has notes on others)
  --config CONFIG        seL4's configuration (microkit only): debug (default), release or benchmark; smp-debug and smp-release are
                         the multicore kernel: vCPUs run on all cores (docs/design/cores.md)
  --cores N              cores that vCPUs are spread over (el2 only; default: 1): what --config smp-release is to microkit
  --domains FILE.dts     domains file (default: domains/two-linux.dts, for other boards domains/BOARD-two-linux.dts)
  --system FILE.xml      system description instead of the one that follows from the domains file: docs/own-pds.md (microkit only)
END
}

usage_environment() {
    cat <<'END'

Environment:
  MICROKIT_SDK           the Microkit SDK (else ./sdk, else ~/microkit-sdk)
  ZAZEN_KERNEL           arm64 Linux Image for the guests instead of Debian's
  ZAZEN_INITRD           initial RAM disk for the guests instead of ours
  ZAZEN_BUILD            directory for all that is built (default: build/ of the checkout, which may be read-only then)
END
}

usage_doctor() {
    cat <<'END'
Usage: ./build.sh doctor [--install]

Lists every tool with its version, or what installs it. With --install, or as root, missing
Debian packages and the Rust target are installed. Ends 0 if nothing is missing.
END
}

usage_check() {
    cat <<'END'
Usage: ./build.sh check [--filter TEXT]

Formatting, clippy with warnings denied, documentation, shell scripts, the direction of
dependencies, and licences, sources and advisories (deny.toml) where cargo-deny is installed. pd/ is
checked where its git dependencies can be fetched and an SDK is found. What cannot be checked is
named and counted as skipped. The last line is "N passed, N failed, N skipped".

  --filter TEXT          only the checks whose name contains TEXT
END
}

usage_test() {
    cat <<'END'
Usage: ./build.sh test [--check] [--host-only] [--filter TEXT]

Runs the host tests, then boots images: on the EL2 host, and where an SDK is found on Microkit.
What cannot run is named and counted as skipped. The last line is "N passed, N failed, N skipped".

  --check                begin with what `check` does, and count it too
  --host-only            leave the boot tests out
  --filter TEXT          only the tests whose name contains TEXT, in other packages nothing is built
END
}

usage_image() {
    printf 'Usage: ./build.sh image [OPTIONS] [-o FILE]\n\nChecks the domains file, builds the image that the board'\''s boot loader loads, and prints its path.\n\n'
    usage_image_options
    printf '  -o FILE                also copy the image to FILE\n'
    usage_environment
}

usage_run() {
    printf 'Usage: ./build.sh run [OPTIONS]\n\nChecks the domains file, builds what is missing and boots it in QEMU. Ctrl-a three times moves the input to the next guest;\nCtrl-] x ends QEMU.\n\n'
    usage_image_options
    cat <<'END'
  --until REGEX          end with 0 when a line of the serial output matches (grep -E)
  --timeout SECONDS      end with 1 after so long (default with --until: 120)
  --disk FILE|SIZE       the board's disk: a raw image, or an empty one of that size (such as 64M) in build/disk.img, which is
                         kept. Without it a domains file with the partition "debian" gets build/debian/run.img, a copy of
                         the Debian that is made once
  --nic user|tap|none    what is behind the board's network device (zazen,uplink): QEMU's user network, in which this machine is
                         10.0.2.2 and hands out addresses; a tap device; or there is no such device. Options of QEMU's -netdev
                         may follow, such as user,hostfwd=tcp:127.0.0.1:8022-10.0.2.15:22 or tap,ifname=tap0,script=no.
                         Without it a domains file with an uplink gets user, others none
  --icount               count instructions: one is 1 ns of virtual time, runs repeat exactly
  --no-icount            do not, though this machine has fewer processors than the image has cores (docs/design/cores.md)
  --dry-run              print QEMU's command line instead; builds nothing
END
    usage_environment
}

usage_bench() {
    cat <<'END'
Usage: ./build.sh bench [--host microkit|el2] [--config CONFIG] [--check | --update | --fairness | --budgets | --multicore] [--filter TEXT]

Instruction counts of single operations and of a boot on the default board, as a table beside Xen's
and libvmm's, and as JSON in build/bench.json. Without --config the operations are measured on the
release configuration and the boot on debug and release. With --host el2 there is one configuration,
and the hypervisor's RAM and the size of the image are shown too.

  --check                end 1 where something is dearer than docs/figures.tsv has it: by more than 1 % on
                         Microkit, on EL2 by more than 2 % and 15 instructions
  --update               write what was measured to docs/figures.tsv and the table in docs/figures.md
  --fairness             instead: what guests get of the processor beside guests that attack it, as a
                         table in Markdown; ends 1 where one gets too little or waits for too long
  --budgets              instead: what a guest gets beside one that attacks and has a budget in each period,
                         and beside the same without it
  --multicore            instead: what a second core is worth to a guest and to its neighbour, by the host's clock, best of
                         five: docs/design/cores.md
  --filter TEXT          with these two: only the attacks whose name contains TEXT; without them "disk": only what disks cost
END
    usage_environment
}

usage_inspect() {
    cat <<'END'
Usage: ./build.sh inspect [OPTIONS] [--format FORMAT] [-o FILE]

Builds the image and says who holds which capability in it, who reaches which memory, who may call
whom, and whether that is as it should be (docs/inspect.md). Ends 0 if every rule holds, 1 if one is
broken. The EL2 host has no isolation to inspect.

END
    usage_image_options
    cat <<'END'
  --format FORMAT        table, json, dot or svg; without it the table on standard output, and the
                         others in build/inspect.{json,dot,svg}
  -o FILE                write to FILE instead of standard output
END
    usage_environment
}

usage_clean() {
    cat <<'END'
Usage: ./build.sh clean [--all]

Removes build/: images, guests, logs and the targets of the protection domains. With --all the
cargo target directory of the host workspace goes too.
END
}

# Reads the options of command $1 from the rest; refuses those the command does not have.
parse() {
    local command=$1 allowed
    shift
    case $command in
        doctor) allowed='--install' ;;
        check) allowed='--filter' ;;
        test) allowed='--check --host-only --filter' ;;
        image) allowed='--host --board --config --cores --domains --system -o' ;;
        run) allowed='--host --board --config --cores --domains --system --disk --nic --until --timeout --icount --no-icount --dry-run' ;;
        bench) allowed='--host --config --check --update --fairness --budgets --multicore --filter' ;;
        inspect) allowed='--host --board --config --domains --system --format -o' ;;
        clean) allowed='--all' ;;
        *) allowed='' ;;
    esac
    while (($#)); do
        local option=$1 value
        case $option in -h | --help)
            "usage_$command"
            exit 0
            ;;
        esac
        # --option=value is --option value.
        if [[ $option == --*=* ]]; then
            value=${option#*=}
            option=${option%%=*}
            shift
            set -- "$option" "$value" "$@"
        fi
        [[ " $allowed " == *" $option "* ]] || usage_error "$command" "'$option' is not an option of '$command'"
        case $option in
            --install | --check | --update | --host-only | --icount | --dry-run | --all | --fairness | --budgets | --no-icount | --multicore) shift ;;
            *)
                (($# >= 2)) || usage_error "$command" "'$option' needs a value"
                value=$2
                shift 2
                ;;
        esac
        case $option in
            --install) INSTALL=yes ;;
            --check) CHECK=yes ;;
            --update) UPDATE=yes ;;
            --host-only) HOST_ONLY=yes ;;
            --icount) ICOUNT=yes ;;
            --dry-run) DRY_RUN=yes ;;
            --all) CLEAN_ALL=yes ;;
            --fairness) FAIRNESS=yes ;;
            --budgets) BUDGETS=yes ;;
            --multicore) MULTICORE=yes ;;
            --no-icount) REAL_TIME=yes ;;
            --host) HOST=$(one_of --host "$value" microkit el2) ;;
            --board) BOARD=$(one_of --board "$value" "${BOARDS[@]}") ;;
            --config) CONFIG=$(one_of --config "$value" debug release benchmark smp-debug smp-release) CONFIG_GIVEN=yes ;;
            --cores)
                [[ $value =~ ^[1-8]$ ]] || usage_error "$command" "--cores takes a number from 1 to 8, not '$value'"
                CORES=$value
                ;;
            --domains) DOMAINS=$value ;;
            --system) SYSTEM=$value ;;
            --disk) DISK=$value ;;
            --nic)
                [[ $value =~ ^(none|(user|tap)(,.*)?)$ ]] || usage_error "$command" "--nic takes user, tap or none, not '$value'"
                NIC=$value
                ;;
            --until) UNTIL=$value ;;
            --timeout)
                [[ $value =~ ^[1-9][0-9]*$ ]] || usage_error "$command" "--timeout takes whole seconds, not '$value'"
                TIMEOUT=$value
                ;;
            --filter) FILTER=$value ;;
            --format) FORMAT=$(one_of --format "$value" table json dot svg) ;;
            -o) OUTPUT=$value ;;
        esac
    done
}

usage_error() {
    printf 'build.sh: %s; see ./build.sh %s --help\n' "$2" "$1" >&2
    exit 2
}

# Prints $2 if it is one of the words after it, else refuses it for option $1.
one_of() {
    local option=$1 value=$2 word
    shift 2
    for word; do
        [[ $word == "$value" ]] && printf '%s' "$value" && return
    done
    printf 'build.sh: %s takes one of: %s; not %q\n' "$option" "$*" "$value" >&2
    exit 2
}

version() {
    local number
    number=$(sed -nE '/^\[workspace\.package\]/,/^\[/ s/^version *= *"(.*)"/\1/p' "$ROOT/Cargo.toml")
    printf 'Zazen %s\n' "$number"
}

CLEAN_ALL=no
CONFIG_GIVEN=no
COMMAND=${1-}
case $COMMAND in
    -h | --help | help)
        # `help COMMAND` and `--help COMMAND` as `COMMAND --help`; what is no command is refused as
        # ever.
        if (($# > 1)); then
            [[ $2 != -* && $2 != help ]] || set -- help
        fi
        if (($# > 1)); then
            COMMAND=$2
            set -- "$2" --help
        else
            usage
            exit 0
        fi
        ;;
    '')
        usage
        exit 2
        ;;
    -V | --version | version)
        version
        exit 0
        ;;
esac
case $COMMAND in
    doctor | check | test | image | run | bench | inspect | clean) shift ;;
    *)
        printf "build.sh: there is no command '%s'\n\n" "$COMMAND" >&2
        usage >&2
        exit 2
        ;;
esac
parse "$COMMAND" "$@"

# `run --until`, like `run` itself, is told where to find files relative to the caller's directory.
[[ ! $DOMAINS ]] || DOMAINS=$(absolute "$DOMAINS")
[[ ! $DISK || $DISK =~ ^[0-9]+[KMG]$ ]] || DISK=$(absolute "$DISK")
[[ ! $SYSTEM ]] || SYSTEM=$(absolute "$SYSTEM")
[[ ! $OUTPUT ]] || OUTPUT=$(absolute "$OUTPUT")
[[ ! ${ZAZEN_KERNEL-} ]] || ZAZEN_KERNEL=$(absolute "$ZAZEN_KERNEL")
[[ ! ${ZAZEN_INITRD-} ]] || ZAZEN_INITRD=$(absolute "$ZAZEN_INITRD")
cd "$ROOT"
prepare_build
# These only look.
[[ $COMMAND == doctor || $DRY_RUN == yes ]] || lock_build
"command_$COMMAND"
