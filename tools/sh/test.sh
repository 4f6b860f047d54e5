# The tests. Sourced by build.sh.

# Of the Rust files on standard input those that may have a test whose name contains the filter. A
# test is called by its modules, which are files or stand in one, and its function; of a filter with
# `::` in it the longest part is looked for.
with_filter() {
    local word file
    word=$(awk '{ gsub(/::/, "\n"); print }' <<<"$FILTER" | awk 'length > length(w) { w = $0 } END { print w }')
    while read -r file; do
        [[ $file != *"$word"* ]] && ! grep -qF -- "$word" "$file" || printf '%s\n' "$file"
    done
}

# What cargo is told to test: everything, or with a filter the packages that may have such a test;
# nothing if there are none.
packages_with_filter() {
    local directory
    [[ $FILTER ]] || { echo --workspace && return; }
    (cd "$ROOT" && find . \( -name target -o -path ./build -o -path ./pd -o -path ./guests -o -path ./fuzz -o -path ./el2/src \) -prune \
        -o -name '*.rs' -print) | sed 's|^\./||' | (cd "$ROOT" && with_filter) | while read -r directory; do
        while [[ ! -e $ROOT/$directory/Cargo.toml ]]; do directory=$(dirname "$directory"); done
        sed -nE '0,/^name = /s/^name = "(.*)"/--package=\1/p' "$ROOT/$directory/Cargo.toml"
    done | sort -u
}

