# Who holds which capability in an image. Sourced by build.sh.

# Runs `zazen inspect` on the specification of the chosen image. Status 0: all rules hold, 1: one is
# broken.
zazen_inspect() {
    "$(zazen_path)" inspect "$(spec_path "$(image_path)")" --board "$BOARD" --cores "$(cores)" --domains "$DOMAINS" --files "$GUEST_FILES" "$@"
}

command_inspect() {
    local format output=()
    choose_host
    if [[ $HOST == el2 ]]; then
        say "build.sh: on the EL2 host guests' monitors and servers are one program, without isolation between them: there is nothing to inspect"
        exit 2
    fi
    choose_domains
    build_image
    [[ ! $OUTPUT ]] || output=(-o "$OUTPUT")
    if [[ $FORMAT ]]; then
        zazen_inspect --format "$FORMAT" "${output[@]}"
        return
    fi
    for format in json dot svg; do
        # What is wrong is told once, by the table.
        zazen_inspect --format "$format" -o "$BUILD/inspect.$format" 2>/dev/null || true
    done
    say "also written: $(shown "$BUILD")/inspect.json, .dot and .svg"
    zazen_inspect "${output[@]}"
}
