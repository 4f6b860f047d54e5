# What a change must pass before it is looked at. Sourced by build.sh.

check_shell() {
    local file
    for file in "$ROOT/build.sh" "$ROOT/.ci/run" "$ROOT"/tools/sh/*.sh "$ROOT"/tools/sh/boards/*.sh "$ROOT/guests/linux/init"; do
        bash -n "$file" || return
    done
    # Not asked: what it cannot see because the files are read one by one (2034, 2153) and locals of
    # the same name in different functions (2128, 2178).
    ! have shellcheck ||
        shellcheck -s bash -e SC2034,SC2153,SC2128,SC2178 "$ROOT/build.sh" "$ROOT/.ci/run" "$ROOT"/tools/sh/*.sh "$ROOT"/tools/sh/boards/*.sh
}

check_format() {
    (cd "$ROOT" && cargo fmt --all --check) && (cd "$ROOT/guests" && cargo fmt --all --check) || return
    # rustfmt resolves no dependencies, so pd/ is checked even where git is out of reach.
    find "$ROOT/pd" -name target -prune -o -name '*.rs' -print0 | xargs -0 -r rustfmt --edition 2024 --check
}

# The committed system description is what the default domains file generates.
check_system() {
    cargo run -q --locked -p zazen-tools -- generate "$ROOT/domains/two-linux.dts" >"$BUILD/system.xml" || return
    diff -u "$ROOT/system.xml" "$BUILD/system.xml" || {
        echo "system.xml is stale: cargo run -p zazen-tools -- generate domains/two-linux.dts -o system.xml"
        return 1
    }
}

check_docs() {
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --locked --no-deps --document-private-items
}

check_pds() {
    local pd packages=()
    for pd in "${PDS[@]}"; do packages+=(-p "zazen-$pd"); done
    # The boot tests' own, which no image of the product has.
    packages+=(-p zazen-hostile)
    pd_cargo clippy "${packages[@]}" -- -D warnings || return
    (cd "$ROOT/pd" && cargo clippy --locked --release --target-dir "$BUILD/pd/host" -p zazen-image -- -D warnings)
}

check_guests() {
    (cd "$ROOT/guests" && cargo clippy --locked --release --target "$RUST_TARGET" --target-dir "$GUEST_TARGET" -- -D warnings)
}

# Licences and sources of all dependencies, by deny.toml.
check_deny() {
    local directory
    for directory in . el2 pd guests fuzz; do
        cargo deny --manifest-path "$ROOT/$directory/Cargo.toml" --locked check --config "$ROOT/deny.toml" licenses bans sources || return
    done
}

# What is known against them. The list of advisories is fetched from GitHub.
check_advisories() {
    local directory
    for directory in . el2 pd; do
        cargo deny --manifest-path "$ROOT/$directory/Cargo.toml" --locked check --config "$ROOT/deny.toml" advisories || return
    done
}

# Runs the check $1 by the command after it, and counts it.
checked() {
    local name=check/$1
    shift
    wanted "$name" || return 0
    if step "${name/\//-}" "$@"; then passed "$name"; else failed "$name" 'see above'; fi
}

# Counts the check $1 as skipped because of $2.
unchecked() {
    ! wanted "check/$1" || skipped "check/$1" "$2"
}

# The steps that `checks` takes, one a line.
check_steps() {
    local name
    for name in shell format figures clippy system docs dependencies guests el2 deny advisories pd; do
        ! wanted "check/$name" || echo "check-$name"
    done
}

checks() {
    checked shell check_shell
    checked format check_format
    checked figures check_figures
    checked clippy cargo clippy --workspace --all-targets --locked -- -D warnings
    checked system check_system
    checked docs check_docs
    checked dependencies cargo test --locked -p zazen-tests --test dependencies
    if rust_target_present; then checked guests check_guests; else unchecked guests "Rust target $RUST_TARGET missing"; fi
    if el2_target_present; then checked el2 check_el2; else unchecked el2 "Rust target $EL2_TARGET missing"; fi
    if ! have cargo-deny; then
        unchecked deny 'cargo-deny is not installed (cargo install --locked cargo-deny)'
        unchecked advisories 'cargo-deny is not installed'
    else
        checked deny check_deny
        if cargo deny fetch db >"$LOGS/check-advisories.log" 2>&1; then
            checked advisories check_advisories
        else
            unchecked advisories "the list of advisories cannot be fetched from github.com ($(shown "$LOGS")/check-advisories.log)"
        fi
    fi
    SDK=$(find_sdk)
    if [[ ! $SDK ]]; then
        unchecked pd 'no Microkit SDK'
    elif ! rust_target_present || ! tool_present libclang; then
        unchecked pd './build.sh doctor tells what is missing'
    elif ! pd_resolves; then
        unchecked pd "its git dependencies cannot be fetched ($(shown "$LOGS")/pd-fetch.log)"
    else
        SDK_BOARD=$SDK/board/$BOARD/$CONFIG
        checked pd check_pds
    fi
}

command_check() {
    need_rust
    need cc libc
    mapfile -t PLAN < <(check_steps)
    checks
    count_told
}