host_tests() {
    local status=0 packages
    mapfile -t packages < <(packages_with_filter)
    ((${#packages[@]})) || return 0
    echo "host tests${FILTER:+ whose name contains $FILTER}"
    step host-tests cargo test "${packages[@]}" --locked --no-fail-fast -- "$FILTER" || status=$?
    count_cargo "$LOGS/host-tests.log" host-tests "$status"
}

# The image tool's own tests; it is host code, but its dependencies come from git.
image_tool_tests() {
    local status=0
    [[ $(find "$ROOT/pd/image" -name '*.rs' | with_filter) ]] || return 0
    echo "image tool tests"
    step image-tool-tests test_image_tool || status=$?
    count_cargo "$LOGS/image-tool-tests.log" image-tool-tests "$status"
}

test_image_tool() {
    (cd "$ROOT/pd" && MICROKIT_SDK=$SDK cargo test --locked --release --target-dir "$BUILD/pd/host" -p zazen-image -- "$FILTER")
}

# Counts the boot tests of host $1 as skipped, by name. $2 says why.
skip_boot_tests() {
    local name
    while read -r name; do
        skipped "$name" "$2"
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

# Says how far the tests are that write log $1 whenever they have been silent for ten seconds.
tell_silence() {
    local size=0 now quiet=0 start=$SECONDS
    while sleep 1; do
        now=$(stat -c %s "$1" 2>/dev/null || echo 0)
        if ((now != size)); then quiet=0; else quiet=$((quiet + 1)); fi
        size=$now
        if ((quiet >= 9)); then
            say "  $(grep -cE '^(ok|FAILED) ' "$1") tests done, $((SECONDS - start)) s so far"
            quiet=0
        fi
    done
}

# Runs the boot tests of host $1 and adds up their last line.
run_boot_tests() {
    local line passed failed skipped status=0 teller
    local log=$LOGS/boot-tests-$1.log
    : >"$log"
    tell_silence "$log" 9>&- &
    teller=$!
    "$BOOT_TESTS" --host "$1" --build-sh "$ROOT/build.sh" "$FILTER" 9>&- | tee "$log" || status=$?
    kill "$teller"
    wait "$teller" 2>/dev/null || true
    line=$(tail -n 1 "$log")
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
        passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]} skipped=${BASH_REMATCH[3]}
    else
        passed=0 failed=0 skipped=0
        failed boot-tests "ended with status $status before its count"
    fi
    PASSED=$((PASSED + passed))
    FAILED=$((FAILED + failed))
    SKIPPED=$((SKIPPED + skipped))
}

# The systems whose capabilities are checked: board, configuration and domains file.
INSPECTED=(
    "${BOARDS[0]} debug two-linux"
    "${BOARDS[0]} release two-linux"
    "${BOARDS[0]} debug heap-linux"
    "${BOARDS[0]} debug bad-guest"
)
for board in "${BOARDS[@]:1}"; do INSPECTED+=("$board release $board-two-linux"); done

# Each system that is to be inspected and whose name contains the filter.
inspected() {
    local system
    for system in "${INSPECTED[@]}"; do
        ! wanted "inspect/${system// //}" || printf '%s\n' "$system"
    done
}

skip_inspection() {
    local board config domains
    while read -r board config domains; do
        skipped "inspect/$board/$config/$domains" "$1"
    done < <(inspected)
}

# Checks the capabilities of real images; the committed picture is that of the default one.
inspection() {
    local board config domains name log
    echo "capabilities of the images"
    while read -r board config domains; do
        name=inspect/$board/$config/$domains
        log=$LOGS/${name//\//-}.log
        if ! step "${name//\//-}" "$ROOT/build.sh" inspect --host microkit --board "$board" --config "$config" \
            --domains "$ROOT/domains/$domains.dts"; then
            failed "$name" "see $(shown "$log")"
        elif [[ $domains == two-linux ]] && ! cmp -s "$BUILD/inspect.svg" "$ROOT/docs/authority.svg"; then
            failed "$name" "docs/authority.svg is not the picture of this system; tests/common of tools/authority tells how it is made anew"
        else
            passed "$name" "$(tail -n 1 "$log")"
        fi
    done < <(inspected)
}

# A system with a protection domain of somebody's own, as docs/own-pds.md has it, is built;
# `inspect` names it, and all that it finds is what belongs to that one.
own_pds() {
    local name=own-pds/${BOARDS[0]}/debug
    wanted "$name" || return 0
    if step own-pds inspect_own_pds; then
        passed "$name" "it is built, and inspect names it"
    else
        failed "$name" "see $(shown "$LOGS")/own-pds.log"
    fi
}

inspect_own_pds() {
    local directory=$BUILD/own-pds found
    mkdir -p "$directory" &&
        # Its program is one that is at hand: what it does does not matter to the builder.
        cp "$ROOT/domains/one-linux.dts" "$directory/own.dts" &&
        cp "$BUILD/pd/${BOARDS[0]}-debug/elf/timer-server.elf" "$directory/own.elf" &&
        "$(zazen_path)" generate --files "$GUEST_FILES" -o "$directory/own.xml" "$directory/own.dts" &&
        sed -i 's|^</system>|    <protection_domain name="own" priority="90"><program_image path="own.elf" /></protection_domain>\n&|' "$directory/own.xml" &&
        "$ROOT/build.sh" image --host microkit --config debug --domains "$directory/own.dts" --system "$directory/own.xml" || return
    # It finds something.
    ! found=$("$ROOT/build.sh" inspect --host microkit --config debug --domains "$directory/own.dts" --system "$directory/own.xml" 2>&1) || return
    printf '%s\n' "$found"
    grep -q '\btcb_own\b' <<<"$found"
}

boot_tests() {
    local tool
    BOOT_TESTS=${CARGO_TARGET_DIR:-$ROOT/target}/debug/boot-tests
    if ! step boot-tests-build cargo build --locked -p zazen-tests --bin boot-tests; then
        failed boot-tests "does not build"
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

# The steps that are known before; the boot tests count their own.
plan_tests() {
    PLAN=()
    [[ $CHECK == no ]] || mapfile -t PLAN < <(check_steps)
    PLAN+=(host-tests)
    [[ $HOST_ONLY == no ]] || return 0
    PLAN+=(boot-tests-build)
    [[ $(find_sdk) ]] || return 0
    PLAN+=(image-tool-tests)
    local system
    while read -r system; do PLAN+=("inspect-${system// /-}"); done < <(inspected)
    PLAN+=(own-pds)
}

command_test() {
    need_rust
    need cc libc
    plan_tests
    if [[ $CHECK == yes ]]; then
        echo "checks"
        checks
    fi
    host_tests
    if [[ $HOST_ONLY == yes ]]; then
        echo "boot tests left out (--host-only)"
    else
        boot_tests
    fi
    count_told
}
