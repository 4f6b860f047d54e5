# Protection domains and images. Sourced by build.sh.

# Protection domains, from their table: package zazen-NAME of pd/ builds NAME, which is NAME.elf for
# the image.
mapfile -t PDS < <(sed -nE 's/^ *program: "(.+)",$/\1/p' "$ROOT/crates/topology/src/table.rs" | sort -u)

# Domains whose VMM, or servers, a test's program replaces, as NAME=PROGRAM each: for boot tests
# alone. The programs are those of package zazen-hostile.
read -ra TEST_VMMS <<<"${ZAZEN_TEST_VMMS-}"

choose_domains() {
    if [[ ! $DOMAINS ]]; then
        DOMAINS=$ROOT/domains/$BOARD-two-linux.dts
        [[ $BOARD != "${BOARDS[0]}" ]] || DOMAINS=$ROOT/domains/two-linux.dts
    fi
    [[ -r $DOMAINS ]] || fail "domains file ${DOMAINS#"$ROOT"/} cannot be read; those at hand: $(cd "$ROOT" && echo domains/*.dts)"
}

# Where the image of the chosen board, configuration and domains file lies.
image_path() {
    local name
    name=$(basename "$DOMAINS")
    if [[ $HOST == el2 ]]; then
        printf '%s' "$BUILD/image/$BOARD-$(el2_name)/${name%.*}.img"
    else
        printf '%s' "$BUILD/image/$BOARD-$CONFIG/${name%.*}.img"
    fi
}

pd_target() {
    printf '%s' "$BUILD/pd/$BOARD-$CONFIG"
}

# Whether pd/'s dependencies, some of them from git, are at hand or can be fetched.
pd_resolves() {
    (cd "$ROOT/pd" && timeout 300 cargo fetch --locked) >"$LOGS/pd-fetch.log" 2>&1
}

# cargo for the protection domains: rust-sel4 uses unstable features, which the stable compiler
# accepts with RUSTC_BOOTSTRAP, and generates code from the SDK's headers, so that each
# configuration has a target directory of its own.
pd_cargo() {
    local command=$1
    shift
    (
        cd "$ROOT/pd" || return
        RUSTC_BOOTSTRAP=1 SEL4_INCLUDE_DIRS=$SDK_BOARD/include \
            cargo "$command" --locked --release --target "$RUST_TARGET" --target-dir "$(pd_target)" "$@"
    )
}

