# The tests. Sourced by build.sh.

PASSED=0
FAILED=0
SKIPPED=0

# Adds up the lines "test result: ok. 5 passed; 0 failed; 1 ignored; ..." of log $1.
count_cargo() {
    local passed failed ignored
    read -r passed failed ignored < <(awk '/^test result: / { p += $4; f += $6; i += $8 } END { print p + 0, f + 0, i + 0 }' "$1")
    PASSED=$((PASSED + passed))
    FAILED=$((FAILED + failed))
    SKIPPED=$((SKIPPED + ignored))
    ((failed == 0)) || sed -n '/^failures:$/,/^test result/p' "$1"
}

host_tests() {
    local log=$LOGS/host-tests.log status=0 before=$FAILED
    echo "host tests"
    step host-tests cargo test --workspace --locked --no-fail-fast || status=$?
    count_cargo "$log"
    # A crate that does not compile, or a test that aborts, leaves no count.
    if ((status != 0 && FAILED == before)); then
        FAILED=$((FAILED + 1))
        echo "FAILED host-tests: ended with status $status; see $(shown "$LOGS")/host-tests.log"
    fi
}

# The image tool's own tests; it is host code, but its dependencies come from git.
image_tool_tests() {
    local status=0 before=$FAILED
    echo "image tool tests"
    step image-tool-tests test_image_tool || status=$?
    count_cargo "$LOGS/image-tool-tests.log"
    if ((status != 0 && FAILED == before)); then
        FAILED=$((FAILED + 1))
        echo "FAILED image-tool-tests: ended with status $status; see $(shown "$LOGS")/image-tool-tests.log"
    fi
}

test_image_tool() {
    (cd "$ROOT/pd" && MICROKIT_SDK=$SDK cargo test --locked --release --target-dir "$BUILD/pd/host" -p zazen-image)
}

# Counts the boot tests of host $1 as skipped, by name. $2 says why.
skip_boot_tests() {
    local name
    while read -r name; do
        SKIPPED=$((SKIPPED + 1))
        echo "skipped $name: $2"
    done < <("$BOOT_TESTS" --host "$1" --list "$FILTER")
}

# The first of the tools named that is missing and cannot be installed; nothing if there is none.
missing_tool() {
    local tool
    can_install && return
    for tool; do
        tool_present "$tool" || { printf '%s' "$tool" && return; }
    done
}

# Runs the boot tests of host $1 and adds up their last line.
run_boot_tests() {
    local line passed failed skipped status=0
    local log=$LOGS/boot-tests-$1.log
    "$BOOT_TESTS" --host "$1" --build-sh "$ROOT/build.sh" "$FILTER" | tee "$log" || status=$?
    line=$(tail -n 1 "$log")
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
        passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]} skipped=${BASH_REMATCH[3]}
    else
        passed=0 failed=1 skipped=0
        echo "FAILED boot-tests: ended with status $status before its count"
    fi
    PASSED=$((PASSED + passed))
    FAILED=$((FAILED + failed))
    SKIPPED=$((SKIPPED + skipped))
}

# The systems whose capabilities are checked: board, configuration and domains file.
INSPECTED=(
    "qemu_virt_aarch64 debug two-linux"
    "qemu_virt_aarch64 release two-linux"
    "qemu_virt_aarch64 debug heap-linux"
    "qemu_virt_aarch64 debug bad-guest"
    "zcu102 release zcu102-two-linux"
)

# Each system that is to be inspected and whose name contains the filter.
inspected() {
    local system
    for system in "${INSPECTED[@]}"; do
        [[ "inspect/${system// //}" != *"$FILTER"* ]] || printf '%s\n' "$system"
    done
}

skip_inspection() {
    local board config domains
    while read -r board config domains; do
        SKIPPED=$((SKIPPED + 1))
        echo "skipped inspect/$board/$config/$domains: $1"
    done < <(inspected)
}

