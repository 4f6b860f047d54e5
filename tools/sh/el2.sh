# The EL2 host: one bare-metal image, which needs no SDK. Sourced by build.sh.

# Soft-float, so that the vector registers stay the guests'.
EL2_TARGET=aarch64-unknown-none-softfloat

# What its images are called after: el2, or smp-el2 for several cores.
el2_name() {
    if ((CORES == 1)); then echo el2; else echo smp-el2; fi
}

el2_target_present() {
    [[ -d $(rustc --print sysroot)/lib/rustlib/$EL2_TARGET/lib ]]
}

need_el2_target() {
    need_rust
    el2_target_present && return
    have rustup || fail "the Rust target $EL2_TARGET is missing, and rustup, which would add it, too"
    step el2-target rustup target add "$EL2_TARGET" || fail "cannot add the Rust target. Try: rustup target add $EL2_TARGET"
}

# cargo for the program; its settings are in el2/.cargo/config.toml. It is built for one board, with
# a target directory of its own.
el2_cargo() {
    local command=$1
    shift
    (cd "$ROOT/el2" && ZAZEN_BOARD=$BOARD cargo "$command" --locked --release --target-dir "$BUILD/el2/$BOARD" "$@")
}

el2_packer() {
    printf '%s' "${CARGO_TARGET_DIR:-$ROOT/target}/debug/zazen-el2-pack"
}

pack_el2_image() {
    "$(el2_packer)" --program "$BUILD/el2/$BOARD/$EL2_TARGET/release/zazen-el2" --board "$BOARD" --cores "$CORES" --domains "$DOMAINS" \
        --files "$GUEST_FILES" -o "$1.new" &&
        mv "$1.new" "$1"
}

# Brings image $1 up to date; the domains file is checked.
build_el2_image() {
    need_el2_target
    mkdir -p "$(dirname "$1")"
    step "el2-program-$BOARD" el2_cargo build
    # Packing takes less than finding out whether it is needed.
    step "$(image_step)" pack_el2_image "$1"
}

check_el2() {
    el2_cargo clippy -- -D warnings && (cd "$ROOT/el2" && cargo fmt --check)
}
