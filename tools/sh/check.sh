# What a change must pass before it is looked at. Sourced by build.sh.

check_shell() {
    local file
    for file in "$ROOT/build.sh" "$ROOT/.ci/run" "$ROOT"/tools/sh/*.sh "$ROOT/guests/linux/init"; do
        bash -n "$file" || return
    done
    # Not asked: what it cannot see because the files are read one by one (2034, 2153) and locals of
    # the same name in different functions (2128, 2178).
    ! have shellcheck ||
        shellcheck -s bash -e SC2034,SC2153,SC2128,SC2178 "$ROOT/build.sh" "$ROOT/.ci/run" "$ROOT"/tools/sh/*.sh
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
    pd_cargo clippy "${packages[@]}" -- -D warnings || return
    (cd "$ROOT/pd" && cargo clippy --locked --release --target-dir "$BUILD/pd/host" -p zazen-image -- -D warnings)
}

check_guests() {
    (cd "$ROOT/guests" && cargo clippy --locked --release --target "$RUST_TARGET" --target-dir "$GUEST_TARGET" -- -D warnings)
}

command_check() {
    local failed=()
    need_rust
    step check-shell check_shell || failed+=(shell)
    step check-format check_format || failed+=(formatting)
    step check-clippy cargo clippy --workspace --all-targets --locked -- -D warnings || failed+=(clippy)
    step check-system check_system || failed+=(system.xml)
    step check-docs check_docs || failed+=(documentation)
    step check-dependencies cargo test --locked -p zazen-tests --test dependencies || failed+=(dependencies)
    if rust_target_present; then
        step check-guests check_guests || failed+=(guests)
    else
        say "not checked: guests/ (Rust target $RUST_TARGET missing)"
    fi
    if el2_target_present; then
        step check-el2 check_el2 || failed+=(el2)
    else
        say "not checked: el2/ (Rust target $EL2_TARGET missing)"
    fi
    SDK=$(find_sdk)
    if [[ ! $SDK ]]; then
        say "not checked: lints of pd/ (no Microkit SDK)"
    elif ! rust_target_present || ! tool_present libclang; then
        say "not checked: lints of pd/ (./build.sh doctor tells what is missing)"
    elif ! pd_resolves; then
        say "not checked: lints of pd/ (its git dependencies cannot be fetched; see $(shown "$LOGS")/pd-fetch.log)"
    else
        SDK_BOARD=$SDK/board/$BOARD/$CONFIG
        step check-pd check_pds || failed+=(pd)
    fi
    ((${#failed[@]} == 0)) || fail "check failed: ${failed[*]}"
    say "check passed"
}