build_pds() {
    local pd packages=() pds=("${PDS[@]}" "${TEST_VMMS[@]#*=}")
    for pd in "${PDS[@]}"; do packages+=(-p "zazen-$pd"); done
    ((!${#TEST_VMMS[@]})) || packages+=(-p zazen-hostile)
    pd_cargo build "${packages[@]}" && mkdir -p "$(pd_target)/elf" || return
    for pd in "${pds[@]}"; do
        cmp -s "$(pd_target)/$RUST_TARGET/release/$pd" "$(pd_target)/elf/$pd.elf" ||
            cp "$(pd_target)/$RUST_TARGET/release/$pd" "$(pd_target)/elf/$pd.elf" || return
    done
}

# The image tool's. The profile is the protection domains'; the tool need not be small.
build_image_tool() {
    (cd "$ROOT/pd" && CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo build --locked --release --target-dir "$BUILD/pd/host" -p zazen-image)
}

# The image tool's command line.
pack_image() {
    local system=()
    if [[ $SYSTEM ]]; then
        system=(--system "$SYSTEM")
    elif ((${#TEST_VMMS[@]})); then
        test_system "$1" || return
        system=(--system "$1.xml")
    fi
    "$BUILD/pd/host/release/zazen-image" --sdk "$SDK" --board "$BOARD" --config "$CONFIG" --domains "$DOMAINS" \
        --files "$GUEST_FILES" --elves "$(pd_target)/elf" --report "$1.report" "${system[@]}" \
        --capdl-json "$(spec_path "$1")" --elf "$(elf_path "$1")" -o "$1.new" &&
        mv "$1.new" "$1"
}

# Writes the system description for image $1 with the programs of TEST_VMMS replaced.
test_system() {
    local vmm
    (cd "$ROOT" && cargo run --quiet --locked -p zazen-tools -- generate --board "$BOARD" --cores "$(cores)" --files "$GUEST_FILES" \
        -o "$1.xml" "$DOMAINS") || return
    for vmm in "${TEST_VMMS[@]}"; do
        sed -i "/<protection_domain name=\"\(vmm_\)\?${vmm%%=*}\"/,/<program_image/ s/path=\"[^\"]*.elf\"/path=\"${vmm#*=}.elf\"/" "$1.xml"
    done
}

# The capDL specification of image $1: what `inspect` reads.
spec_path() {
    printf '%s' "${1%.img}.capdl.json"
}

# The ELF file of image $1, which QEMU's virt board starts: its loader has nothing to copy.
elf_path() {
    printf '%s' "${1%.img}.elf"
}

# Everything that goes into the image, for its stamp. Which files the domains file stands for,
# included ones and those of modules wherever they were found, the checker says: it looks for them
# as the packers do.
image_inputs() {
    printf '%s\n' "$BUILD/pd/host/release/zazen-image" "$(pd_target)"/elf/*.elf
    find "$SDK_BOARD/elf" "$SDK_BOARD"/*.json "$SDK_BOARD"/include/kernel/*.json -type f 2>/dev/null | LC_ALL=C sort
    [[ ! $SYSTEM ]] || own_programs
    "$(zazen_path)" check --list-files --board "$BOARD" --cores "$(cores)" --files "$GUEST_FILES" "$DOMAINS" 2>/dev/null
}

# The system description that was given and the programs that it names and are not ours: where the
# image tool looks for them.
own_programs() {
    local name directory
    printf '%s\n' "$SYSTEM"
    sed -nE 's/.*<program_image path="([^"]*)".*/\1/p' "$SYSTEM" | sort -u | while read -r name; do
        for directory in "$(dirname "$DOMAINS")" "$GUEST_FILES"; do
            [[ ! -e $directory/$name ]] || printf '%s\n' "$directory/$name"
        done
    done
}

# The command line tool, `zazen`.
zazen_path() {
    printf '%s' "${CARGO_TARGET_DIR:-$ROOT/target}/debug/zazen"
}

# `zazen` and the EL2 host's packer, in one go: alone each would build what they share with other
# features.
build_host_tools() {
    (cd "$ROOT" && cargo build --locked -p zazen-tools -p zazen-el2-pack)
}

# Ends the command where `zazen check` finds errors in the domains file. The packers look at less of
# it, and later. What the checker says is shown as it is; warnings and notes are no reason to stop.
check_domains() {
    local file=${DOMAINS#"$ROOT"/}
    step host-tools build_host_tools
    "$(zazen_path)" check --board "$BOARD" --cores "$(cores)" --files "$GUEST_FILES" "$file" >/dev/null || fail "no image is made of $file; see above"
}

# The steps of `build_image`, one a line: some turn out to have nothing to do.
image_steps() {
    guest_steps "$DOMAINS"
    echo host-tools
    if [[ $HOST == el2 ]]; then
        printf '%s\n' "el2-program-$BOARD"
    else
        printf '%s\n' "pds-$BOARD-$CONFIG" image-tool
    fi
    image_step
}

# What a first build costs, before it begins.
first_build() {
    [[ ! -e $(zazen_path) ]] || return 0
    local cost='4 minutes of processor time and 0.9 GB under target/ and build/'
    [[ $HOST == el2 ]] || cost='7 minutes of processor time and 1.2 GB under target/ and build/'
    say "First build: ${#PLAN[@]} steps, about $cost."
}

# The name of the last one.
image_step() {
    printf '%s-%s\n' "image-$BOARD-$(if [[ $HOST == el2 ]]; then el2_name; else echo "$CONFIG"; fi)" "$(basename "$(image_path)" .img)"
}

# Brings the image up to date.
build_image() {
    local image stamp tools=(dtc cc libc)
    local inputs
    image=$(image_path)
    if [[ $SYSTEM ]]; then
        [[ $HOST != el2 ]] || fail "--system is for microkit: the EL2 host has no protection domains"
        [[ -r $SYSTEM ]] || fail "system description $(shown "$SYSTEM") cannot be read"
    fi
    [[ $HOST == el2 ]] || tools+=(clang libclang)
    need "${tools[@]}"
    need_rust
    if ((${#PLAN[@]} == 0)); then
        mapfile -t PLAN < <(image_steps)
        first_build
    fi
    ensure_guest_files "$DOMAINS"
    check_domains
    # shellcheck source=/dev/null
    source "$ROOT/tools/sh/boards/$BOARD.sh"
    board_prepare
    if [[ $HOST == el2 ]]; then
        build_el2_image "$image"
        return
    fi
    need_rust_target
    [[ -e $ROOT/pd/Cargo.lock ]] || fail "pd/Cargo.lock is missing"
    mkdir -p "$(dirname "$image")"
    # The first build fetches seL4's crates and takes a minute or two; cargo knows what changed
    # later.
    step "pds-$BOARD-$CONFIG" build_pds
    step image-tool build_image_tool
    inputs=$(image_inputs) || fail "the files of $(shown "$DOMAINS") cannot be listed"
    mapfile -t inputs <<<"$inputs"
    stamp=$(stamp_of "${inputs[@]}" -- "$BOARD" "$CONFIG" "${TEST_VMMS[@]}")
    [[ -e $(spec_path "$image") && -e $(elf_path "$image") ]] && fresh "$image" "$stamp" && return
    step "$(image_step)" pack_image "$image"
    printf '%s' "$stamp" >"$image.stamp"
}

command_image() {
    local image
    choose_host
    choose_domains
    build_image
    image=$(image_path)
    if [[ $OUTPUT ]]; then
        [[ $OUTPUT != *.elf || $HOST == el2 ]] || image=$(elf_path "$image")
        cp "$image" "$OUTPUT"
        image=$OUTPUT
    fi
    say "$(size_of "$image") for $BOARD ($(carrier)):"
    echo "$image"
}