# Checks the capabilities of real images; the committed picture is that of the default one.
inspection() {
    local board config domains name log
    echo "capabilities of the images"
    while read -r board config domains; do
        name=inspect/$board/$config/$domains
        log=$LOGS/inspect-$board-$config-$domains.log
        if ! "$ROOT/build.sh" inspect --host microkit --board "$board" --config "$config" \
            --domains "$ROOT/domains/$domains.dts" >"$log" 2>&1 </dev/null; then
            FAILED=$((FAILED + 1))
            sed -n '/^error/,$p' "$log"
            echo "FAILED $name: see $(shown "$LOGS")/${log##*/}"
        elif [[ $domains == two-linux ]] && ! cmp -s "$BUILD/inspect.svg" "$ROOT/docs/authority.svg"; then
            FAILED=$((FAILED + 1))
            echo "FAILED $name: docs/authority.svg is not the picture of this system; tests/common of tools/authority tells how it is made anew"
        else
            PASSED=$((PASSED + 1))
            echo "ok $name: $(tail -n 1 "$log")"
        fi
    done < <(inspected)
}

# A system with a protection domain of somebody's own, as docs/own-pds.md has it, is built; `inspect` names it, and all that it finds
# is what belongs to that one.
own_pds() {
    local name=own-pds/qemu_virt_aarch64/debug log=$LOGS/own-pds.log directory=$BUILD/own-pds status=0 found
    [[ $name == *"$FILTER"* ]] || return 0
    mkdir -p "$directory"
    {
        # Its program is one that is at hand: what it does does not matter to the builder.
        cp "$ROOT/domains/one-linux.dts" "$directory/own.dts" &&
            cp "$BUILD/pd/qemu_virt_aarch64-debug/elf/timer-server.elf" "$directory/own.elf" &&
            "$(zazen_path)" generate --files "$GUEST_FILES" -o "$directory/own.xml" "$directory/own.dts" &&
            sed -i 's|^</system>|    <protection_domain name="own" priority="90"><program_image path="own.elf" /></protection_domain>\n&|' "$directory/own.xml" &&
            "$ROOT/build.sh" image --host microkit --config debug --domains "$directory/own.dts" --system "$directory/own.xml"
    } >"$log" 2>&1 </dev/null || status=$?
    found=$("$ROOT/build.sh" inspect --host microkit --config debug --domains "$directory/own.dts" --system "$directory/own.xml" 2>&1 </dev/null) &&
        status=1
    printf '%s\n' "$found" >>"$log"
    if ((status == 0)) && grep -q '\btcb_own\b' "$log"; then
        PASSED=$((PASSED + 1))
        echo "ok $name: it is built, and inspect names it"
    else
        FAILED=$((FAILED + 1))
        echo "FAILED $name: see $(shown "$log")"
    fi
}

boot_tests() {
    local tool
    BOOT_TESTS=${CARGO_TARGET_DIR:-$ROOT/target}/debug/boot-tests
    if ! step boot-tests-build cargo build --locked -p zazen-tests --bin boot-tests; then
        FAILED=$((FAILED + 1))
        echo "FAILED boot-tests: does not build"
        return
    fi
    echo "boot tests on the EL2 host"
    tool=$(missing_tool qemu-system-aarch64 dtc cpio)
    if [[ $tool ]]; then
        skip_boot_tests el2 "$tool is missing (./build.sh doctor)"
    else
        run_boot_tests el2
    fi
    echo "boot tests on Microkit"
    SDK=$(find_sdk)
    tool=$(missing_tool qemu-system-aarch64 dtc clang libclang cpio)
    if [[ ! $SDK ]]; then
        skip_boot_tests microkit "no Microkit SDK (./build.sh image --host microkit tells how to get it)"
        skip_inspection "no Microkit SDK"
    elif [[ $tool ]]; then
        skip_boot_tests microkit "$tool is missing (./build.sh doctor)"
        skip_inspection "$tool is missing (./build.sh doctor)"
    elif [[ ! -e $ROOT/pd/Cargo.lock ]] || ! pd_resolves; then
        skip_boot_tests microkit "pd/'s git dependencies cannot be fetched ($(shown "$LOGS")/pd-fetch.log)"
        skip_inspection "pd/'s git dependencies cannot be fetched ($(shown "$LOGS")/pd-fetch.log)"
    else
        image_tool_tests
        run_boot_tests microkit
        inspection
        own_pds
    fi
}

command_test() {
    need_rust
    need cc libc
    host_tests
    if [[ $HOST_ONLY == yes ]]; then
        echo "boot tests left out (--host-only)"
    else
        boot_tests
    fi
    echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
    ((FAILED == 0))
}
